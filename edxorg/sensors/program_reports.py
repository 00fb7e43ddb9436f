"""Notices program reports that are not in the landing zone yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3 import S3Resource  # noqa: TC002 - Dagster reads the annotation

from edxorg.location import location_names
from edxorg.ops.program_reports import report_runs, reports_of

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def edxorg_program_reports_sensor(settings: Settings) -> dg.SensorDefinition:
    """Make a sensor that compares source and destination once a day, and requests copies of reports that need one."""
    runs = report_runs(settings)

    @dg.sensor(
        name=location_names(settings.name).of("edxorg_program_reports_sensor"),
        job_name=runs.job,
        minimum_interval_seconds=24 * 60 * 60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=edxorg_program_reports_sensor.__doc__,
    )
    def sensor(
        context: dg.SensorEvaluationContext, s3_download: S3Resource, s3_upload: S3Resource
    ) -> dg.SensorResult | dg.SkipReason:
        if not settings.program_reports_url:
            return dg.SkipReason("EDXORG_PROGRAM_REPORTS_URL is not set: set it, or stop this sensor")
        return runs.request(context, lambda: reports_of(settings, s3_download, s3_upload))

    return sensor
