"""The job for tracking logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def refresh_edxorg_tracking_logs(normalized_log: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    """Normalise the log of one day, the partition."""
    return dg.define_asset_job(
        "refresh_edxorg_tracking_logs",
        selection=dg.AssetSelection.assets(normalized_log),
        description=refresh_edxorg_tracking_logs.__doc__,
    )
