"""An asset check that lists the partitions whose latest run failed, with reasons; the Dagster UI has no such list."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import dagster as dg

from ol_orchestrate.landing.records import latest_runs_without_record
from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.shortening import SHOWN

CHECK = "no_failed_partitions"

RUNS_AT_ONCE = 500


NOT_WELL = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class FailedPartition(NamedTuple):
    """A partition and the run that failed for it, or was canceled; `None` if there has never been one."""

    partition: str
    run_id: str | None


class PartitionedJob(NamedTuple):
    """A job that has a run for each partition of an external asset.

    Attributes:
        name: The name of the job.
        step: The step that tells why a run failed.
        asset: The asset.
        partitions: Its partitions.
    """

    name: str
    step: str
    asset: dg.AssetKey
    partitions: dg.PartitionsDefinition


def failed_partitions_check(
    assets: Sequence[dg.AssetsDefinition], jobs: Sequence[PartitionedJob] = ()
) -> dg.AssetChecksDefinition:
    """Define a check for each definition and job: a warning that blocks nothing, and runs hourly once automation is on.

    The check is attached to the upstream asset, since no run materializes that one. On the asset itself every run
    would evaluate it, and skip it just when the asset fails.
    """
    hourly: dg.AutomationCondition[dg.AssetCheckKey] = dg.AutomationCondition.cron_tick_passed("30 * * * *")
    definitions = {dep.asset_key: each for each in assets for dep in next(iter(each.specs)).deps}
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=upstream,
            description=(
                f"Lists the partitions of {_first_asset(definition).to_user_string()} whose latest run failed, and why."
            ),
            automation_condition=hourly,
        )
        for upstream, definition in definitions.items()
    ]
    by_asset = {job.asset: job for job in jobs}
    specs += [
        dg.AssetCheckSpec(
            CHECK,
            asset=asset,
            description=f"Lists the partitions whose latest run of {job.name} failed or was canceled, or never came.",
            automation_condition=hourly,
        )
        for asset, job in by_asset.items()
    ]

    @dg.multi_asset_check(name="list_failed_partitions", specs=specs, can_subset=True)
    def list_failed_partitions(context: dg.AssetCheckExecutionContext) -> Iterable[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            if job := by_asset.get(key.asset_key):
                failed, step = failed_partitions_of_job(context.instance, job), job.step
            else:
                definition = definitions[key.asset_key]
                failed, step = failed_partitions(context.instance, definition), definition.op.name
            yield dg.AssetCheckResult(
                check_name=CHECK,
                asset_key=key.asset_key,
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata=_metadata(context.instance, failed, step),
            )

    return list_failed_partitions


def failed_partitions(instance: dg.DagsterInstance, definition: dg.AssetsDefinition) -> list[FailedPartition]:
    """Return the existing partitions whose latest run failed before the definition's own step succeeded, by key.

    Dagster's own status of a partition says "failed" even after a later run succeeded with nothing new to record, and
    also when another asset of the same run failed.
    """
    runs = latest_runs_without_record(instance, _first_asset(definition))
    partitions = definition.partitions_def
    existing = partitions.get_partition_keys(dynamic_partitions_store=instance) if runs and partitions else ()
    latest = {partition: runs[partition] for partition in sorted(runs.keys() & set(existing))}
    failed_runs = {
        run_id
        for run_id in _failed_runs(set(latest.values()), instance)
        if not _step_succeeded(run_id, definition.op.name, instance)
    }
    return [FailedPartition(key, run_id) for key, run_id in latest.items() if run_id in failed_runs]


def failed_partitions_of_job(instance: dg.DagsterInstance, job: PartitionedJob) -> list[FailedPartition]:
    """Return the existing partitions whose latest run of a job failed, was canceled, or never came, by key."""
    latest = {run.partition: run for run in instance.get_run_partition_data(dg.RunsFilter(job_name=job.name))}
    return [
        FailedPartition(partition, run.run_id if run else None)
        for partition in sorted(job.partitions.get_partition_keys(dynamic_partitions_store=instance))
        if (run := latest.get(partition)) is None or run.status in NOT_WELL
    ]


def _first_asset(definition: dg.AssetsDefinition) -> dg.AssetKey:
    return next(iter(definition.specs)).key


def _step_succeeded(run_id: str, step: str, instance: dg.DagsterInstance) -> bool:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    return any(event.step_key == step for event in events)


def _failed_runs(run_ids: set[str], instance: dg.DagsterInstance) -> set[str]:
    failed: set[str] = set()
    for some in batched(sorted(run_ids), RUNS_AT_ONCE):
        filters = dg.RunsFilter(run_ids=some, statuses=NOT_WELL)
        failed.update(run.run_id for run in instance.get_runs(filters))
    return failed


def _metadata(
    instance: dg.DagsterInstance, failed: Sequence[FailedPartition], step: str
) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"failed_partitions": dg.MetadataValue.int(len(failed))}
    if failed:
        metadata["reasons"] = dg.MetadataValue.md(_reasons(instance, failed, step))
    return metadata


def _reasons(instance: dg.DagsterInstance, failed: Sequence[FailedPartition], step: str) -> str:
    shown = failed[:SHOWN]  # each of them is a query
    return markdown.table(
        {"partition": str, "why": str, "run": str},
        ((each.partition, " ".join(_reason(instance, each.run_id, step).split()), each.run_id or "") for each in shown),
        total=len(failed),
    )


def _reason(instance: dg.DagsterInstance, run_id: str | None, step: str) -> str:
    if run_id is None:
        return "There has been no run: start one, or switch the sensor on"
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if entry.dagster_event is not None and entry.step_key == step:
            data = entry.dagster_event.step_failure_data
            failure = data.user_failure_data
            return failure.description if failure and failure.description else str(data.error_display_string)
    return "The run ended without a failed step: it was killed or could not start. See its log, and run it again"
