"""A forward reader of gzip, in blocks, for untrusted sources, and the errors of all archives.

A reader of a truncated or damaged archive yields all content before the fault, then raises an `ArchiveError` with the
place.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

from isal import isal_zlib

from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

T = TypeVar("T")

BLOCK = 1 << 20
"""The largest block of `gunzip` in bytes, at any ratio of compression."""

GZIP: Final = "gzip"

UNCOMPRESSED_TAR: Final = "an uncompressed tar"

ZIP: Final = "a zip archive"

EMPTY_ZIP: Final = "an empty zip archive"

OPENPGP: Final = "an OpenPGP message"

UNKNOWN_KIND: Final = "binary data of no known kind"

START_BYTES = 512
"""Bytes from the start of a file that reveal its format."""

NEAR = (64 << 10, 1 << 20)
"""Bounds in bytes. A gzip that seems to break off counts as damaged if its last bytes, read as its length, differ from
the number of unpacked bytes by at most an eighth of that number, within these bounds."""

_GZIP_MARK = b"\x1f\x8b\x08"
"""The first bytes of a gzip member."""

_GZIP_HEADER = re.compile(rb"\x1f\x8b\x08[\0-\x1f].{4}[\0\2\4][\0-\x0d\xff]", re.DOTALL)
"""The header of a gzip member as programs write it; other data contains it once in some 10**11 bytes."""

_HEADER_BYTES = 10

_MAX_FLIPPED = 2
"""Most bits in which a damaged gzip mark differs from a right one."""

_HAS_CHECKSUM, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0
"""Flags of a gzip header."""

_TRAILER = struct.Struct("<II")
"""The trailer of a gzip member: CRC-32 and length of the unpacked bytes."""

_FIRST_STEP, _LONGEST_STEP = 4 << 10, 256 << 10

RAW_DEFLATE = -15
"""zlib's number for "no wrapper, and the largest window"."""

_MARKS = {
    _GZIP_MARK: GZIP,
    b"PK\3\4": ZIP,
    b"PK\5\6": EMPTY_ZIP,
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"-----BEGIN PGP MESSAGE": OPENPGP,
}
_OPENPGP = re.compile(
    rb"""\x84.\x03 | \x85..\x03 | \x8c.[\x04\x05]  # a session key for a public key, or a passphrase, in the old format
    | \xc1 (?:[\0-\xbf] | [\xc0-\xdf]. | \xff....) [\x03\x06] | \xc3 [\0-\xbf] [\x04-\x06]  # and in the new one""",
    re.VERBOSE | re.DOTALL,
)
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")

IsalError = cast("type[Exception]", isal_zlib.error)  # its stubs take the class for an instance


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """An entry of an archive.

    Attributes:
        name: The path, with surrogate escapes for bytes that are no UTF-8.
        type: One of `tarfile`'s types, such as `tarfile.REGTYPE`, which a sparse entry has too.
        size: The size of the content in bytes.
        blocks: The content. It cannot be read any more after the next entry.
        linkname: The target of a link.
    """

    name: str
    type: bytes
    size: int
    blocks: Iterator[bytes]
    linkname: str = ""


class ArchiveError(BadInputError):
    """An archive that cannot be read any further."""


class EntryError(BadInputError):
    """An entry that cannot be read; those after it can."""


class ContradictedEntryError(EntryError):
    """An entry that the archive describes in two ways, so that even its name may be wrong."""


class TruncatedArchiveError(ArchiveError):
    """An archive whose bytes end too early; the bytes before are sound, and its complete entries can be used."""


class DamagedArchiveError(ArchiveError):
    """An archive with wrong bytes, so that nothing read from it can be trusted."""


class WrongFormatError(DamagedArchiveError):
    """A file of another format, or an empty one."""


class TrailingBytesError(DamagedArchiveError):
    """A gzip with other data after it; the unpacked content is right."""


class ForwardFile:
    """A source that is read by number of bytes, whatever its blocks are.

    Args:
        blocks: The bytes, in blocks of any size, none empty.
        position: The position of the first of them.
    """

    def __init__(self, blocks: Iterator[bytes], position: int = 0) -> None:
        self.position = position
        self._blocks = blocks
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes, or all that is left, in blocks of any size."""
        while size > 0:
            if not self._rest:
                self._rest = memoryview(next(self._blocks, b""))
                if not self._rest:
                    return
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self.position += len(piece)
            yield bytes(piece)

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or all that is left."""
        return b"".join(self.take(size))


def kind_of_file(start: bytes) -> str:
    """Name the format of a file by its first `START_BYTES` bytes."""
    if not start:
        return "empty"
    for mark, kind in _MARKS.items():
        if start.startswith(mark):
            return kind
    if start[257:262] == b"ustar":
        return UNCOMPRESSED_TAR
    if _OPENPGP.match(start):
        return OPENPGP
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return UNKNOWN_KIND
    return UNKNOWN_KIND if _CONTROL.search(text) else "text"


def gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip of one member or several, which zero bytes may follow.

    A flipped bit near the end can make the unpacking run over the true end and ask for more. Two signs tell such a
    damaged gzip from a truncated one: the file ends with about the right length, or a member that runs to the end of
    the file contains the header of another member. Without them, 11 of 64,700 flipped bits counted as a truncation
    after changed content; with them, none of the 23,720 bits of six small archives, where it is likeliest. Two gaps
    remain: a change in a gzip that is also truncated, whose checksum is gone, and about one truncated gzip in 2,000
    that counts as damaged.

    Args:
        blocks: The compressed bytes, in pieces of any size.

    Yields:
        Pieces of at most `BLOCK` bytes, none empty. All that can be unpacked comes before an error, except the last
        `BLOCK` bytes before damaged data or a wrong checksum.

    Raises:
        WrongFormatError: It is no gzip.
        DamagedArchiveError: Its data, its checksum or its length is wrong.
        TrailingBytesError: Other data follows it.
        TruncatedArchiveError: It breaks off.
    """
    packed = _PackedBlocks(blocks)
    start = packed.look(START_BYTES)
    if not start.startswith(_GZIP_MARK[: len(start)]):
        raise WrongFormatError(f"this is no gzip file, but {kind_of_file(start)}")
    if not start:
        raise WrongFormatError("the file is empty")
    yield from _gunzip_member(packed)
    while packed.skip_zeros():
        mark = packed.look(len(_GZIP_MARK))
        if mark != _GZIP_MARK[: len(mark)]:
            raise _trailing_bytes(packed, mark)
        yield from _gunzip_member(packed)


def _trailing_bytes(packed: _PackedBlocks, mark: bytes) -> DamagedArchiveError:
    """Read to the end, and make the error for the data that follows instead of another gzip member."""
    place = f"the gzip data ends at byte {packed.position:,}"
    flipped = sum((found ^ right).bit_count() for found, right in zip(mark, _GZIP_MARK, strict=False))
    count, has_member = packed.drain()
    problem = f"{place}; {count:,} bytes that are no gzip follow"
    # If this is a member with a damaged header, or if members follow it, a part of the content is missing.
    if has_member or flipped <= _MAX_FLIPPED:
        return DamagedArchiveError(problem)
    return TrailingBytesError(problem)


def _gunzip_member(packed: _PackedBlocks) -> Iterator[bytes]:
    _skip_header(packed)
    start, size, checksum = packed.position, 0, 0
    unpacking = isal_zlib.decompressobj(wbits=RAW_DEFLATE)
    step = _FIRST_STEP
    while not unpacking.eof:
        # isal copies the bytes after the end of a member, so each step is short at first.
        piece = packed.take(step)
        step = min(2 * step, _LONGEST_STEP)
        if not piece:
            raise packed.broken_off(size if packed.position - start > _TRAILER.size else None, start)
        try:
            for data in inflated(unpacking, piece):
                size += len(data)
                checksum = isal_zlib.crc32(data, checksum)
                yield data
        except IsalError as error:
            place = packed.position - len(piece)
            raise DamagedArchiveError(f"the gzip data is damaged ({error}), around byte {place:,}") from None
    packed.give_back(len(unpacking.unused_data))
    expected = _TRAILER.pack(checksum, size % (1 << 32))
    trailer = packed.look(_TRAILER.size)
    if not expected.startswith(trailer):
        part = "checksum" if trailer[:4] != expected[: len(trailer)][:4] else "length"
        raise DamagedArchiveError(f"the gzip data is damaged: its {part} is wrong, at byte {packed.position:,}")
    packed.skip(len(trailer))
    if len(trailer) < _TRAILER.size:
        # A whole checksum proves the content, so the length is not compared.
        raise packed.broken_off(size if len(trailer) < len(expected) // 2 else None)


def inflated(unpacking: isal_zlib.Decompress, packed: bytes | memoryview) -> Iterator[bytes]:
    """Yield the content of the next packed bytes, in blocks of at most `BLOCK` bytes, none empty.

    Raises:
        IsalError: The bytes are damaged.
    """
    data = unpacking.decompress(packed, BLOCK)
    while data:
        yield data
        data = unpacking.decompress(unpacking.unconsumed_tail, BLOCK) if not unpacking.eof else b""


def _skip_header(packed: _PackedBlocks) -> None:
    packed.skip(len(_GZIP_MARK))
    flags = packed.read(1)[0]
    if flags & _RESERVED:
        raise DamagedArchiveError(
            f"the gzip data is damaged: a header with unknown flags, before byte {packed.position:,}"
        )
    packed.read(6)  # time, compression, system
    if flags & _HAS_EXTRA:
        packed.read(int.from_bytes(packed.read(2), "little"))
    for flag in (_HAS_NAME, _HAS_COMMENT):
        if flags & flag:
            packed.skip_text()
    if flags & _HAS_CHECKSUM:
        packed.read(2)


class _PackedBlocks:
    """A source of compressed bytes that is read by number of bytes, whatever its blocks are."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.position = 0
        self._blocks = iter(blocks)
        self._block = b""
        self._used = 0
        self._tail = b""
        self._zeros = 0
        self._seam = b""
        self._fetched = 0
        self._last_header = -1

    def look(self, size: int) -> bytes:
        """Return the next `size` bytes or all that is left, without consuming them."""
        while len(self._block) - self._used < size and (block := self._next()):
            self._block, self._used = self._block[self._used :] + block, 0
        return self._block[self._used : self._used + size]

    def take(self, size: int) -> memoryview:
        """Consume at most `size` bytes; none are left at the end."""
        if self._used == len(self._block):
            self._block, self._used = self._next(), 0
        piece = memoryview(self._block)[self._used : self._used + size]
        self._used += len(piece)
        self.position += len(piece)
        return piece

    def skip(self, size: int) -> None:
        """Consume bytes that `look` has returned."""
        self._used += size
        self.position += size

    def read(self, size: int) -> bytes:
        """Consume exactly `size` bytes.

        Raises:
            TruncatedArchiveError: Fewer are left.
        """
        data = self.look(size)
        self.skip(len(data))
        if len(data) < size:
            raise self.broken_off(None)
        return data

    def skip_text(self) -> None:
        """Consume a text and the zero byte that ends it."""
        while piece := bytes(self.take(START_BYTES)):
            _, end, rest = piece.partition(b"\0")
            if end:
                self.give_back(len(rest))
                return
        raise self.broken_off(None)

    def broken_off(self, size: int | None, start: int | None = None) -> ArchiveError:
        """Make the error for bytes that end too early.

        Args:
            size: The unpacked bytes of the member, to be compared with the length that may end the file.
            start: The position of the member's packed data.
        """
        if start is not None and self._last_header >= start:
            # The last bytes belong to the last member, and not to the one that ran over its end.
            problem = f"it goes on where byte {self._last_header:,} seems to begin another gzip"
            return DamagedArchiveError(f"the gzip data is damaged: {problem}")
        if size is not None and self._ends_with_length(size):
            problem = f"it goes on where byte {self.position:,} seems to be its end"
            return DamagedArchiveError(f"the gzip data is damaged: {problem}")
        return TruncatedArchiveError(f"the gzip data breaks off after byte {self.position:,}")

    def give_back(self, size: int) -> None:
        """Undo the consumption of the last bytes that `take` returned."""
        self._used -= size
        self.position -= size

    def skip_zeros(self) -> bool:
        """Consume zero bytes; return true if other bytes follow."""
        step = START_BYTES
        while rest := self.take(step):
            step = min(2 * step, _LONGEST_STEP)
            if left := len(bytes(rest).lstrip(b"\0")):
                self.give_back(left)
                return True
        return False

    def drain(self) -> tuple[int, bool]:
        """Consume all; return the number of bytes, and true if the mark of a gzip member is among them."""
        count, has_mark, seen = 0, False, b""
        block = self._block[self._used :] or self._next()
        while block:
            count += len(block)
            seen = seen[1 - len(_GZIP_MARK) :] + block
            has_mark = has_mark or _GZIP_MARK in seen
            block = self._next()
        return count, has_mark

    def _ends_with_length(self, size: int) -> bool:
        """True if the last bytes, except trailing zero bytes, are about this length modulo 2**32."""
        ends = (self._tail + bytes(zeros) for zeros in range(min(self._zeros, 3) + 1))
        differences = (int.from_bytes(end[-4:], "little") - size for end in ends)
        near = min(max(size // 8, NEAR[0]), NEAR[1])
        return any((difference + near) % (1 << 32) <= 2 * near for difference in differences)

    def _next(self) -> bytes:
        for block in self._blocks:
            if block:
                self._look_for_header(block)
                if content := block.rstrip(b"\0"):
                    self._tail = (self._tail + bytes(min(self._zeros, 4)) + content[-4:])[-4:]
                    self._zeros = 0
                self._zeros += len(block) - len(content)
                return block
        return b""

    def _look_for_header(self, block: bytes) -> None:
        data = self._seam + block
        if _GZIP_MARK in data:
            first = self._fetched - len(self._seam)
            for found in _GZIP_HEADER.finditer(data):
                self._last_header = first + found.start()
        self._seam = data[1 - _HEADER_BYTES :]
        self._fetched += len(block)


def read_ahead(source: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """Yield the items of an iterator that a thread of its own runs ahead.

    This is faster if `source` spends its time outside the interpreter, for example in a network call or in unpacking.

    Args:
        source: An iterator that only the thread uses; its error is raised here after the items before it.
        depth: The largest number of waiting items.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        waiting = deque(thread.submit(next, source, None) for _ in range(depth))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, source, None))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
