"""What happens to a version of an object: written, recorded, both or neither.

A version is known by its content. It is *recorded* when Dagster has a materialization for it, and *there* when its
object is in the landing zone. Loaders read objects by their time of change and reload what was rewritten, so an object
that is there is left alone, unless an earlier version has come back and must be the newest again. A run that died
between writing and recording leaves objects that are there and not recorded; they are recorded by the next run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from ol_orchestrate.lib.stores.base import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime

    from ol_orchestrate.lib.stores import ObjectStore


class Outcome(StrEnum):
    """What became of an object, as people are told."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Shape:
    """What people notice when a table is not as it was; nothing is known of what is no table.

    Attributes:
        rows: How many.
        columns: A short hash of their names.
    """

    rows: int | None = None
    columns: str | None = None

    @classmethod
    def of(cls, rows: int | None, columns: Sequence[str] | None) -> Self:
        """Of a table with these columns; `None` for what is not known."""
        return cls(rows, None if columns is None else short_hash("\t".join(columns)))


NO_TABLE = Shape()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest recorded version of an asset's partition.

    Attributes:
        version: Data version.
        source_date: The date of the file it came from, if that has one.
        shape: Of a table.
        before: The shape of the version that this one replaced.
        made_from: Tells apart what it was made from, and how; what is made from the same in the same way has the same
            version.
    """

    version: str
    source_date: date | None
    shape: Shape = NO_TABLE
    before: Shape = NO_TABLE
    made_from: str | None = None

    def replaced_by(self, version: str | None, source_date: date | None) -> Shape:
        """The shape of what a version replaces, or has replaced.

        It stays the same when a file is read again that brought the version, so that what was to be seen is not lost
        with a run that is repeated.

        Args:
            version: The version; `None` for a table without rows, which has none.
            source_date: The date of the file that has it.
        """
        if self.version != version:
            return self.shape
        return self.before if self.came_with(version, source_date) else NO_TABLE

    def came_with(self, version: str | None, source_date: date | None) -> bool:
        """Whether this is the version, and the file of that date brought it."""
        return (self.version, self.source_date) == (version, source_date)


def short_hash(text: str) -> str:
    """Twelve hex digits: for tags, which have 63 characters at most."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Versions(Protocol):
    """The versions of one asset's partition in the landing zone."""

    @property
    def one_key(self) -> bool:
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
    source_date: date | None,
    *,
    recorded: Recorded | None,
    versions: Versions,
    supersede: bool = False,
) -> Decision:
    """Decide about one version, with at most two questions to the store.

    Args:
        version: What is to be delivered.
        source_date: The date of the file it came from.
        recorded: What was recorded last.
        versions: What is in the store.
        supersede: Let an older file replace what a later one brought.
    """
    if is_superseded(source_date, recorded, supersede=supersede):
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


def is_superseded(source_date: date | None, recorded: Recorded | None, *, supersede: bool) -> bool:
    """Whether what was recorded last came from a later file, which this one must not undo."""
    if supersede or recorded is None or recorded.source_date is None or source_date is None:
        return False
    return recorded.source_date > source_date


@dataclass(frozen=True, slots=True)
class Copies:
    """Versions in a store, each under a key of its own.

    Attributes:
        store: Where.
        key_of: From a version to its key.
    """

    store: ObjectStore
    key_of: Callable[[str], str]
    one_key: bool = False

    def written(self, version: str) -> datetime | None:
        """See `Versions.written`."""
        found = self.store.find(self.key_of(version))
        return found.modified if found else None

    def write(self, version: str, content: BinaryIO) -> None:
        """Put a version there."""
        self.store.write(self.key_of(version), content)


@dataclass(frozen=True, slots=True)
class OneCopy:
    """Versions in a store that take each other's place; the object's metadata says which one it is.

    Attributes:
        store: Where.
        key: Of all versions.
    """

    store: ObjectStore
    key: str
    one_key: bool = True

    def written(self, version: str) -> datetime | None:
        """See `Versions.written`."""
        found = self.store.find(self.key, with_metadata=True)
        return found.modified if found and found.metadata.get(VERSION) == version else None

    def write(self, version: str, content: BinaryIO) -> None:
        """Put a version in the place of the one that is there."""
        self.store.write(self.key, content, metadata={VERSION: version})


def deliver(
    version: str,
    content: BinaryIO,
    *,
    to: Copies | OneCopy,
    recorded: Recorded | None,
    source_date: date | None = None,
    supersede: bool = False,
) -> Decision:
    """Decide about a version, and write it if that is the decision. Recording is left to the caller.

    Raises:
        PipelineError: The store cannot be asked, or not be written to.
    """
    decision = decide(version, source_date, recorded=recorded, versions=to, supersede=supersede)
    if decision.write:
        to.write(version, content)
    return decision
