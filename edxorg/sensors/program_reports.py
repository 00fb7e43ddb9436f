"""Notices program reports that are not in the landing zone yet."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3 import S3Resource  # noqa: TC002 - Dagster reads the annotation

from edxorg.lib.program_reports import batches
from edxorg.location import location_names
from edxorg.ops.program_reports import reports_of, requested_keys, run_config_for
from edxorg.sensors.run_decision import UNFINISHED, is_under_way
from ol_orchestrate.failures import errors_without_secrets
from ol_orchestrate.lib.shortening import first_and_more

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.program_reports import Needed
    from edxorg.lib.settings import Settings


def edxorg_program_reports_sensor(job: dg.JobDefinition, settings: Settings) -> dg.SensorDefinition:
    """Make a sensor that compares source and destination once a day, and requests copies of reports that need one."""

    @dg.sensor(
        name=location_names(settings.name).of("edxorg_program_reports_sensor"),
        job_name=job.name,  # by name: given the job itself, Dagster 1.13 copies the sensor and warns of its own doing
        minimum_interval_seconds=24 * 60 * 60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=edxorg_program_reports_sensor.__doc__,
    )
    def sensor(
        context: dg.SensorEvaluationContext, s3_download: S3Resource, s3_upload: S3Resource
    ) -> dg.SensorResult | dg.SkipReason:
        if not settings.program_reports_url:
            return dg.SkipReason("EDXORG_PROGRAM_REPORTS_URL is not set: set it, or stop this sensor")
        under_way = _requests_under_way(context.instance, job.name)
        if any(not keys for keys in under_way):
            return dg.SkipReason("A run that was started without keys, and finds them itself, is under way")
        with errors_without_secrets():
            reports = reports_of(settings, s3_download, s3_upload)
            comparison = reports.compare()
        if comparison.refused:
            shown = ", ".join(first_and_more(list(map(repr, comparison.refused))))
            context.log.warning(
                "%d reports are not copied, since their keys are unsafe: %s",
                len(comparison.refused),
                shown,
            )
        taken = set().union(*under_way)
        needed = [each for each in comparison.needed if each.key not in taken]
        runs = list(islice(batches(needed), settings.runs_a_tick))
        seen = (
            f"{comparison.reports:,} reports in {reports.source.url}: {len(comparison.needed):,} need a copy, "
            f"{len(comparison.needed) - len(needed):,} of them under way, {len(comparison.refused):,} refused. "
            f"{len(runs)} runs requested for {sum(map(len, runs)):,}"
        )
        context.log.info("%s", seen)
        # There are no run keys: a used key would block the next attempt, and the runs under way are known.
        return dg.SensorResult(run_requests=[_request(run) for run in runs]) if runs else dg.SkipReason(seen)

    return sensor


def _request(run: Sequence[Needed]) -> dg.RunRequest:
    return dg.RunRequest(run_config=run_config_for([each.key for each in run]))


def _requests_under_way(instance: dg.DagsterInstance, job_name: str) -> list[list[str]]:
    """Return the keys that each run under way was requested for."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=list(UNFINISHED)))
    return [
        requested_keys(record.dagster_run.run_config)
        for record in records
        if is_under_way(record.dagster_run.status, record.start_time)
    ]
