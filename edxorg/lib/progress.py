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


class Account(Protocol):
    """What became of everything in a file."""

    def as_json(self) -> dict[str, object]:
        """For programs."""


class Watcher:
    """Somebody who watches a run in the same thread; this one looks away."""

    def progress(self, progress: Progress) -> None:
        """Called often; must be quick."""

    def account(self, account: Account) -> None:
        """Called once, when all is known."""


_watcher: ContextVar[Watcher | None] = ContextVar("_watcher", default=None)


def watcher_of_this_run() -> Watcher:
    """Whom to tell."""
    return _watcher.get() or Watcher()


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Have the runs of this block tell `watcher`."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
