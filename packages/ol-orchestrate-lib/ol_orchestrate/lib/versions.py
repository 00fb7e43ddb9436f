"""Decisions about one version of a place: to write its object or not, to record it or not, and to settle it or not.

A version is identified by its content. It is *recorded* if Dagster has a materialization for it, and *stored* if its
object is in the landing zone. Loaders find objects by their time of change and reload each rewritten one, so a stored
object is left alone; `settling` makes it the newest of its folder if need be. A run that died between writing and
recording leaves objects that are stored and not recorded; the next run records them. `docs/delivery.md` has the rules
as tables, with their reasons.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Self

from ol_orchestrate.lib.stores.base import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

    from ol_orchestrate.lib.stores import ObjectStore, StoredObject


class VersionOutcome(StrEnum):
    """The outcome of one version, as logs and metadata spell it."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class TableStats:
    """Figures of a table by which a run notices an unusual change; `None` for all that is no table.

    Attributes:
        columns: A short hash of the names of the columns.
    """

    rows: int | None = None
    columns: str | None = None

    @classmethod
    def from_columns(cls, rows: int | None, columns: Sequence[str] | None) -> Self:
        """Make the stats from the row count and the names of the columns, each `None` if unknown."""
        return cls(rows, None if columns is None else short_hash("\t".join(columns)))

    def has_other_columns_than(self, before: TableStats) -> bool:
        """True if both versions have columns that are known, and not the same."""
        return self.columns is not None and before.columns is not None and self.columns != before.columns


NO_STATS = TableStats()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest recorded version of an asset's partition.

    Attributes:
        source_date: The date of the file it came from, if that has one.
        before: The stats of the version that this one replaced.
        made_from: A key of its inputs and of the code that made it; equal keys mean equal versions.
    """

    version: str
    source_date: date | None
    stats: TableStats = NO_STATS
    before: TableStats = NO_STATS
    made_from: str | None = None

    def replaced_by(self, version: str | None, source_date: date | None) -> TableStats:
        """Return the stats of the version that a version replaces or has replaced.

        The result stays the same when the same file is read again, so a repeated run reports the same changes.

        Args:
            version: The new version; `None` for a table without rows, which has none.
            source_date: The date of the file that has the new version.
        """
        if self.version != version:
            return self.stats
        return self.before if self.came_with(version, source_date) else NO_STATS

    def came_with(self, version: str | None, source_date: date | None) -> bool:
        """True if this is the version, and the file of that date brought it."""
        return (self.version, self.source_date) == (version, source_date)


def short_hash(text: str) -> str:
    """Return the first twelve hex digits of the SHA-256, for tags, which may have 63 characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class StoredVersions:
    """The objects of one place, from one listing of its folder.

    Attributes:
        objects: The object of each version.
        by_content: True if a version is the hash of the object's bytes, so that an object of another size is not whole.
    """

    objects: Mapping[str, StoredObject]
    by_content: bool = False

    def has(self, version: str, size: int | None = None) -> bool:
        """True if the object of a version is stored and whole, as far as its size shows.

        Args:
            version: The version to look up.
            size: The size of its content in bytes, if known.
        """
        found = self.objects.get(version)
        if found is None:
            return False
        if self.by_content:
            return found.size > 0 if size is None else found.size == size
        # Objects of one version can differ in size, since the version leaves out the time of retrieval.
        return found.size > 0 or not size

    def is_newest(self, version: str) -> bool:
        """True if the object of a version is strictly newer than all others."""
        rival = self.newest_besides(version)
        return rival is None or self.objects[version].modified > rival

    def newest_besides(self, version: str) -> datetime | None:
        """Return the time of the newest other object; `None` if there is no other."""
        others = (each.modified for name, each in self.objects.items() if name != version)
        return max(others, default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one version.

    Attributes:
        write: True if its object has to be written.
        record: True if it has to be recorded.
        outcome: The outcome to report.
        settle: The version that the caller has to settle; `None` if the current version is known to be the newest.
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
    stored: StoredVersions,
    size: int | None = None,
    supersede: bool = False,
) -> Decision:
    """Decide about one version.

    Args:
        version: The version to deliver.
        source_date: The date of the file it came from.
        recorded: The version that was recorded last.
        stored: The objects of the place.
        size: The size of its content in bytes, if known.
        supersede: Let an older file replace the version of a later one.

    Returns:
        The decision. It asks to settle each version that has to be written beside others; `write_if_needed` can tell
        from the store's clock that this is not necessary.
    """
    if is_superseded(source_date, recorded, supersede=supersede):
        current = recorded.version if recorded else version
        is_rivalled = stored.has(current) and not stored.is_newest(current)
        return replace(SUPERSEDED, settle=current if is_rivalled else None)
    if not stored.has(version, size):
        return replace(WRITE_AND_RECORD, settle=None if stored.newest_besides(version) is None else version)
    is_recorded = recorded is not None and recorded.version == version
    return replace(UNCHANGED if is_recorded else RECORD_ONLY, settle=None if stored.is_newest(version) else version)


