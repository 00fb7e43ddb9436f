"""The check that lists partitions whose runs of a job did not end well."""

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.engine import Connection

from ol_orchestrate.failed_partitions import CHECK, PartitionedJob, failed_partitions_check
from ol_orchestrate.failures import as_dagster_failure
from ol_orchestrate.lib.errors import BadInputError

FILES = dg.DynamicPartitionsDefinition(name="files")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.op(out=dg.Out(dg.Nothing))
def read(context: dg.OpExecutionContext) -> None:
    if context.partition_key.startswith("bad"):
        raise dg.Failure(f"{context.partition_key} is broken", allow_retries=False)


@dg.job(partitions_def=FILES)
def read_files() -> None:
    read()


FILE = dg.AssetSpec("file", partitions_def=FILES)
CHECKS = failed_partitions_check([], [PartitionedJob("read_files", "read", FILE.key, FILES)])


def found(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    defs = dg.Definitions(assets=[FILE], asset_checks=[CHECKS], jobs=[read_files])
    job = defs.resolve_implicit_global_asset_job_def()
    (evaluation,) = job.execute_in_process(instance=instance, run_config=QUIET).get_asset_check_evaluations()
    assert evaluation.check_name == CHECK
    return evaluation


def test_partitions_of_a_job_that_failed_or_never_ran_are_listed_with_reasons() -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("files", ["bad", "canceled", "good", "never", "again"])
        for partition in ("bad", "good", "again", "canceled"):
            read_files.execute_in_process(
                instance=instance, partition_key=partition, raise_on_error=False, run_config=QUIET
            )
        canceled = instance.create_run_for_job(read_files, tags={"dagster/partition": "canceled"})
        instance.report_run_canceled(canceled)
        evaluation = found(instance)
        assert not evaluation.passed
        reasons = str(evaluation.metadata["reasons"].value)
        listed = [line.split(" | ")[0] for line in reasons.splitlines()[2:]]
        assert listed == ["| bad", "| canceled", "| never"]
        assert "bad is broken" in reasons
        assert "There has been no run" in reasons
        instance.delete_dynamic_partition("files", "never")
        for partition in ("bad", "canceled"):
            instance.delete_dynamic_partition("files", partition)
        assert found(instance).passed


@dg.op(out=dg.Out(dg.Nothing))
def read_with_reason(context: dg.OpExecutionContext) -> None:
    with as_dagster_failure(context):
        raise BadInputError(f"{context.partition_key} is truncated")


@dg.job(partitions_def=FILES)
def read_files_with_reason() -> None:
    read_with_reason()


def test_the_check_asks_as_often_for_many_failed_runs_as_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = failed_partitions_check(
        [], [PartitionedJob("read_files_with_reason", "read_with_reason", FILE.key, FILES)]
    )
    job = dg.Definitions(assets=[FILE], asset_checks=[checks]).resolve_implicit_global_asset_job_def()
    statements: list[str] = []
    logs_opened: list[str] = []
    execute, opened = Connection.execute, SqliteEventLogStorage.run_connection

    def counted(connection: Connection, statement: object, *args: object, **options: object) -> object:
        if str(statement).startswith("SELECT"):
            statements.append(str(statement))
        return execute(connection, statement, *args, **options)  # type: ignore[call-overload]

    def noted(storage: SqliteEventLogStorage, run_id: str | None = None) -> object:
        logs_opened.append(str(run_id))
        return opened(storage, run_id)

    monkeypatch.setattr(Connection, "execute", counted)
    monkeypatch.setattr(SqliteEventLogStorage, "run_connection", noted)
    asked = []
    with dg.instance_for_test() as instance:
        for number in range(12):
            instance.add_dynamic_partitions("files", [f"file {number}"])
            failed = read_files_with_reason.execute_in_process(
                instance=instance, partition_key=f"file {number}", raise_on_error=False, run_config=QUIET
            )
            assert not failed.success
            if number in {0, 11}:
                statements.clear()
                logs_opened.clear()
                result = job.execute_in_process(instance=instance, run_config=QUIET)
                (evaluation,) = result.get_asset_check_evaluations()
                assert evaluation.metadata["failed_partitions"].value == number + 1
                assert f"file {number} is truncated" in str(evaluation.metadata["reasons"].value)
                assert set(logs_opened) == {result.run_id}, "it reads no log but writes its own"
                asked.append(len(statements))
    assert asked[0] == asked[1]
