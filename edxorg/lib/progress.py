"""Callbacks by which a run in this process reports its progress and its result to the commands."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress(NamedTuple):
    """Progress of reading a file, and the rows that came out of it."""

    bytes_read: int
    bytes_total: int
    items: int
    """Members, or lines."""
    rows: int
    """Rows delivered."""


class RunReport(Protocol):
    """The final report of a file."""

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""


class RunObserver:
    """Receives progress and the final report of a run in the same thread; this base class ignores both."""

    def waiting(self, reason: str | None) -> None:
        """Called when the run begins to wait, with the reason, and with `None` when it goes on; in another thread."""

    def progress(self, progress: Progress) -> None:
        """Called often; must be quick."""

    def stage(self, work: str) -> None:
        """Called when all is read, with the work that is left."""

    def report(self, report: RunReport) -> None:
        """Called once, at the end."""


_observer: ContextVar[RunObserver | None] = ContextVar("_observer", default=None)


def current_observer() -> RunObserver:
    """Return the observer of the current run; without one, an observer that ignores all calls."""
    return _observer.get() or RunObserver()


@contextmanager
def observed_by(observer: RunObserver) -> Iterator[None]:
    """Have the runs of this block call `observer`."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
