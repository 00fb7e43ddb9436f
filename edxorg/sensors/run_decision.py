"""The decision whether a file in a bucket needs a run, and the limits that all sensors keep."""

from __future__ import annotations

import time
from enum import Enum, auto
from typing import NamedTuple

import dagster as dg

RUNS_A_TICK = 50
"""The rest is asked for at the next tick."""

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

ABANDONED_AFTER = 24 * 60 * 60
"""Seconds after which a run that has started is taken for dead: a killed process leaves its run as started for ever,
unless Dagster's run monitoring is on. No run takes this long."""

ATTEMPTS = 3
"""Runs of one version of a file, in all, that may fail for reasons that may pass."""


class RunOutcome(Enum):
    """How the latest run of a file went."""

    UNDER_WAY = auto()
    SUCCEEDED = auto()
    CANCELED = auto()
    FAILED = auto()
    FAILED_PERMANENTLY = auto()
    """For reasons that stay until the file changes."""


class LatestRun(NamedTuple):
    """The latest run of a file; the first attempt at a version is number 1."""

    run_id: str
    outcome: RunOutcome
    attempt: int = 1


class RunDecision(Enum):
    """What a file needs. The values say it to people."""

    NEW_VERSION = "new or published again"
    NEVER_RUN = "recorded, but never run"
    RETRY = "failed, to be tried again"
    DONE = "done"
    IN_PROGRESS = "under way"
    CANCELED = "canceled by a user, left alone"
    RETRIES_EXHAUSTED = f"failed {ATTEMPTS} times, given up until it changes"
    FAILED_PERMANENTLY = "failed permanently, left until it changes"


NEEDS_A_RUN = frozenset({RunDecision.NEW_VERSION, RunDecision.NEVER_RUN, RunDecision.RETRY})


def decide_run(
    version: str, recorded: str | None, run: LatestRun | None, *, never_launched: bool = False
) -> RunDecision:
    """What a file needs that is there in this version.

    Args:
        version: As the store says now.
        recorded: The latest version that is recorded.
        run: The latest run, of whichever version.
        never_launched: The record asked for a run, and whoever made it was killed before launching that run.
    """
    if run is not None and run.outcome is RunOutcome.UNDER_WAY:
        # Whatever version it reads; what is published meanwhile has its turn afterwards.
        return RunDecision.IN_PROGRESS
    if recorded != version:
        return RunDecision.NEW_VERSION
    if run is None or never_launched:
        return RunDecision.NEVER_RUN
    match run.outcome:
        case RunOutcome.FAILED:
            return RunDecision.RETRY if run.attempt < ATTEMPTS else RunDecision.RETRIES_EXHAUSTED
        case RunOutcome.FAILED_PERMANENTLY:
            return RunDecision.FAILED_PERMANENTLY
        case RunOutcome.CANCELED:
            return RunDecision.CANCELED
        case _:
            return RunDecision.DONE


def is_under_way(status: dg.DagsterRunStatus, start_time: float | None) -> bool:
    """Whether a run waits or works; `start_time` in seconds since 1970, `None` if it has not started."""
    return status in UNFINISHED and (start_time is None or time.time() - start_time < ABANDONED_AFTER)
