"""The steps of the jobs, and their shared parts: checks, recording and progress.

- `ingest_archive.py`: delivers an archive;
- `program_reports.py`: copies program reports;
- `recording.py`: records many objects in few writes;
- `checks.py`: evaluates the asset checks of archives and logs;
- `reporting.py`: reports progress to the log and to the command.
"""
