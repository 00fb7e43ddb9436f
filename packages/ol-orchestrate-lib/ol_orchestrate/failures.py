"""Translation of our errors into Dagster's failures: a retry only where a retry can help, and no secret in a text.

A run that fails says so in its tags, which one query reads for many runs; the text of a failure is in the log of its
run alone, which on SQLite is a file of its own. `why_failed` reads them.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from ol_orchestrate import long_tags
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.redaction import redact, without_secrets
from ol_orchestrate.lib.shortening import first_and_more

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


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


RETRY = "dagster/retry_on_asset_or_op_failure"
"""Dagster's tag of a run that it may start again although a step failed."""

FAILURE_REASON = "dagster/failure_reason"
"""Dagster's tag of a run that failed; it is missing, or not `STEP_FAILURE`, if the process of the run was killed."""

DIED = "The run ended without a failed step: it was killed or could not start"

FAILED_STEP = "failed/"
"""Prefix of the tag of a step that failed; its value is the reason, and empty once the step has succeeded after all."""

FAILED_PARTITIONS = "failed_partitions/"
"""Prefix of further tags, if the step has several partitions: reasons by partition, as `long_tags` writes them."""

REASONS = "failed partitions"
"""Metadata of the failure of a step that has several partitions: reasons by partition."""

IN_ITS_LOG = "The log of the run says why"
"""The reason of a failure that `as_dagster_failure` has not seen."""

AWAITS_OPERATOR = "awaits an operator"
"""Metadata of the failure of a step that lasts until an operator mends what `awaits_operator` means."""

PERMANENT = "true"
"""Value of the tag of a run that fails again until its input changes; `false` if it failed for a transient reason."""

UNTIL_MENDED = "until_mended"
"""Value of that tag if the run fails again until an operator mends what `awaits_operator` means."""

MAX_REASON = 500
"""Characters of the reason of one of several partitions that a tag keeps."""


class RunContext(Protocol):
    """The attributes that Dagster's contexts of ops, assets and IO managers share."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance that stores the run."""

    @property
    def run_id(self) -> str:
        """The id of the run."""

    @property
    def op_def(self) -> dg.OpDefinition:
        """The op of the step."""


@contextmanager
def as_dagster_failure(context: RunContext, permanent_failure: str | None = None) -> Iterator[None]:
    """Re-raise expected errors as `dagster.Failure` without a traceback, and tag the run if a retry cannot help.

    Unexpected errors are not retried either. Dagster's retries of whole runs do not see the error, only the tag.
    Dagster stores the texts of failures and of their causes, so they are redacted here.

    Args:
        permanent_failure: The tag that says of a failed run whether it fails again: `PERMANENT`, `UNTIL_MENDED`, or
            `false`.
    """
    try:
        try:
            yield
        except PipelineError as error:
            raise failure_of(str(error), [error]) from None
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
        _tell_failure(context, failure, permanent_failure)
        raise
    else:
        _forget_failure(context, permanent_failure)


def failure_of(
    text: str, errors: Iterable[PipelineError], metadata: Mapping[str, dg.MetadataValue[Any]] | None = None
) -> dg.Failure:
    """Return the failure of a step, which is retried if that can help with one of its errors."""
    errors = list(errors)
    return failure(
        text,
        is_transient=any(error.is_transient for error in errors),
        awaits_operator=any(error.awaits_operator for error in errors),
        metadata=metadata,
    )


