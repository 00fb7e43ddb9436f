"""Reading gzip from blocks of any size, and writing gzip whose bytes depend on its content alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isal import igzip_lib, isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_BYTES = 1 << 20
"""The most that is unpacked at once, whatever the ratio."""

_MAGIC = b"\x1f\x8b"
_LEVEL = 2
"""Of isal's four: as fast as 1 and a little smaller; 3 takes three times as long."""


class GunzippedPieces:
    """The content of a gzip file of one or more members, in pieces of up to `piece_bytes`.

    Iterating never raises for bad data: it ends, and `problem` then says what was wrong, so that whoever iterates
    can finish with what came before.
    """

    def __init__(self, blocks: Iterable[bytes], *, piece_bytes: int = PIECE_BYTES) -> None:
        """Read from the file's bytes in order, in blocks of any size."""
        self._blocks = blocks
        self._piece_bytes = piece_bytes
        self._members = 0
        self._member: igzip_lib.IgzipDecompressor | None = None
        self.bytes_read = 0
        """Of the compressed file."""
        self.problem: str | None = None
        """What is wrong with the data, as the predicate of a sentence; None if they were fine so far."""

    def __iter__(self) -> Iterator[bytes]:
        """Unpack; once."""
        for block in self._blocks:
            self.bytes_read += len(block)
            yield from self._unpack(block)
            if self.problem is not None:
                return
        if self._member is not None:
            self.problem = "breaks off in the middle of its gzip data"
        elif not self._members:
            self.problem = "is empty, not even an empty gzip file"

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._member is None or self._member.needs_input):
            if self._member is None:
                # Zeros after a member are the padding of a tape or a block device.
                data = data.lstrip(b"\0") if self._members else data
                if not _MAGIC.startswith(data[:2]):
                    self.problem = "goes on after its gzip data" if self._members else "is not gzip data"
                    return
                if not data:
                    return
                self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
                self._members += 1
            try:
                piece = self._member.decompress(data, self._piece_bytes)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stubs take the class for an instance
                self.problem = f"is damaged ({error})"
                return
            data = b""
            if piece:
                yield piece
            if self._member.eof:
                data = self._member.unused_data
                self._member = None


class GzipMember:
    """Packs one gzip member. Equal content gives equal bytes, in whatever portions it is written."""

    def __init__(self) -> None:
        """An empty member; `finish` gives nothing at all as long as nothing is written."""
        self._compressor = isal_zlib.compressobj(_LEVEL, wbits=31)
        self._waiting = bytearray()
        self._packed: list[bytes] = []
        self.bytes_written = 0
        """Before compression."""

    def write(self, data: bytes) -> None:
        """Append."""
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
        """What was packed since the last call."""
        packed = b"".join(self._packed)
        self._packed.clear()
        return packed

    def finish(self) -> bytes:
        """The rest of the member, or all of it if `take` was never called; nothing if nothing was written."""
        if not self.bytes_written:
            return b""
        self._packed += (self._compressor.compress(self._waiting), self._compressor.flush())
        return self.take()
