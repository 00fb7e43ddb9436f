"""The location's jobs and its schedule.

- `retrieve_edx_exports.py`: archives of course exports;
- `edxorg_api_schedule.py`: the daily job for the edX catalogue, and its schedule;
- `program_reports.py`: program reports;
- `max_runtime.py`: how long a run of each may take.
"""
