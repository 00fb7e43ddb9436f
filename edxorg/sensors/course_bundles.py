"""Notices course bundles that have no copy yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.location import location_names
from edxorg.ops.course_bundles import bundle_runs, bundles_of
from ol_orchestrate.landing_zone import LandingZone  # noqa: TC001 - Dagster reads the annotation

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def edxorg_course_bundle_sensor(settings: Settings) -> dg.SensorDefinition:
    """Make a sensor that compares source and destination once a day, and requests copies of bundles that need one."""
    runs = bundle_runs(settings)

    @dg.sensor(
        name=location_names(settings.name).of("edxorg_course_bundle_sensor"),
        job_name=runs.job,
        minimum_interval_seconds=24 * 60 * 60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=edxorg_course_bundle_sensor.__doc__,
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        gcs_input: dg.ResourceParam[LandingZone],
        s3file_io_manager: dg.ResourceParam[LandingZone],
    ) -> dg.SensorResult | dg.SkipReason:
        return runs.request(context, lambda: bundles_of(settings, gcs_input, s3file_io_manager))

    return sensor
