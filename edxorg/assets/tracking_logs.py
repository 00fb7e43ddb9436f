"""A day's tracking log, normalised for ingestion."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation
from typing import TYPE_CHECKING

import dagster as dg

from edxorg.lib.object_keys import TRACKING_LOGS
from edxorg.ops.not_built import not_built_yet

if TYPE_CHECKING:
    from edxorg.components.source_files import SourceFiles


def normalize_edxorg_tracking_log(logs: SourceFiles) -> dg.AssetsDefinition:
    """The asset, on the partitions of the raw logs."""

    @dg.asset(
        key=TRACKING_LOGS.split("/"),
        group_name="edxorg",
        partitions_def=logs.partitions_def(),
        deps=[dg.AssetKey(logs.asset_key.split("/"))],
        description="A day's events with one set of keys, all values as text, times in UTC.",
        io_manager_key="s3file_io_manager",
    )
    def normalize_edxorg_tracking_log() -> Iterator[dg.MaterializeResult[None]]:
        yield from not_built_yet("The normalisation of tracking logs")

    return normalize_edxorg_tracking_log
