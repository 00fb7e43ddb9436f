"""Copies of all objects below one URL at another URL, kept by comparing the two listings.

A copy keeps the whole key of its object: `s3://source/reports/a.csv` is copied to `{destination}/reports/a.csv`. In a
source that is a folder, an object's key is its path below the folder. Copies of objects that are gone stay.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import BadInputError, ServiceError, SourceChangedError
from ol_orchestrate.lib.retrying import retried
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, join_url, open_store, split_url
from ol_orchestrate.lib.stores.base import checked_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ol_orchestrate.lib.stores import SourceInfo, StoredObject

OBJECTS_A_RUN = 500

BYTES_A_RUN = 20 * 10**9
"""Bytes that a run copies at most, unless a single object is larger."""

RETRIES = 2
"""Number of times that an object is copied again if it changed meanwhile. Stores repeat their requests themselves."""


@dataclass(frozen=True, slots=True)
class ReconciledCopies:
    """The source of the objects and the destination of their copies."""

    source: ObjectStore
    destination: ObjectStore
    prefix: str
    """The prefix of the copies' keys."""

    @classmethod
    def between(
        cls, source_url: str, source_access: StoreAccess, destination_url: str, destination_access: StoreAccess
    ) -> ReconciledCopies:
        """Return the objects at one URL and their copies at another. This connects to nothing yet."""
        scheme, _, prefix = split_url(source_url)
        return cls(
            open_store(source_url, source_access),
            open_store(destination_url, destination_access),
            "" if scheme == "file" or not prefix else f"{prefix}/",
        )

    def key_in_source(self, key: str) -> str:
        """Return the key below the source's URL of an object's whole key.

        Raises:
            BadInputError: The key is not in the source, or could name something else.
        """
        if not key.startswith(self.prefix):
            raise BadInputError(f"{key!r} is not in {self.source.url}: give a whole key, which starts {self.prefix!r}")
        return checked_key(key.removeprefix(self.prefix))

    def compare(self) -> Comparison:
        """Find the objects that need a copy from two listings; nothing is kept from earlier ones.

        Raises:
            AccessRefusedError, ServiceError: A listing failed.
        """
        copies = {copy.key: copy for copy in self.destination.list(self.prefix)}
        comparison = Comparison()
        for each in self.source.list():
            key = self.prefix + each.key
            comparison.objects += 1
            try:
                checked_key(each.key)
            except BadInputError:
                comparison.refused.append(key)
                continue
            if needs_copy(each, copies.get(key)):
                comparison.needed.append(Needed(key, each.size))
        comparison.needed.sort()
        return comparison


@dataclass(frozen=True, slots=True, order=True)
class Needed:
    """An object that needs a copy: its whole key, and its size in bytes."""

    key: str
    size: int


@dataclass(slots=True)
class Comparison:
    """The result of two listings."""

    objects: int = 0
    needed: list[Needed] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Keys that could name something outside their folder."""


def needs_copy(original: StoredObject, copy: StoredObject | None) -> bool:
    """Return True if a copy is missing, has another size, or is not younger than its original.

    Stores give whole seconds, so a copy of the same second may be one of the version before.
    """
    return copy is None or copy.size != original.size or original.modified >= copy.modified


def batches(needed: Iterable[Needed]) -> Iterator[list[Needed]]:
    """Yield the objects of one run each: at most `OBJECTS_A_RUN` and `BYTES_A_RUN`, or a larger one by itself."""
    batch: list[Needed] = []
    size = 0
    for each in needed:
        if batch and (len(batch) == OBJECTS_A_RUN or size + each.size > BYTES_A_RUN):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += each.size
    if batch:
        yield batch


def copy(copies: ReconciledCopies, key: str, path: Path) -> SourceInfo:
    """Copy an object, pinned to one version and checked against the store's checksum.

    An object that changed meanwhile is copied once more: its copy is younger than the change and may be of the same
    size, so that no later comparison would notice.

    Args:
        copies: The source and the destination.
        key: The object's whole key.
        path: A temporary file for the object, which is deleted afterwards.

    Raises:
        PipelineError: The object is gone, is refused, does not arrive, or keeps changing.
    """
    key_in_source = copies.key_in_source(key)

    def copy_once() -> SourceInfo:
        source = copies.source.read(key_in_source)
        with _disk(path.parent), path.open("wb") as file:
            for block in source:
                file.write(block)
        with _disk(path.parent), path.open("rb") as file:
            copies.destination.write(key, file)
        now = copies.source.find(key_in_source)
        if now is not None and now.version != source.info.version:
            raise SourceChangedError(
                f"{join_url(copies.source.url, key_in_source)}: it changes faster than it is copied. Run again"
            )
        return source.info

    try:
        return retried(copy_once, on=SourceChangedError, retries=RETRIES)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"{folder}: the folder for temporary files failed: {error.strerror}. Make room and run again"
        ) from error
