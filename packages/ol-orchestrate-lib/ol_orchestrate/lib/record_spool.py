"""Records that wait to be read again in another order: in memory, or on disk once they are many."""

from __future__ import annotations

import tempfile
from array import array
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

IN_MEMORY = 4 << 20
"""Bytes of one spool; those of a larger one are in a temporary file without a name, which ends with the process."""


class RecordSpool:
    """Records of bytes, numbered from 0 as they come. A number costs 8 bytes of memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._ends = array("Q", [0])

    def append(self, chunks: Iterable[bytes]) -> int:
        """Keep a record, and return its number. If the chunks end in an error, none of them is kept.

        Raises:
            OSError: The temporary folder is full.
        """
        end = self._file.seek(self._ends[-1])
        for chunk in chunks:
            end += self._file.write(chunk)
        self._ends.append(end)
        return len(self) - 1

    def read(self, number: int) -> bytes:
        """A record."""
        return self.open(number).read(self.size_of(number))

    def open(self, number: int) -> BinaryIO:
        """The file of all records at the start of one, until another one is read or kept."""
        self._file.seek(self._ends[number])
        return cast("BinaryIO", self._file)

    def size_of(self, number: int) -> int:
        """The length of a record in bytes."""
        return self._ends[number + 1] - self._ends[number]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def close(self) -> None:
        """Give the memory or the disk space back."""
        self._file.close()
