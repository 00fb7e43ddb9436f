"""The daily job for the edX catalogue, and its schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.jobs import max_runtime
from edxorg.jobs.run_tags import run_tags
from edxorg.lib.job_names import CATALOGUE_JOB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.settings import Settings
    from ol_orchestrate.location_names import LocationNames


def edxorg_api_daily_schedule(
    catalogue: Sequence[dg.AssetsDefinition], settings: Settings, location: LocationNames
) -> dg.ScheduleDefinition:
    """Every day at 5:00 UTC. The assets are steps of one run, and none waits for another or fails with it."""
    return dg.ScheduleDefinition(
        name=location.of("edxorg_api_daily_schedule"),
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        job=dg.define_asset_job(
            location.of(CATALOGUE_JOB),
            selection=dg.AssetSelection.assets(*catalogue),
            run_tags=run_tags(settings, source="Discovery API", destination=settings.landing_zone_url)
            | max_runtime.OTHERS,
            description="Brings the edX catalogue up to date: what is as it was is neither written nor recorded.",
        ),
    )
