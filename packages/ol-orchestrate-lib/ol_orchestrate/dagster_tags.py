"""Names of tags that Dagster gives to runs."""

PARTITION = "dagster/partition"

BACKFILL = "dagster/backfill"
"""The backfill that the run belongs to."""

SENSOR = "dagster/sensor_name"
"""The sensor that has requested the run."""

WILL_RETRY = "dagster/will_retry"
"""`true` if the run failed, and the daemon starts it anew by itself."""
