"""The daily job for the edX catalogue, and its schedule."""

from __future__ import annotations

import dagster as dg

from edxorg.assets.catalogue import edxorg_mitx_course_metadata, edxorg_program_metadata


def edxorg_api_daily_schedule() -> dg.ScheduleDefinition:
    """Every day at 5:00 UTC."""
    return dg.ScheduleDefinition(
        name="edxorg_api_daily_schedule",
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        job=dg.define_asset_job(
            "edxorg_api_daily_job",
            selection=dg.AssetSelection.assets(edxorg_program_metadata, edxorg_mitx_course_metadata),
        ),
    )
