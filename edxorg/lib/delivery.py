"""What happens to a version of an object: written, recorded, both or neither.

A version is known by its content. It is *recorded* when Dagster has a materialization for it, and *there* when its
object is in the landing zone. Loaders read objects by their time of change and reload what was rewritten, so an object
that is there is left alone, unless an earlier version has come back and must be the newest again. A run that died
between writing and recording leaves objects that are there and not recorded; they are recorded by the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import date, datetime


class Outcome(StrEnum):
    """What became of a member or a log, as people are told."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest recorded version of an asset's partition, and the date of the archive it came from."""

    version: str
    archive_date: date | None


class Versions(Protocol):
    """The versions of one asset's partition in the landing zone."""

    one_key: bool
    """Whether each version takes the place of the one before, so that the one that is there is the newest."""

    def written(self, version: str) -> datetime | None:
        """When the object of this version was last written, by the store's clock; `None` if it is not there."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do."""

    write: bool
    record: bool
    outcome: Outcome


WRITE_AND_RECORD = Decision(write=True, record=True, outcome=Outcome.DELIVERED)
RECORD_ONLY = Decision(write=False, record=True, outcome=Outcome.DELIVERED)
UNCHANGED = Decision(write=False, record=False, outcome=Outcome.UNCHANGED)
SUPERSEDED = Decision(write=False, record=False, outcome=Outcome.SUPERSEDED)


def decide(
    version: str,
    archive_date: date | None,
    *,
    recorded: Recorded | None,
    versions: Versions,
    supersede: bool = False,
) -> Decision:
    """Decide about one version, with at most two questions to the store.

    Args:
        version: What came out of the archive.
        archive_date: The date in the archive's name.
        recorded: What was recorded last.
        versions: What is in the store.
        supersede: Let an older archive replace what a later one brought.
    """
    if is_superseded(archive_date, recorded, supersede=supersede):
        return SUPERSEDED
    written = versions.written(version)
    if written is None:
        return WRITE_AND_RECORD
    if recorded is None:
        return RECORD_ONLY
    if recorded.version == version:
        return UNCHANGED
    if versions.one_key:
        return RECORD_ONLY
    recorded_written = versions.written(recorded.version)
    # Clocks of stores tick in seconds: what was written within one tick is in no known order. Then, and where the
    # recorded object is gone and cannot be compared with, writing again is what makes this version the newest.
    if recorded_written is not None and written > recorded_written:
        return RECORD_ONLY
    return WRITE_AND_RECORD


def is_superseded(archive_date: date | None, recorded: Recorded | None, *, supersede: bool) -> bool:
    """Whether what was recorded last came from a later archive, which this one must not undo."""
    if supersede or recorded is None or recorded.archive_date is None or archive_date is None:
        return False
    return recorded.archive_date > archive_date