def failure(
    text: str,
    *,
    is_transient: bool,
    awaits_operator: bool,
    metadata: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> dg.Failure:
    """Return the failure of a step; see `PipelineError` for what the two qualities mean."""
    lasts = {AWAITS_OPERATOR: dg.MetadataValue.bool(True)} if awaits_operator else {}
    return dg.Failure(redact(text), metadata={**(metadata or {}), **lasts}, allow_retries=is_transient)


def failure_of_partitions(errors: Mapping[str, PipelineError], partitions: int, noun: str) -> dg.Failure:
    """Return the failure of a step in which some partitions failed, each alone.

    Args:
        errors: The errors by partition.
        partitions: The number of all partitions of the run.
        noun: A word for several of them.
    """
    reasons = {partition: redact(str(error)) for partition, error in errors.items()}
    if partitions == 1:
        return failure_of(next(iter(reasons.values())), errors.values())
    text = "\n".join(
        [
            f"{len(errors)} of {partitions} {noun} failed; the others were delivered",
            *first_and_more(list(reasons.values())),
        ]
    )
    return failure_of(text, errors.values(), {REASONS: dg.MetadataValue.json(reasons)})


def why_failed(run: dg.DagsterRun, step: str, partition: str | None = None) -> str | None:
    """Return the reason for which a step failed, or one of its partitions, in a run that did not end well.

    Returns:
        `None` if it was another step or partition that failed.
    """
    if run.status is dg.DagsterRunStatus.CANCELED:
        return "The run was canceled: run it again"
    if has_died(run):
        return f"{DIED}. See its log, and run it again"
    reasons = failed_steps(run)
    if not reasons:
        return IN_ITS_LOG
    if step not in reasons:
        return None
    of_partitions = reasons_by_partition(run, step)
    return of_partitions.get(partition) if partition is not None and of_partitions else reasons[step]


def has_died(run: dg.DagsterRun) -> bool:
    """Return True if a run failed, and none of its steps did."""
    return run.tags.get(FAILURE_REASON) != "STEP_FAILURE"


def failed_steps(run: dg.DagsterRun) -> dict[str, str]:
    """Return the steps of a run that failed, and why."""
    return {tag.removeprefix(FAILED_STEP): why for tag, why in run.tags.items() if tag.startswith(FAILED_STEP) and why}


def reasons_by_partition(run: dg.DagsterRun, step: str) -> dict[str, str]:
    """Return the partitions of a step that failed, and why; empty unless the step has several partitions."""
    return long_tags.joined(f"{FAILED_PARTITIONS}{step}", run.tags) or {}


def _tell_failure(context: RunContext, failure: dg.Failure, permanent_failure: str | None) -> None:
    """Tag a run with the reason, and with what it means for further attempts."""
    step = context.op_def.name
    before = _tags_of(context)
    is_new = not before.get(f"{FAILED_STEP}{step}")
    tags = {f"{FAILED_STEP}{step}": long_tags.shortened(failure.description or "It failed without a reason")}
    if REASONS in failure.metadata:
        reasons: Mapping[str, str] = failure.metadata[REASONS].value  # type: ignore[assignment]
        kept = {partition: _shortened(why) for partition, why in reasons.items()}
        tags |= long_tags.split(f"{FAILED_PARTITIONS}{step}", kept, earlier=before)
    # Another step may have failed for good, but what this step said of itself in an earlier attempt is over.
    if not failure.allow_retries or not is_new:
        tags[RETRY] = str(failure.allow_retries).lower()
        if permanent_failure is not None:
            final = UNTIL_MENDED if AWAITS_OPERATOR in failure.metadata else PERMANENT
            tags[permanent_failure] = "false" if failure.allow_retries else final
    context.instance.add_run_tags(context.run_id, tags)


def _forget_failure(context: RunContext, permanent_failure: str | None) -> None:
    """Take back what the step's earlier attempt said, in this run or in the one that it repeats, whose tags it has."""
    step = context.op_def.name
    before = _tags_of(context)
    if not before.get(f"{FAILED_STEP}{step}"):
        return
    tags = {f"{FAILED_STEP}{step}": "", **long_tags.emptied(f"{FAILED_PARTITIONS}{step}", before), RETRY: "true"}
    if permanent_failure is not None:
        tags[permanent_failure] = "false"
    context.instance.add_run_tags(context.run_id, tags)


def _tags_of(context: RunContext) -> Mapping[str, str]:
    run = context.instance.get_run_by_id(context.run_id)
    return run.tags if run else {}


def _shortened(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"


@contextmanager
def errors_without_secrets() -> Iterator[None]:
    """Re-raise errors with their texts redacted: for sensors, whose errors Dagster stores as they are.

    An error that is complete without its traceback, such as a profile that is not there, loses that of its causes.
    """
    try:
        yield
    except PipelineError as error:
        # Another object, since a context manager gives the same one its traceback back.
        kind = type(error)
        raise kind.__new__(kind, redact(str(error))) from None
    except Exception as error:
        if (shown := without_secrets(error)) is not error:
            raise shown from shown.__cause__
        raise
