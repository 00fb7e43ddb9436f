"""Who wants to know how far a run is, and what came of it, besides the run's own log: the commands."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress(NamedTuple):
    """How far the reading of a file is, and what came out of it."""

    bytes_read: int
    bytes_total: int
    items: int
    """Members, or lines."""
    rows: int
    """Rows delivered."""


class RunReport(Protocol):
    """What became of everything in a file."""

    def as_json(self) -> dict[str, object]:
        """For programs."""


class RunObserver:
    """Somebody who watches a run in the same thread; this one looks away."""

    def waiting(self, reason: str | None) -> None:
        """Called when the run begins to wait, with the reason, and with `None` when it goes on; in another thread."""

    def progress(self, progress: Progress) -> None:
        """Called often; must be quick."""

    def report(self, report: RunReport) -> None:
        """Called once, when all is known."""


_observer: ContextVar[RunObserver | None] = ContextVar("_observer", default=None)


def current_observer() -> RunObserver:
    """Whom to tell."""
    return _observer.get() or RunObserver()


@contextmanager
def observed_by(observer: RunObserver) -> Iterator[None]:
    """Have the runs of this block tell `observer`."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
