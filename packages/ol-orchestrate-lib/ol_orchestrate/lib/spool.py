"""Bytes that wait for their object key: hashed as they are written, on disk once they are many."""

from __future__ import annotations

import hashlib
import tempfile
from io import BytesIO
from typing import BinaryIO, cast

IN_MEMORY = 8 << 20
"""Bytes of one spool that stay in memory; a larger spool moves to an unnamed temporary file."""

_MAX_PIECES = 4096
"""Pieces in memory. Each takes some 40 bytes more than its content, so small ones are joined."""


class Spool:
    """A file to write once and read back, with its size and SHA-256.

    The file on disk has no name, so no other process can open it, and it ends with this process, even a killed one.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes, and return their number.

        Raises:
            OSError: The temporary folder is full.
        """
        self._digest.update(data)
        self.size += len(data)
        if self._file is None and self.size > IN_MEMORY:
            self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `close`
            self._file.writelines(self._pieces)
            self._pieces = []
        if self._file is not None:
            return self._file.write(data)
        self._pieces.append(bytes(data))
        if len(self._pieces) > _MAX_PIECES:
            self._pieces = [b"".join(self._pieces)]
        return len(data)

    @property
    def sha256(self) -> str:
        """The lower-case hex SHA-256 of all bytes written so far."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """Return the content, to be read from its start: by one reader at a time, and not during a write."""
        if self._file is None:
            self._pieces = [b"".join(self._pieces)]
            return BytesIO(self._pieces[0])
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Free the memory or the disk space."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
