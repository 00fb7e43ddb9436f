"""What all sensors keep to: a number of runs a tick, and never the same work twice at the same time."""

from __future__ import annotations

import time

import dagster as dg

RUNS_A_TICK = 50
"""The rest is asked for at the next tick."""

IN_PROGRESS = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

ABANDONED_AFTER = 24 * 60 * 60
"""Seconds after which a run that has started is taken for dead: a killed process leaves its run as started for ever,
unless Dagster's run monitoring is on. No run takes this long."""


def is_under_way(status: dg.DagsterRunStatus, start_time: float | None) -> bool:
    """Whether a run waits or works; `start_time` in seconds since 1970, `None` if it has not started."""
    return status in IN_PROGRESS and (start_time is None or time.time() - start_time < ABANDONED_AFTER)
