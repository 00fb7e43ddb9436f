"""Translation of our errors into Dagster's failures: a retry only where a retry can help, and no secret in a text."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.redaction import redact, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator


class FailureRetries(dg.RetryPolicy):
    """Retries failures, but not a run that was told to stop.

    Dagster's own policy takes the interruption for a failure, and resumes a minute after a user terminated the run.
    """

    def calculate_delay(self, attempt_num: int) -> int | float:
        """Return the seconds to wait before an attempt.

        Dagster calls this while it handles the exception that ended the attempt before.

        Raises:
            dagster.DagsterExecutionInterruptedError, KeyboardInterrupt: An interruption ended the attempt before.
        """
        reason = sys.exc_info()[1]
        if isinstance(reason, (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)):
            raise reason
        return super().calculate_delay(attempt_num)


RETRIES = FailureRetries(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)
"""The retry policy of each step that uses a store or a service."""


class RunContext(Protocol):
    """The attributes that Dagster's contexts of ops, assets and hooks share."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance that stores the run."""

    @property
    def run_id(self) -> str:
        """The id of the run."""


@contextmanager
def as_dagster_failure(context: RunContext, permanent_failure: str | None = None) -> Iterator[None]:
    """Re-raise expected errors as `dagster.Failure` without a traceback, and tag the run if a retry cannot help.

    Unexpected errors are not retried either. Dagster's retries of whole runs do not see the error, only the tag.
    Dagster stores the texts of failures and of their causes, so they are redacted here.

    Args:
        permanent_failure: The tag of a run that failed for a reason that stays until an operator changes something.
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
            tags = {"dagster/retry_on_asset_or_op_failure": "false"}
            if permanent_failure is not None:
                tags[permanent_failure] = "true"
            context.instance.add_run_tags(context.run_id, tags)
        raise


@contextmanager
def errors_without_secrets() -> Iterator[None]:
    """Re-raise errors with their texts redacted: for sensors, whose errors Dagster stores as they are."""
    try:
        yield
    except Exception as error:
        if (shown := without_secrets(error)) is not error:
            raise shown from shown.__cause__
        raise
