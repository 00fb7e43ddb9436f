"""The work itself: plain functions and types that know nothing of Dagster.

- `archive`: from an archive to objects, with a report of every member;
- `archive_report`: the report of an archive, as a page;
- `tables`: from a table dump to rows;
- `tracking_log`: from a tracking log to events with one set of keys;
- `forum.py`: from a forum to rows; `rejects.py`: the line of a record or line that is set aside;
- `catalogue`: from the Discovery API to four tables;
- `course_message.py`: messages about new versions of courses;
- `settings`: everything that differs between partners, environments and machines;
- `lake`: the landing zone as readers see it;
- `dictionary`: descriptions of all outputs and their columns;
- `private_keys.py`: the keys for encrypted files; `alert_addresses.py`: where operators are told of failures;
- `code_versions.py`: the versions of the code that makes each output;
- `members.py`: from the name of a member to what it is;
- `object_keys.py`: names of assets and keys of objects; `job_names.py`: names of jobs;
- `progress.py`: reports the progress of a run in this process;
- `workers`: worker processes; `processors.py`: how many fit.
"""
