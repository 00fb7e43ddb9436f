"""Bytes that wait for their object key: hashed as they are written, on disk once they are many."""

from __future__ import annotations

import hashlib
import tempfile
from io import BytesIO
from typing import BinaryIO, cast

IN_MEMORY = 8 << 20
"""Bytes of one spool that stay in memory; what goes beyond is written to an unnamed temporary file."""

_MAX_PIECES = 4096
"""Pieces in memory. Each takes some 40 bytes besides its own, so small ones are joined."""


class Spool:
    """A file to write once and read back, with its size and SHA-256.

    On disk it never has a name, so nobody else can open it, and it is gone with the process, even a killed one.
    """

    def __init__(self) -> None:
        """An empty spool."""
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append, and return the number of bytes.

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
        """Lower-case hex SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """The content from its start; one reader at a time, and none while something is written."""
        if self._file is None:
            self._pieces = [b"".join(self._pieces)]
            return BytesIO(self._pieces[0])
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give the memory or the disk space back."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
