"""Bytes that wait for their object key: hashed as they are written, on disk once they are many."""

from __future__ import annotations

import hashlib
import tempfile
from typing import BinaryIO, cast

IN_MEMORY = 4 << 20
"""Bytes of one spool that stay in memory; what goes beyond is written to an unnamed temporary file."""


class Spool:
    """A file to write once and read back, with its size and SHA-256.

    On disk it never has a name, so nobody else can open it, and it is gone with the process, even a killed one.
    """

    def __init__(self) -> None:
        """An empty spool."""
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append, and return the number of bytes.

        Raises:
            OSError: The temporary folder is full.
        """
        self._digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        """Lower-case hex SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """The content from its start; one reader at a time."""
        self._file.seek(0)
        return cast("BinaryIO", self._file)

    def close(self) -> None:
        """Give the memory or the disk space back."""
        self._file.close()
