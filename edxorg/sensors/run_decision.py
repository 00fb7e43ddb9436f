"""Decides if a file in a bucket needs a run."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

ATTEMPTS = 3
"""Number of runs of one version of a file, in all, if they fail for transient reasons."""


HOURS_UNTIL_MENDED = 6
"""The pause after a run that failed for a setting. Few runs fail until it is mended, and the next needs no one."""


class RunOutcome(Enum):
    """The outcome of a file's latest run."""

    UNDER_WAY = auto()
    SUCCEEDED = auto()
    CANCELED = auto()
    FAILED = auto()
    FAILED_PERMANENTLY = auto()
    """The run fails again until the file changes."""
    FAILED_UNTIL_MENDED = auto()
    """The run fails again until an operator mends a setting, a credential, a permission or a missing object."""


class LatestRun(NamedTuple):
    """The latest run of a file; the first attempt at a version is number 1."""

    run_id: str
    outcome: RunOutcome
    attempt: int = 1
    hours_ago: float = 0.0
    """The time since it ended."""


class RunDecision(Enum):
    """The need of a file for a run. The values are shown to operators."""

    NEW_VERSION = "new or published again"
    NEVER_RUN = "recorded, but never run"
    RETRY = "failed, to be tried again"
    RETRY_IF_MENDED = (
        "failed for a setting, a credential, a permission or a missing object, to be tried again in case it is mended"
    )
    DONE = "done"
    IN_PROGRESS = "under way"
    AWAITS_OPERATOR = (
        "failed for a setting, a credential, a permission or a missing object: mend it and run again, or wait for the "
        f"next attempt, {HOURS_UNTIL_MENDED} hours after the last"
    )
    CANCELED = "canceled by a user, left alone"
    RETRIES_EXHAUSTED = f"failed {ATTEMPTS} times, given up until it changes or is run again"
    FAILED_PERMANENTLY = "failed permanently, left until it changes or is run again"

    @property
    def is_in(self) -> bool:
        """True if the file has come in."""
        return self is RunDecision.DONE


NEEDS_A_RUN = (RunDecision.NEW_VERSION, RunDecision.NEVER_RUN, RunDecision.RETRY, RunDecision.RETRY_IF_MENDED)


def decide_run(
    version: str, recorded: str | None, run: LatestRun | None, *, never_launched: bool = False
) -> RunDecision:
    """Decide if a file needs a run.

    Args:
        version: The version in the store now.
        recorded: The latest version that is recorded.
        run: The latest run, of any version.
        never_launched: True if the record asks for a run, but the sensor was killed before it launched that run.
    """
    if run is not None and run.outcome is RunOutcome.UNDER_WAY:
        # This holds for any version that it reads; a version that is published meanwhile has its turn afterwards.
        return RunDecision.IN_PROGRESS
    if recorded != version:
        return RunDecision.NEW_VERSION
    if run is None or never_launched:
        return RunDecision.NEVER_RUN
    match run.outcome:
        case RunOutcome.FAILED:
            return RunDecision.RETRY if run.attempt < ATTEMPTS else RunDecision.RETRIES_EXHAUSTED
        case RunOutcome.FAILED_UNTIL_MENDED:
            return RunDecision.RETRY_IF_MENDED if run.hours_ago >= HOURS_UNTIL_MENDED else RunDecision.AWAITS_OPERATOR
        case RunOutcome.FAILED_PERMANENTLY:
            return RunDecision.FAILED_PERMANENTLY
        case RunOutcome.CANCELED:
            return RunDecision.CANCELED
        case _:
            return RunDecision.DONE
