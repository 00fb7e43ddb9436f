"""Names of jobs, before `LocationNames.of` makes them those of a location."""

ARCHIVE_JOB = "retrieve_edxorg_raw_data"
LOG_JOB = "refresh_edxorg_tracking_logs"
REPORTS_JOB = "sync_edxorg_program_reports"
CATALOGUE_JOB = "edxorg_api_daily_job"
