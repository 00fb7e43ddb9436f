import json
import logging
import os
import secrets
import signal
import time
import traceback
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from ol_orchestrate.failures import (
    RETRIES,
    RETRY,
    FailureRetries,
    as_dagster_failure,
    errors_without_secrets,
    failed_steps,
    failure_of_partitions,
)
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingBucketError,
    MissingObjectError,
    PipelineError,
    ServiceError,
    SettingsError,
)
from ol_orchestrate.lib.redaction import remember_secrets


@pytest.mark.parametrize("terminated", [True, False])
def test_a_run_that_is_told_to_stop_stops(*, terminated: bool) -> None:
    """By somebody who terminates it, or because its machine is needed no longer; then it counts as failed."""

    @dg.op(retry_policy=RETRIES)
    def work(context: dg.OpExecutionContext) -> None:
        with as_dagster_failure(context):
            if terminated:
                context.instance.report_run_canceling(context.run)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    @dg.job
    def job() -> None:
        work()

    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is (dg.DagsterRunStatus.CANCELED if terminated else dg.DagsterRunStatus.FAILURE)
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in {event.event_type for event in result.all_events}


def test_a_transient_error_is_retried() -> None:
    attempts = []

    @dg.op(retry_policy=FailureRetries(max_retries=2, delay=0))
    def work(context: dg.OpExecutionContext) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            with as_dagster_failure(context):
                raise ServiceError("down")

    @dg.job
    def job() -> None:
        work()

    assert job.execute_in_process().success
    assert len(attempts) == 3


class FailingJob:
    """A job with an op for each way in which a text can leave a step, each with a secret of its own."""

    NAMES = (
        *("final", "passing", "unforeseen", "cause", "context", "note", "failure", "logged", "argument"),
        *("logged_error", "library", "form", "json", "base64"),
    )

    def __init__(self) -> None:
        self.canaries = {name: f"{name}+{secrets.token_hex(8)}" for name in self.NAMES}

    def fail(self, context: dg.OpExecutionContext) -> None:
        told = self.canaries
        context.log.info(f"echo of {told['logged']}")  # noqa: G004 - as careless code has it
        context.log.warning("echo of %s", told["argument"])
        logging.getLogger("a.library").warning("echo of %s", told["library"])
        try:
            os.environ[told["logged_error"]]
        except KeyError:
            context.log.exception("echo")
        match context.op.name:
            case "final":
                raise BadInputError(
                    f"echo of {told['final']}, {quote(told['form'], safe='')}, {json.dumps(told['json'])}"
                )
            case "passing":
                raise ServiceError(f"echo of {told['passing']}, {b64encode(told['base64'].encode()).decode()}")
            case "failure":
                raise dg.Failure(f"echo of {told['failure']}", allow_retries=False)
            case _:
                self.fail_in_a_chain()

    def fail_in_a_chain(self) -> None:
        try:
            try:
                raise OSError(self.canaries["context"])  # noqa: TRY301
            except OSError:
                raise KeyError(self.canaries["cause"])  # noqa: B904 - with a context, as careless code has it
        except KeyError as cause:
            error = ValueError(self.canaries["unforeseen"])
            error.add_note(self.canaries["note"])
            raise error from cause

    def definition(self) -> dg.JobDefinition:
        def op_named(name: str) -> dg.OpDefinition:
            @dg.op(name=name, retry_policy=FailureRetries(max_retries=1, delay=0))
            def work(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Dagster cannot read it as text
                with as_dagster_failure(context):
                    self.fail(context)

            return work

        ops = [op_named(name) for name in ("final", "passing", "failure", "unforeseen")]

        @dg.job
        def failing() -> None:
            for op in ops:
                op()

        return failing


@pytest.mark.parametrize("remembered", [True, False], ids=["secret", "no secret"])
def test_no_secret_is_stored_printed_or_logged_however_a_step_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], *, remembered: bool
) -> None:
    failing = FailingJob()
    if remembered:
        remember_secrets(failing.canaries)
    overrides = {"python_logs": {"managed_python_loggers": ["a.library"]}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=overrides) as instance:
        job = failing.definition()
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)
        stored = [dg.serialize_value(each) for each in (run, job.get_job_snapshot(), *instance.all_logs(result.run_id))]
    assert {event.step_key for event in result.get_step_failure_events()} == {
        "final",
        "passing",
        "failure",
        "unforeseen",
    }
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(content.startswith(b"SQLite") for content in files)
    told = "\n".join([*stored, *capfd.readouterr(), *(content.decode("latin-1") for content in files)])
    spelled = {
        name: [value, quote(value, safe=""), b64encode(value.encode()).decode()]
        for name, value in failing.canaries.items()
    }
    shown = {name for name, spellings in spelled.items() if any(each in told for each in spellings)}
    assert shown == (set() if remembered else set(failing.NAMES)), "each is shown where it is no secret"
    assert ("echo of …" in told) == remembered
    assert "ValueError: " in told


