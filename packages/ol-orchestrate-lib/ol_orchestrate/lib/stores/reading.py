"""Verified reading: all bytes of one version of an object, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import ServiceError, SourceChangedError
from ol_orchestrate.lib.retrying import retried

if TYPE_CHECKING:
    from datetime import datetime

    from ol_orchestrate.lib.stores.checksums import ExpectedChecksum


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A store's description of an object, before it is read.

    Attributes:
        url: The URL of the object.
        size: The size in bytes.
        version: The store's name for this content: generation (GCS), ETag (S3), or time of change and size (folder).
        created: The time at which this version was written.
        checksum: The checksum of the bytes; `None` if the store has none.
    """

    url: str
    size: int
    version: str
    created: datetime
    checksum: ExpectedChecksum | None

    @property
    def checked_by(self) -> str:
        """The name of the check by which a reader verifies the bytes."""
        return self.checksum.name if self.checksum else "size"


class VerifiedReader(Iterator[bytes]):
    """The blocks of one version of an object, in order.

    The iteration ends only if size and checksum agree with those that the store announced.

    Args:
        info: The description of the version.
        fetch: Yields the blocks from a byte offset on, of this very version, or raises `SourceChangedError`.
        position: The first byte to read. A part of an object is not compared with the checksum of the whole.
    """

    def __init__(self, info: SourceInfo, fetch: Callable[[int], Iterator[bytes]], position: int = 0) -> None:
        self.info = info
        self.position = position
        self._fetch = fetch
        self._blocks: Iterator[bytes] | None = None
        self._checksum = info.checksum.start() if info.checksum and not position else None

    def __next__(self) -> bytes:
        """Return the next block.

        Raises:
            SourceChangedError: The object has changed, or its bytes do not match the announced size or checksum.
            ServiceError: The connection broke, and all attempts to resume failed.
        """
        block = retried(self._next_block)
        if not block:
            self._compare()
            raise StopIteration
        self.position += len(block)
        if self._checksum is not None:
            self._checksum.update(block)
        return block

    def _next_block(self) -> bytes:
        """Return the next block; after an error, from a new request that begins where the last one broke off."""
        blocks = self._fetch(self.position) if self._blocks is None else self._blocks
        self._blocks = None
        block = next(blocks, b"")
        if not block and self.position < self.info.size:
            raise ServiceError(f"{self.info.url}: the response ended at byte {self.position:,} of {self.info.size:,}")
        self._blocks = blocks
        return block

    def begin_at(self, position: int) -> VerifiedReader:
        """Return another reader of this version, from a byte offset on."""
        return VerifiedReader(self.info, self._fetch, position)

    def drain(self) -> None:
        """Read to the end, to verify all that was read."""
        for _ in self:
            pass

    def _compare(self) -> None:
        if self.position != self.info.size:
            problem = f"{self.position:,} bytes came, the store announced {self.info.size:,}"
        elif self._checksum is not None and self.info.checksum and self._checksum.digest() != self.info.checksum.digest:
            problem = (
                f"its {self.info.checksum.name} is {self._checksum.digest().hex()}, "
                f"the store announced {self.info.checksum.digest.hex()}"
            )
        else:
            return
        raise SourceChangedError(
            f"{self.info.url}: the bytes that arrived are not those of version {self.info.version}: {problem}. "
            "Run again; if it stays so, the object is damaged in its store and has to be put there anew"
        )
