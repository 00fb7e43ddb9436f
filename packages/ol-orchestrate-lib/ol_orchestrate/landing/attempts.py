"""Shows in Dagster that a run for a partition of an external asset failed or was canceled.

Dagster takes a partition for failed if a failed run had planned to materialize it, and nothing was recorded since. It
plans only for the assets that a run makes, so a run that reads an external asset plans for itself. A canceled run has
no such status; an observation tells of it.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from ol_orchestrate.dagster_tags import PARTITION
from ol_orchestrate.landing.records import latest_materialization

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_WELL = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@contextmanager
def attempt(context: dg.OpExecutionContext, asset: dg.AssetKey) -> Iterator[None]:
    """Show this step's partition of an asset as under way, then as failed if the run fails, or as canceled."""
    partition = context.partition_key
    plan(context.instance, context.run_id, asset, partition, job=context.job_name, step=context.op.name)
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        run = context.instance.get_run_by_id(context.run_id)
        # Without a request to cancel it, Dagster takes an interrupted run for failed.
        if run is not None and run.status is dg.DagsterRunStatus.CANCELING:
            metadata = {"outcome": dg.MetadataValue.text("canceled"), "run": dg.MetadataValue.dagster_run(run.run_id)}
            observation = dg.AssetObservation(asset, partition=partition, metadata=metadata)
            context.instance.report_runless_asset_event(observation)
        raise


def failed_attempts(asset: dg.AssetKey) -> dg.HookDefinition:
    """Make a hook for steps that fail before they begin, since their file is gone."""

    @dg.failure_hook(name=f"show_failed_{'_'.join(asset.path)}")
    def show_failure(context: dg.HookContext) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        if run is not None and PARTITION in run.tags:
            plan(
                context.instance,
                context.run_id,
                asset,
                run.tags[PARTITION],
                job=context.job_name,
                step=context.step_key,
            )

    return show_failure


def plan(instance: dg.DagsterInstance, run_id: str, asset: dg.AssetKey, partition: str, *, job: str, step: str) -> None:
    """Record that a run is about to materialize a partition."""
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent  # noqa: PLC0415

    planned = AssetMaterializationPlannedData(asset, partition=partition)
    event = DagsterEvent.build_asset_materialization_planned_event(job, step, planned)
    instance.report_dagster_event(event, run_id, logging.DEBUG)


def shows_as_not_well(instance: dg.DagsterInstance, job: str, asset: dg.AssetKey, partition: str) -> bool:
    """Return True if nothing is recorded of a partition since a run of a job failed or was canceled, or nothing at all.

    Dagster keeps such a status until something is recorded, even if a later run succeeds.
    """
    recorded = latest_materialization(instance, asset, partition)
    if recorded is None:
        return True
    of_partition = dg.RunsFilter(job_name=job, statuses=NOT_WELL, tags={PARTITION: partition})
    ended = instance.get_run_records(of_partition, limit=1)
    return any((run.end_time or 0) > recorded.timestamp for run in ended)
