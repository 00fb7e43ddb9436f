"""The steps of the jobs, and their shared parts: checks, records and progress.

- `ingest_archive.py`: delivers an archive;
- `program_reports.py`, `course_bundles.py`: copy program reports and course bundles;
- `run_records.py`: reads the records of archive runs;
- `archive_reports.py`: records and writes the reports of archives;
- `checks.py`: evaluates the asset checks of archives and logs;
- `reporting.py`: reports progress to the log and to the command.
"""
