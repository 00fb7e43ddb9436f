"""Reports the progress of a step to its run's log and to the observer of the run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edxorg.lib.progress import Progress, current_observer

if TYPE_CHECKING:
    from collections.abc import Callable

    import dagster as dg

SECONDS_BETWEEN_LOGS = 30


def reporter(log: dg.DagsterLogManager, items: str) -> Callable[[Progress], None]:
    """Return a function that tells progress to the observer of this run, and now and then to its log.

    Args:
        log: The run's log.
        items: The unit of progress, such as `members`.
    """
    observer = current_observer()
    started = last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        observer.progress(progress)
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LOGS:
            return
        last = now
        share = progress.bytes_read / max(progress.bytes_total, 1)
        left = (now - started) * (1 - share) / share if share else 0
        log.info("%.0f %% read, %s %s, about %.0f minutes left", share * 100, f"{progress.items:,}", items, left / 60)

    return report
