"""An asset check that lists the partitions whose latest run failed, with reasons; the Dagster UI has no such list."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import dagster as dg

from ol_orchestrate.automation import watched_asset
from ol_orchestrate.failures import IN_ITS_LOG, why_failed
from ol_orchestrate.landing.attempts import NOT_WELL
from ol_orchestrate.landing.records import latest_runs_without_record
from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.shortening import SHOWN

CHECK = "no_failed_partitions"

RUNS_AT_ONCE = 500

LOGS_READ = 5
"""Logs that an evaluation reads, for runs whose tags do not tell why they failed. On SQLite each is a file."""


class FailedPartition(NamedTuple):
    """A partition, the run that failed for it or was canceled, and why; `None` if there has never been a run."""

    partition: str
    run_id: str | None
    why: str


class PartitionedJob(NamedTuple):
    """A job that has a run for each partition of an external asset.

    Attributes:
        name: The name of the job.
        step: The step that fails with its run.
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
    definitions: dict[dg.AssetKey, list[dg.AssetsDefinition]] = {}
    for each in assets:
        for dep in next(iter(each.specs)).deps:
            definitions.setdefault(dep.asset_key, []).append(each)
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=upstream,
            description=(
                f"Lists the partitions of {' and '.join(_first_asset(each).to_user_string() for each in made_of_it)} "
                "whose latest run failed, and why."
            ),
            automation_condition=hourly,
        )
        for upstream, made_of_it in definitions.items()
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
                failed = failed_partitions_of_job(context.instance, job)
            else:
                made_of_it = definitions[key.asset_key]
                failed = [each for one in made_of_it for each in failed_partitions(context.instance, one)]
            yield dg.AssetCheckResult(
                check_name=CHECK,
                asset_key=key.asset_key,
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata=_metadata(context.instance, failed),
            )

    return list_failed_partitions


def failed_partitions(instance: dg.DagsterInstance, definition: dg.AssetsDefinition) -> list[FailedPartition]:
    """Return the existing partitions whose latest run failed before the definition's own step succeeded, by key.

    Dagster's own status of a partition says "failed" even after a later run succeeded with nothing new to record, and
    also when another asset of the same run failed.
    """
    attempts = latest_runs_without_record(instance, watched_asset(definition))
    partitions = definition.partitions_def
    existing = partitions.get_partition_keys(dynamic_partitions_store=instance) if attempts and partitions else ()
    latest = {partition: attempts[partition] for partition in sorted(attempts.keys() & set(existing))}
    runs = _failed_runs(set(latest.values()), instance)
    reasons = (
        (partition, run_id, why_failed(runs[run_id], definition.op.name, partition))
        for partition, run_id in latest.items()
        if run_id in runs
    )
    return [FailedPartition(partition, run_id, why) for partition, run_id, why in reasons if why is not None]


def failed_partitions_of_job(instance: dg.DagsterInstance, job: PartitionedJob) -> list[FailedPartition]:
    """Return the existing partitions whose latest run of a job failed, was canceled, or never came, by key."""
    latest = {run.partition: run for run in instance.get_run_partition_data(dg.RunsFilter(job_name=job.name))}
    runs = _failed_runs({run.run_id for run in latest.values() if run.status in NOT_WELL}, instance)
    failed = []
    for partition in sorted(job.partitions.get_partition_keys(dynamic_partitions_store=instance)):
        if (attempt := latest.get(partition)) is None:
            failed.append(FailedPartition(partition, None, "There has been no run: start one, or switch the sensor on"))
        elif (run := runs.get(attempt.run_id)) is not None:
            why = why_failed(run, job.step, partition) or "Another step of its run failed: see its log"
            failed.append(FailedPartition(partition, run.run_id, why))
    return failed


def _first_asset(definition: dg.AssetsDefinition) -> dg.AssetKey:
    return next(iter(definition.specs)).key


def _failed_runs(run_ids: set[str], instance: dg.DagsterInstance) -> dict[str, dg.DagsterRun]:
    failed: dict[str, dg.DagsterRun] = {}
    for some in batched(sorted(run_ids), RUNS_AT_ONCE):
        filters = dg.RunsFilter(run_ids=some, statuses=NOT_WELL)
        failed.update((run.run_id, run) for run in instance.get_runs(filters))
    return failed


def _metadata(instance: dg.DagsterInstance, failed: Sequence[FailedPartition]) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"failed_partitions": dg.MetadataValue.int(len(failed))}
    if failed:
        shown = failed[:SHOWN]
        unknown = [each.run_id for each in shown if each.run_id is not None and each.why == IN_ITS_LOG]
        in_logs = {run_id: _reason_in_log(instance, run_id) for run_id in unknown[:LOGS_READ]}
        rows = (
            (each.partition, " ".join(in_logs.get(each.run_id or "", each.why).split()), each.run_id or "")
            for each in shown
        )
        columns = {"partition": str, "why": str, "run": str}
        metadata["reasons"] = dg.MetadataValue.md(markdown.table(columns, rows, total=len(failed)))
    return metadata


def _reason_in_log(instance: dg.DagsterInstance, run_id: str) -> str:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if entry.dagster_event is not None:
            data = entry.dagster_event.step_failure_data
            failure = data.user_failure_data
            return failure.description if failure and failure.description else str(data.error_display_string)
    return IN_ITS_LOG
