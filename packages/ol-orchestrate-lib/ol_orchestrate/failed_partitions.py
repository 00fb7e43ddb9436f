"""A check that lists the partitions of an asset whose latest run failed, which no page of Dagster does."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import dagster as dg

from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.shortening import SHOWN, first_and_more

CHECK = "no_failed_partitions"

RUNS_AT_ONCE = 500


class FailedPartition(NamedTuple):
    """A partition and the run that failed for it."""

    partition: str
    run_id: str


def failed_partitions_check(assets: Sequence[dg.AssetsDefinition]) -> dg.AssetChecksDefinition:
    """The check, one for each definition; a warning, which blocks nothing. It runs every hour once automation is on.

    It sits on what the definition's assets are made of, which no run makes: each run of a partition would evaluate it
    along with the asset, and take it for skipped where the asset fails.
    """
    hourly: dg.AutomationCondition[dg.AssetCheckKey] = dg.AutomationCondition.cron_tick_passed("30 * * * *")
    made_of = {dep.asset_key: each for each in assets for dep in next(iter(each.specs)).deps}
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=source,
            description=f"Lists the partitions of {_first(made).to_user_string()} whose latest run failed, and why.",
            automation_condition=hourly,
        )
        for source, made in made_of.items()
    ]

    @dg.multi_asset_check(name="list_failed_partitions", specs=specs, can_subset=True)
    def list_failed_partitions(context: dg.AssetCheckExecutionContext) -> Iterable[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            made = made_of[key.asset_key]
            failed = failed_partitions(context.instance, made)
            yield dg.AssetCheckResult(
                check_name=CHECK,
                asset_key=key.asset_key,
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata=_metadata(context.instance, failed, made.op.name),
            )

    return list_failed_partitions


def failed_partitions(instance: dg.DagsterInstance, definition: dg.AssetsDefinition) -> list[FailedPartition]:
    """The partitions that are there and whose latest run failed before the definition's own step was done, by key.

    Dagster's own status of a partition stays "failed" when a later run succeeds without anything new to record, and
    is "failed" too when another asset of the same run was what failed.
    """
    attempts = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        _first(definition)
    )
    partitions = definition.partitions_def
    there = partitions.get_partition_keys(dynamic_partitions_store=instance) if attempts and partitions else ()
    latest = {partition: attempts[partition][0] for partition in sorted(attempts.keys() & set(there))}
    failed_runs = {
        run_id for run_id in _failed(set(latest.values()), instance) if not _done(run_id, definition.op.name, instance)
    }
    return [FailedPartition(key, run_id) for key, run_id in latest.items() if run_id in failed_runs]


def _first(definition: dg.AssetsDefinition) -> dg.AssetKey:
    return next(iter(definition.specs)).key


def _done(run_id: str, step: str, instance: dg.DagsterInstance) -> bool:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    return any(event.step_key == step for event in events)


def _failed(run_ids: set[str], instance: dg.DagsterInstance) -> set[str]:
    ids = sorted(run_ids)
    failed: set[str] = set()
    for start in range(0, len(ids), RUNS_AT_ONCE):
        filters = dg.RunsFilter(run_ids=ids[start : start + RUNS_AT_ONCE], statuses=[dg.DagsterRunStatus.FAILURE])
        failed.update(run.run_id for run in instance.get_runs(filters))
    return failed


def _metadata(
    instance: dg.DagsterInstance, failed: Sequence[FailedPartition], step: str
) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"failed_partitions": dg.MetadataValue.int(len(failed))}
    if failed:
        metadata["partitions"] = dg.MetadataValue.json(first_and_more([each.partition for each in failed]))
        metadata["reasons"] = dg.MetadataValue.md(_reasons(instance, failed, step))
    return metadata


def _reasons(instance: dg.DagsterInstance, failed: Sequence[FailedPartition], step: str) -> str:
    shown = failed[:SHOWN]  # each of them is a query
    return markdown.table(
        {"partition": str, "why": str, "run": str},
        ((each.partition, " ".join(_reason(instance, each.run_id, step).split()), each.run_id) for each in shown),
        total=len(failed),
    )


def _reason(instance: dg.DagsterInstance, run_id: str, step: str) -> str:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if entry.dagster_event is not None and entry.step_key == step:
            data = entry.dagster_event.step_failure_data
            failure = data.user_failure_data
            return failure.description if failure and failure.description else str(data.error_display_string)
    return "the run ended without a failed step: it was killed, or could not start"