def is_superseded(source_date: date | None, recorded: Recorded | None, *, supersede: bool) -> bool:
    """True if the recorded version came from a later file, which this one must not undo."""
    if supersede or recorded is None or recorded.source_date is None or source_date is None:
        return False
    return recorded.source_date > source_date


@dataclass(frozen=True, slots=True)
class VersionedObjects:
    """A place whose versions have an object key each, all in one folder.

    Attributes:
        key_of: Returns the object key of a version.
        by_content: True if a version is the SHA-256 of the object's bytes.
    """

    store: ObjectStore
    key_of: Callable[[str], str]
    by_content: bool = False

    def stored(self) -> StoredVersions:
        """List all versions, in one request."""
        start, _, end = self.key_of(_ANY_VERSION).partition(_ANY_VERSION)
        found = {
            each.key[len(start) : len(each.key) - len(end)]: each
            for each in self.store.list_folder(start.rpartition("/")[0])
            if each.key.startswith(start) and each.key.endswith(end) and len(each.key) > len(start) + len(end)
        }
        return StoredVersions(found, by_content=self.by_content)

    def write(self, version: str, content: BinaryIO) -> None:
        """Write the object of a version."""
        self.store.write(self.key_of(version), content)


_ANY_VERSION = "\0"
"""A stand-in for a version, which shows the parts of a key around it; no key contains it."""


@dataclass(frozen=True, slots=True)
class SingleObject:
    """A place with one object key, whose object each version overwrites; the object's metadata names its version.

    Attributes:
        key: The object key of all versions.
    """

    store: ObjectStore
    key: str

    def stored(self) -> StoredVersions:
        """Look up the stored version, in one request."""
        found = self.store.find(self.key, with_metadata=True)
        return StoredVersions({found.metadata[VERSION]: found} if found and VERSION in found.metadata else {})

    def write(self, version: str, content: BinaryIO) -> None:
        """Overwrite the object with a version."""
        self.store.write(self.key, content, metadata={VERSION: version})


def write_if_needed(
    version: str,
    content: BinaryIO,
    *,
    to: VersionedObjects | SingleObject,
    recorded: Recorded | None,
    source_date: date | None = None,
    supersede: bool = False,
    begin: Callable[[], datetime | None] = lambda: None,
) -> Decision:
    """Decide about a version, and write its object if it has to be written.

    The caller records the version and settles the place if the decision says so.

    Args:
        version: The version to deliver.
        content: All bytes of its object, in a seekable file.
        to: The place of its versions.
        recorded: The version that was recorded last.
        source_date: The date of the file it came from.
        supersede: Let an older file replace the version of a later one.
        begin: Called before the version is written or has to be recorded. It may return the time by the store's clock;
            all objects older than that are older than this one.

    Raises:
        PipelineError: The store cannot be read, or not be written to.
    """
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    decide_now = partial(decide, version, source_date, recorded=recorded, size=size, supersede=supersede)
    stored = to.stored()
    decision = decide_now(stored=stored)
    if not decision.record:
        return decision
    now = begin()
    if not decision.write:
        # Before it had begun, another run did not know of it, and may have deleted the object as one of no use.
        stored = to.stored()
        decision = decide_now(stored=stored)
    if not decision.write:
        return decision
    to.write(version, content)
    rival = stored.newest_besides(version)
    is_newest = isinstance(to, SingleObject) or rival is None or (now is not None and rival < now)
    return replace(decision, settle=None if is_newest else version)
