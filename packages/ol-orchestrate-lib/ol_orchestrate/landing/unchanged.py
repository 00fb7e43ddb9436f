"""Records once more what a run found as it was, there alone where Dagster takes it for failed otherwise.

Nothing is recorded of a partition that is unchanged, and Dagster accepts that in a run that succeeds. A backfill of
assets, however, ends as failed if one of its partitions has no materialization of one of its runs; and a run that
fails, because one of its partitions did, shows all others without a materialization as failed. Dagster has no other
event that it accepts there, so the latest materialization is repeated, with the same data version: nothing downstream
starts, and the next run sees what it would have seen without it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from ol_orchestrate.dagster_tags import BACKFILL
from ol_orchestrate.landing.batch import record
from ol_orchestrate.landing.records import latest_records, latest_runs_without_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

UNCHANGED = "unchanged"
"""Metadata of a materialization that repeats the one before it."""


def record_unchanged(
    context: dg.AssetExecutionContext, partitions: Sequence[str], failed: Collection[str] = ()
) -> Iterator[dg.AssetMaterialization]:
    """Repeat the latest record of partitions that went well, if Dagster fails them otherwise.

    Args:
        context: The context of a step that has recorded all that is new.
        partitions: The partitions of the run.
        failed: Those of them for which the run is about to fail.

    Yields:
        The events that the step has to yield itself, as `record` does.
    """
    if not failed and not _is_in_backfill_of_assets(context):
        return
    for asset in sorted(context.selected_asset_keys):
        attempts = latest_runs_without_record(context.instance, asset)
        waiting = [each for each in partitions if attempts.get(each) == context.run.run_id and each not in failed]
        yield from record(context.op_execution_context, waiting, partial(_latest, context.instance, asset))


def _is_in_backfill_of_assets(context: dg.AssetExecutionContext) -> bool:
    """Return True if a backfill waits for materializations of the run; one of a job counts its runs."""
    backfill_id = context.run.tags.get(BACKFILL)
    backfill = context.instance.get_backfill(backfill_id) if backfill_id else None
    return backfill is not None and backfill.is_asset_backfill


def _latest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str]
) -> Iterator[dg.AssetMaterialization]:
    for partition, latest in latest_records(instance, asset, partitions).items():
        if (each := latest.asset_materialization) is not None:
            yield dg.AssetMaterialization(
                asset, partition=partition, metadata={**each.metadata, UNCHANGED: True}, tags=each.tags
            )
