"""The location's jobs and its schedule.

- `retrieve_edx_exports.py`: archives of course exports;
- `edxorg_api_schedule.py`: the daily job for the edX catalogue, and its schedule;
- `program_reports.py`, `course_bundles.py`: program reports and course bundles;
- `run_tags.py`, `max_runtime.py`: the tags of their runs, and how long each may take.
"""
