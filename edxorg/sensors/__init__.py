"""The sensors, which ask for runs.

- `object_storage.py`: archives and tracking logs that arrive in a bucket;
- `program_reports.py`: program reports that have no copy yet;
- `course_bundles.py`: course bundles that have no copy yet;
- `run_decision.py`: decides if a file needs a run.
"""
