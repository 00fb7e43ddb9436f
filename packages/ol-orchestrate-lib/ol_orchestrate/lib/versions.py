"""Decisions about one version of a place: whether it is written, whether it is recorded, and what is newest.

A version is known by its content. It is *recorded* when Dagster has a materialization for it, and *there* when its
object is in the landing zone. Loaders read objects by their time of change and reload what was rewritten, so an object
that is there is left alone; where it has to be the newest of its folder, `settling` sees to it. A run that died
between writing and recording leaves objects that are there and not recorded; they are recorded by the next run.
`docs/delivery.md` has the rules as tables, with their reasons.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Self

from ol_orchestrate.lib.stores.base import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

    from ol_orchestrate.lib.stores import ObjectStore, StoredObject


class VersionOutcome(StrEnum):
    """What became of an object, as people are told."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class TableStats:
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


NO_STATS = TableStats()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest recorded version of an asset's partition.

    Attributes:
        version: Data version.
        source_date: The date of the file it came from, if that has one.
        stats: Of a table.
        before: The stats of the version that this one replaced.
        made_from: Tells apart what it was made from, and how; what is made from the same in the same way has the same
            version.
    """

    version: str
    source_date: date | None
    stats: TableStats = NO_STATS
    before: TableStats = NO_STATS
    made_from: str | None = None

    def replaced_by(self, version: str | None, source_date: date | None) -> TableStats:
        """The stats of what a version replaces, or has replaced.

        It stays the same when a file is read again that brought the version, so that what was to be seen is not lost
        with a run that is repeated.

        Args:
            version: The version; `None` for a table without rows, which has none.
            source_date: The date of the file that has it.
        """
        if self.version != version:
            return self.stats
        return self.before if self.came_with(version, source_date) else NO_STATS

    def came_with(self, version: str | None, source_date: date | None) -> bool:
        """Whether this is the version, and the file of that date brought it."""
        return (self.version, self.source_date) == (version, source_date)


def short_hash(text: str) -> str:
    """Twelve hex digits: for tags, which have 63 characters at most."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class StoredVersions:
    """The objects of one place, as one listing of its folder showed them.

    Attributes:
        objects: By version.
        by_content: Whether a version is the hash of the object's bytes, so that its size tells whether it is whole.
    """

    objects: Mapping[str, StoredObject]
    by_content: bool = False

    def has(self, version: str, size: int | None = None) -> bool:
        """Whether the object of a version is there and whole, as far as its size tells.

        Args:
            version: The version.
            size: Bytes of its content, where that is at hand.
        """
        found = self.objects.get(version)
        if found is None:
            return False
        if self.by_content:
            return found.size > 0 if size is None else found.size == size
        # Equal versions can differ in size, since a time in them does not count.
        return found.size > 0 or not size

    def is_newest(self, version: str) -> bool:
        """Whether the object of a version is strictly newer than all others."""
        rival = self.newest_besides(version)
        return rival is None or self.objects[version].modified > rival

    def newest_besides(self, version: str) -> datetime | None:
        """When the newest of the other objects was written; `None` if there is no other."""
        others = (each.modified for name, each in self.objects.items() if name != version)
        return max(others, default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one version.

    Attributes:
        write: Whether its object is to be written.
        record: Whether it is to be recorded.
        outcome: What becomes of it.
        settle: The version that is to be current, where its object is there, and is not known to be the newest of
            its folder.
    """

    write: bool
    record: bool
    outcome: VersionOutcome
    settle: str | None = None


WRITE_AND_RECORD = Decision(write=True, record=True, outcome=VersionOutcome.DELIVERED)
RECORD_ONLY = Decision(write=False, record=True, outcome=VersionOutcome.DELIVERED)
UNCHANGED = Decision(write=False, record=False, outcome=VersionOutcome.UNCHANGED)
SUPERSEDED = Decision(write=False, record=False, outcome=VersionOutcome.SUPERSEDED)


def decide(
    version: str,
    source_date: date | None,
    *,
    recorded: Recorded | None,
    there: StoredVersions,
    size: int | None = None,
    supersede: bool = False,
) -> Decision:
    """Decide about one version.

    Args:
        version: What is to be delivered.
        source_date: The date of the file it came from.
        recorded: What was recorded last.
        there: What is in the store.
        size: Bytes of its content, where that is at hand.
        supersede: Let an older file replace what a later one brought.

    Returns:
        The decision. Whether a version that is to be written will be the newest is known here only where it has no
        rivals; `deliver` may know it of others.
    """
    if is_superseded(source_date, recorded, supersede=supersede):
        current = recorded.version if recorded else version
        is_rivalled = there.has(current) and not there.is_newest(current)
        return replace(SUPERSEDED, settle=current if is_rivalled else None)
    if not there.has(version, size):
        return replace(WRITE_AND_RECORD, settle=None if there.newest_besides(version) is None else version)
    is_recorded = recorded is not None and recorded.version == version
    return replace(UNCHANGED if is_recorded else RECORD_ONLY, settle=None if there.is_newest(version) else version)


def is_superseded(source_date: date | None, recorded: Recorded | None, *, supersede: bool) -> bool:
    """Whether what was recorded last came from a later file, which this one must not undo."""
    if supersede or recorded is None or recorded.source_date is None or source_date is None:
        return False
    return recorded.source_date > source_date


@dataclass(frozen=True, slots=True)
class VersionedObjects:
    """Versions in a store, each under a key of its own, all in one folder.

    Attributes:
        store: Where.
        key_of: From a version to its key.
        by_content: Whether a version is the SHA-256 of the object's bytes.
    """

    store: ObjectStore
    key_of: Callable[[str], str]
    by_content: bool = False

    def there(self) -> StoredVersions:
        """Ask for all versions, in one request."""
        start, _, end = self.key_of(_ANY_VERSION).partition(_ANY_VERSION)
        found = {
            each.key[len(start) : len(each.key) - len(end)]: each
            for each in self.store.list_folder(start.rpartition("/")[0])
            if each.key.startswith(start) and each.key.endswith(end) and len(each.key) > len(start) + len(end)
        }
        return StoredVersions(found, by_content=self.by_content)

    def write(self, version: str, content: BinaryIO) -> None:
        """Put a version there."""
        self.store.write(self.key_of(version), content)


_ANY_VERSION = "\0"
"""Stands for a version where it is asked what is around it in a key; no key has it."""


@dataclass(frozen=True, slots=True)
class SingleObject:
    """Versions in a store that take each other's place; the object's metadata says which one it is.

    Attributes:
        store: Where.
        key: Of all versions.
    """

    store: ObjectStore
    key: str

    def there(self) -> StoredVersions:
        """Ask for the one version that is there, in one request."""
        found = self.store.find(self.key, with_metadata=True)
        return StoredVersions({found.metadata[VERSION]: found} if found and VERSION in found.metadata else {})

    def write(self, version: str, content: BinaryIO) -> None:
        """Put a version in the place of the one that is there."""
        self.store.write(self.key, content, metadata={VERSION: version})


def deliver(
    version: str,
    content: BinaryIO,
    *,
    to: VersionedObjects | SingleObject,
    recorded: Recorded | None,
    source_date: date | None = None,
    supersede: bool = False,
    begin: Callable[[], datetime | None] = lambda: None,
) -> Decision:
    """Decide about a version, and write it if that is the decision.

    Recording is left to the caller, and so is settling the place where the decision asks for it.

    Args:
        version: What is to be delivered.
        content: All bytes of its object, in a file that can be read from its start.
        to: Where its versions are.
        recorded: What was recorded last.
        source_date: The date of the file it came from.
        supersede: Let an older file replace what a later one brought.
        begin: Called before anything is written that is to be recorded, or recorded that is there; may return the time
            by the store's clock, so that an object with an older date need not be compared with this one.

    Raises:
        PipelineError: The store cannot be asked, or not be written to.
    """
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    there = to.there()
    decision = decide(version, source_date, recorded=recorded, there=there, size=size, supersede=supersede)
    if not decision.record:
        return decision
    now = begin()
    if not decision.write:
        return decision
    to.write(version, content)
    rival = there.newest_besides(version)
    is_newest = isinstance(to, SingleObject) or rival is None or (now is not None and rival < now)
    return replace(decision, settle=None if is_newest else version)
