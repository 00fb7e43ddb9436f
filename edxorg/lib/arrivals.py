"""Whether a file that is in a bucket still needs a run; knows nothing of Dagster."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

ATTEMPTS = 3
"""Runs of one version of a file, in all, that may fail for reasons that may pass."""


class Outcome(Enum):
    """How the latest run of a file went."""

    UNDER_WAY = auto()
    SUCCEEDED = auto()
    CANCELED = auto()
    FAILED = auto()
    FAILED_FOR_GOOD = auto()
    """For reasons that stay until the file changes."""


class LatestRun(NamedTuple):
    """The latest run of a file; the first attempt at a version is number 1."""

    run_id: str
    outcome: Outcome
    attempt: int = 1


class Need(Enum):
    """What a file needs. The values say it to people."""

    ARRIVAL = "new or published again"
    RUN = "recorded, but never run"
    ANOTHER_RUN = "failed, to be tried again"
    NOTHING = "done"
    WAITS = "under way"
    IS_LEFT = "canceled by somebody, left alone"
    IS_GIVEN_UP = f"failed {ATTEMPTS} times, given up until it changes"
    IS_BROKEN = "failed for good, left until it changes"


NEEDS_A_RUN = frozenset({Need.ARRIVAL, Need.RUN, Need.ANOTHER_RUN})


def need(version: str, recorded: str | None, run: LatestRun | None, *, never_launched: bool = False) -> Need:
    """What a file needs that is there in this version.

    Args:
        version: As the store says now.
        recorded: The latest version that is recorded.
        run: The latest run, of whichever version.
        never_launched: The record asked for a run, and whoever made it was killed before launching that run.
    """
    if run is not None and run.outcome is Outcome.UNDER_WAY:
        # Whatever version it reads; what is published meanwhile has its turn afterwards.
        return Need.WAITS
    if recorded != version:
        return Need.ARRIVAL
    if run is None or never_launched:
        return Need.RUN
    match run.outcome:
        case Outcome.FAILED:
            return Need.ANOTHER_RUN if run.attempt < ATTEMPTS else Need.IS_GIVEN_UP
        case Outcome.FAILED_FOR_GOOD:
            return Need.IS_BROKEN
        case Outcome.CANCELED:
            return Need.IS_LEFT
        case _:
            return Need.NOTHING
