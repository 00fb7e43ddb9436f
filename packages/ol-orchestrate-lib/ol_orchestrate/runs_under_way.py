"""The runs that sensors wait for."""

from __future__ import annotations

import time

import dagster as dg

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

ABANDONED_AFTER = 24 * 60 * 60
"""Seconds after which a started run counts as dead: a killed process leaves its run as started for ever, unless
Dagster's run monitoring is on. No run takes this long."""


def is_under_way(status: dg.DagsterRunStatus, start_time: float | None) -> bool:
    """Return True if a run waits or works; `start_time` in seconds since 1970, `None` if it has not started."""
    return status in UNFINISHED and (start_time is None or time.time() - start_time < ABANDONED_AFTER)
