"""The check that lists partitions whose runs of a job did not end well."""

import dagster as dg

from ol_orchestrate.failed_partitions import CHECK, PartitionedJob, failed_partitions_check

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
