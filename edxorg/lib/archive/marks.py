"""The mark that an archive run leaves in the landing zone before it writes, and removes when it is over.

A mark that is still there tells the next run that there may be objects that are not recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from edxorg.lib.object_keys import RUN_MARKS, run_mark_key, run_of_mark
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from ol_orchestrate.lib.stores import ObjectStore

LONGEST_RUN = timedelta(days=7)
"""A run whose mark is older counts as over, even if it is not known to be."""


BEGINNING = timedelta(minutes=10)
"""Workers that begin together may each write the mark, and the last one dates it, when others have written objects:
all that a run has written is younger than its mark and this time before it."""


@dataclass(frozen=True, slots=True)
class RunMark:
    """The mark of one attempt of a run.

    Attributes:
        run: The run's id, without a dot.
        attempt: Number of the attempt, from 0 on.
        archive: Name of the archive. This and the rest is for operators who find the mark.
        archive_version: The store's version of the archive.
        started: Start of the attempt.
    """

    run: str = field(default_factory=lambda: uuid4().hex)
    attempt: int = 0
    archive: str = ""
    archive_version: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> str:
        """The object key of the mark."""
        return run_mark_key(self.run, self.attempt)

    def leave_in(self, store: ObjectStore) -> datetime:
        """Put the mark into a landing zone, unless it is there, and return its time by the store's clock."""
        if there := store.find(self.key):
            return there.modified
        content = {
            "run": self.run,
            "archive": self.archive,
            "archive_version": self.archive_version,
            "started": self.started.isoformat(),
        }
        store.write(self.key, json.dumps(content).encode())
        found = store.find(self.key)
        if found is None:
            raise ServiceError(f"{join_url(store.url, self.key)}: this mark was written, and is gone. Run again")
        return found.modified


class FoundMark(NamedTuple):
    """A mark in a landing zone: the id of its run, its object key, and the time when it was written."""

    run: str
    key: str
    left: datetime

    @property
    def began(self) -> datetime:
        """A time before which its run has written nothing."""
        return self.left - BEGINNING

    @property
    def is_old(self) -> bool:
        """True if the mark is older than any run takes."""
        return datetime.now(UTC) - self.left > LONGEST_RUN


def marks_in(store: ObjectStore) -> list[FoundMark]:
    """Return the marks of all runs."""
    return [FoundMark(run_of_mark(each.key), each.key, each.modified) for each in store.list_folder(RUN_MARKS)]
