"""From our errors to Dagster's failures, in one place: a retry only where a retry can help, and no secret in a text."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.redaction import redact, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator


PERMANENT_FAILURE = "edxorg/permanent_failure"
"""Tag of a run that failed for reasons that stay until somebody changes something: it is not worth repeating."""


class FailureRetries(dg.RetryPolicy):
    """Retries of failures; a run that is told to stop stops.

    A plain policy takes the interruption for a failure, and goes on a minute after somebody terminated the run.
    """

    def calculate_delay(self, attempt_num: int) -> int | float:
        """Seconds before an attempt, which Dagster asks for while it handles what ended the one before.

        Raises:
            dagster.DagsterExecutionInterruptedError, KeyboardInterrupt: That was an interruption.
        """
        reason = sys.exc_info()[1]
        if isinstance(reason, (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)):
            raise reason
        return super().calculate_delay(attempt_num)


RETRIES = FailureRetries(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)
"""What each step that reads or writes elsewhere has."""


class RunContext(Protocol):
    """What every context of a run has."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """Where the run is kept."""

    @property
    def run_id(self) -> str:
        """Which one it is."""


@contextmanager
def as_dagster_failure(context: RunContext) -> Iterator[None]:
    """Turn an error that is complete without its traceback into a failure that says it, and tag the run.

    What nobody foresaw is not retried either. Dagster's own retries of whole runs know nothing of the reason; a tag
    tells them. Dagster stores the texts of failures and of what caused them, so they are redacted here.
    """
    try:
        try:
            yield
        except PipelineError as error:
            raise dg.Failure(redact(str(error)), allow_retries=error.is_transient) from None
        except dg.Failure as failure:
            failure.description = redact(failure.description or "")
            failure.args = (failure.description,)
            raise
        except dg.RetryRequested:
            raise
        except Exception as error:  # noqa: BLE001 - raised again, as a failure
            description = redact(f"{type(error).__name__}: {error}")
            raise dg.Failure(description, allow_retries=False) from without_secrets(error)
    except dg.Failure as failure:
        if not failure.allow_retries:
            context.instance.add_run_tags(
                context.run_id, {PERMANENT_FAILURE: "true", "dagster/retry_on_asset_or_op_failure": "false"}
            )
        raise


@contextmanager
def errors_without_secrets() -> Iterator[None]:
    """Raise what is raised inside with its text redacted: for sensors, whose errors Dagster stores as they are."""
    try:
        yield
    except Exception as error:
        if (shown := without_secrets(error)) is not error:
            raise shown from shown.__cause__
        raise
