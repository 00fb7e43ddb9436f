"""A spool of records that are read again in another order, in memory or on disk once they are many."""

from __future__ import annotations

import tempfile
from array import array
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

IN_MEMORY = 4 << 20
"""Bytes of one spool that stay in memory; a larger one moves to an unnamed temporary file."""


class RecordSpool:
    """Records of bytes, numbered from 0 in the order in which they are appended. A number takes 8 bytes of memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._ends = array("Q", [0])

    def append(self, chunks: Iterable[bytes]) -> int:
        """Store a record, and return its number. If the chunks end in an error, none of them is stored.

        Raises:
            OSError: The temporary folder is full.
        """
        end = self._file.seek(self._ends[-1])
        for chunk in chunks:
            end += self._file.write(chunk)
        self._ends.append(end)
        return len(self) - 1

    def read(self, number: int) -> bytes:
        """Return a record."""
        return self.open(number).read(self.size_of(number))

    def open(self, number: int) -> BinaryIO:
        """Return the file of all records, at the start of one; the next `read`, `open` or `append` moves it."""
        self._file.seek(self._ends[number])
        return cast("BinaryIO", self._file)

    def size_of(self, number: int) -> int:
        """Return the length of a record in bytes."""
        return self._ends[number + 1] - self._ends[number]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def close(self) -> None:
        """Free the memory or the disk space."""
        self._file.close()
