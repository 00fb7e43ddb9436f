"""Notices program reports that are not in the landing zone yet."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation

import dagster as dg

from edxorg.ops.not_built import not_built_yet


def edxorg_program_reports_sensor(job: dg.JobDefinition) -> dg.SensorDefinition:
    """Compare the two listings once a day."""

    @dg.sensor(
        name="edxorg_program_reports_sensor",
        job=job,
        minimum_interval_seconds=24 * 60 * 60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=edxorg_program_reports_sensor.__doc__,
    )
    def sensor() -> Iterator[dg.RunRequest]:
        yield from not_built_yet("The sensor for program reports")

    return sensor
