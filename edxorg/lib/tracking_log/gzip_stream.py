"""Writes gzip whose bytes depend on its content alone."""

from __future__ import annotations

from isal import isal_zlib

PIECE_BYTES = 1 << 20
"""Bytes that are packed at once."""

_LEVEL = 2
"""Compression level of isal, 0 to 3: as fast as 1 and a little smaller; 3 takes three times as long."""


class GzipMember:
    """Packs one gzip member. Equal content gives equal bytes, whatever the sizes of the writes."""

    def __init__(self) -> None:
        """Begin an empty member; `finish` returns no bytes at all if nothing is written."""
        self._compressor = isal_zlib.compressobj(_LEVEL, wbits=31)
        self._waiting = bytearray()
        self._packed: list[bytes] = []
        self.bytes_written = 0
        """Bytes before compression."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        # Copied at once: many small results of orjson, kept, take a kilobyte each.
        self._waiting += data
        self.bytes_written += len(data)
        if len(self._waiting) >= PIECE_BYTES:
            self._pack()

    def _pack(self) -> None:
        # isal's output depends on how its input is cut, so it is always cut at the same places.
        end = len(self._waiting) - len(self._waiting) % PIECE_BYTES
        with memoryview(self._waiting) as waiting:
            for start in range(0, end, PIECE_BYTES):
                self._packed.append(self._compressor.compress(waiting[start : start + PIECE_BYTES]))
        del self._waiting[:end]

    def take(self) -> bytes:
        """Return the bytes that were packed since the last call."""
        packed = b"".join(self._packed)
        self._packed.clear()
        return packed

    def finish(self) -> bytes:
        """Return the rest of the member, or all of it if `take` was never called; nothing if nothing was written."""
        if not self.bytes_written:
            return b""
        self._packed += (self._compressor.compress(self._waiting), self._compressor.flush())
        return self.take()
