import os
import signal
import time

import dagster as dg
import pytest

from ol_orchestrate.failures import RETRIES, FailureRetries, failures_for_people
from ol_orchestrate.lib.errors import ServiceError


@pytest.mark.parametrize("terminated", [True, False])
def test_a_run_that_is_told_to_stop_stops(*, terminated: bool) -> None:
    """By somebody who terminates it, or because its machine is needed no longer; then it counts as failed."""

    @dg.op(retry_policy=RETRIES)
    def work(context: dg.OpExecutionContext) -> None:
        with failures_for_people(context):
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


def test_what_may_pass_is_tried_again() -> None:
    attempts = []

    @dg.op(retry_policy=FailureRetries(max_retries=2, delay=0))
    def work(context: dg.OpExecutionContext) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            with failures_for_people(context):
                raise ServiceError("down")

    @dg.job
    def job() -> None:
        work()

    assert job.execute_in_process().success
    assert len(attempts) == 3