def test_the_error_of_a_sensor_is_raised_without_secrets() -> None:
    failing = FailingJob()
    remember_secrets(failing.canaries)
    with pytest.raises(Exception, match=r"^…") as caught, errors_without_secrets():
        failing.fail_in_a_chain()
    assert type(caught.value).__name__ == "ValueError"
    told = serializable_error_info_from_exc_info((caught.type, caught.value, caught.tb)).to_string()
    assert "KeyError" in told
    assert not [value for value in failing.canaries.values() if value in told]


def test_what_a_failed_run_says_of_retries_is_that_of_the_last_attempt() -> None:
    """A run that repeats another one begins with its tags."""
    errors: list[Exception | None] = [BadInputError("broken"), ServiceError("down"), None]

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        with as_dagster_failure(context, "school/permanent_failure"):
            if error := errors.pop(0):
                raise error

    @dg.job
    def job() -> None:
        work()

    told = []
    tags: dict[str, str] = {}
    with dg.instance_for_test() as instance:
        for _ in range(3):
            run_id = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id
            run = instance.get_run_by_id(run_id)
            assert run is not None
            tags = dict(run.tags)
            told.append((failed_steps(run), run.tags["school/permanent_failure"], run.tags[RETRY]))
    assert told == [({"work": "broken"}, "true", "false"), ({"work": "down"}, "false", "true"), ({}, "false", "true")]


@pytest.mark.parametrize(
    ("errors", "permanence"),
    [
        ([BadInputError("broken")], "true"),
        ([SettingsError("no profile")], "until_mended"),
        ([AccessRefusedError("no permission")], "until_mended"),
        ([MissingBucketError("no bucket")], "until_mended"),
        ([MissingObjectError("no object")], "until_mended"),
        ([BadInputError("broken"), SettingsError("no profile")], "until_mended"),
        ([ServiceError("down"), SettingsError("no profile")], "false"),
    ],
)
def test_a_run_says_if_an_operator_or_another_file_ends_its_failure(
    errors: list[PipelineError], permanence: str
) -> None:
    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        with as_dagster_failure(context, "school/permanent_failure"):
            raise failure_of_partitions({str(error): error for error in errors}, len(errors), "files")

    @dg.job
    def job() -> None:
        work()

    with dg.instance_for_test() as instance:
        run_id = job.execute_in_process(instance=instance, raise_on_error=False).run_id
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags.get("school/permanent_failure", "false") == permanence


@pytest.mark.parametrize(("error", "will_retry"), [(BadInputError("broken"), "false"), (ServiceError("down"), "true")])
def test_dagster_starts_a_failed_run_again_only_if_that_can_help(error: Exception, will_retry: str) -> None:
    """Even where all failures of steps are to be retried."""

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        with as_dagster_failure(context):
            raise error

    @dg.job
    def job() -> None:
        work()

    retries = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": True}}
    with dg.instance_for_test(overrides=retries) as instance:
        run_id = job.execute_in_process(instance=instance, raise_on_error=False).run_id
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == will_retry


def test_an_expected_error_of_a_sensor_comes_without_the_tracebacks_of_its_causes() -> None:
    def find_profile() -> None:
        try:
            os.environ["NO_SUCH_PROFILE"]
        except KeyError as error:
            raise BadInputError("there is no profile edxorg") from error

    with pytest.raises(BadInputError, match="there is no profile edxorg") as caught, errors_without_secrets():
        find_profile()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "find_profile" not in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
