"""gzip and tar, read forward only, in blocks, from sources that nobody vouches for.

Whatever is wrong with an archive, all that stands before it comes out first, and then an `ArchiveError` says
where it breaks off: a truncated gzip, a wrong checksum, a header that is none, an end without its mark. Python's own
tar reader takes several of these for the end of the archive, and says nothing.
"""

from __future__ import annotations

import tarfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from isal import isal_zlib

from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

T = TypeVar("T")

BLOCK = 1 << 20
"""Most bytes in one block that comes out of `gunzip`, however well it was compressed."""

LONGEST_HEADER = 1 << 20
"""Bytes. A tar header holds a name and a few attributes; a longer one is damage, or made to fill the memory."""

_GZIP = 31
"""zlib's number for "a gzip wrapper, and the largest window"."""

_GZIP_MARK = b"\x1f\x8b"
"""The first bytes of a gzip file."""

_IsalError = cast("type[Exception]", isal_zlib.error)  # its stubs take the class for an instance


class ArchiveError(BadInputError):
    """An archive that cannot be read any further."""


class TruncatedArchiveError(ArchiveError):
    """An archive whose bytes end too early; all that came is sound, and its complete entries can be used."""


class DamagedArchiveError(ArchiveError):
    """An archive with bytes that are wrong, so that nothing read from it can be trusted."""


def gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip, of one member or several, with zero bytes after the last.

    Args:
        blocks: The compressed bytes, in pieces of any size.

    Yields:
        Pieces of at most `BLOCK` bytes, none empty. What can be unpacked comes before an error, but for the last
        `BLOCK` bytes before damaged data or a wrong checksum.

    Raises:
        DamagedArchiveError: It is no gzip, its checksum is wrong, or something else follows it.
        TruncatedArchiveError: It breaks off.
    """
    members = position = 0
    start = b""
    unpacking: isal_zlib.Decompress | None = None
    for block in blocks:
        position += len(block)
        start += block[: len(_GZIP_MARK) - len(start)]
        rest = block
        while rest:
            if unpacking is None:
                rest = rest.lstrip(b"\0") if members else rest
                if not rest:
                    break
                unpacking = isal_zlib.decompressobj(wbits=_GZIP)
            try:
                data = unpacking.decompress(rest, BLOCK)
                while data:
                    yield data
                    data = unpacking.decompress(unpacking.unconsumed_tail, BLOCK) if not unpacking.eof else b""
            except _IsalError as error:
                what = "the gzip data is damaged" if start == _GZIP_MARK else "this is no gzip file"
                raise DamagedArchiveError(f"{what} ({error}), around byte {position - len(rest):,}") from None
            rest = b""
            if unpacking.eof:
                members += 1
                rest = unpacking.unused_data
                unpacking = None
    if unpacking is not None or not members:
        what = f"the gzip data breaks off after byte {position:,}" if position else "the file is empty"
        if not _GZIP_MARK.startswith(start):
            raise DamagedArchiveError("this is no gzip file")
        raise TruncatedArchiveError(what)


def read_ahead(source: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items, made by a thread of their own while the last ones are being used.

    Worth it where `source` spends its time outside the interpreter: waiting for a network, unpacking.

    Args:
        source: Used by the thread alone; its error is raised here after the items before it.
        depth: Items that wait at most.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        waiting = deque(thread.submit(next, source, None) for _ in range(depth))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, source, None))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry of a tar.

    Attributes:
        name: Its path, with surrogate escapes where it is no UTF-8.
        type: One of `tarfile`'s types, such as `tarfile.REGTYPE`.
        size: Bytes of data that follow.
        blocks: The data; to be read before the next entry is asked for.
    """

    name: str
    type: bytes
    size: int
    blocks: Iterator[bytes]


def tar_entries(blocks: Iterable[bytes]) -> Iterator[TarEntry]:
    """The entries of a tar, in order.

    Args:
        blocks: The unpacked bytes, in pieces of any size.

    Raises:
        DamagedArchiveError: It is no tar, has a damaged header, or something follows its end.
        TruncatedArchiveError: It breaks off.
    """
    file = _ForwardFile(iter(blocks))
    try:
        archive = tarfile.TarFile(fileobj=cast("BinaryIO", file), encoding="utf-8", errors="surrogateescape")
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every entry for ever
            file.seek(info.offset_data)
            data = file.blocks(info.size)
            yield TarEntry(info.name, info.type, info.size, data)
            for _ in data:
                pass
    except tarfile.TarError as error:
        what = "this is no tar archive" if file.tell() <= tarfile.BLOCKSIZE else "the tar data is damaged"
        raise DamagedArchiveError(f"{what} ({error}), around byte {file.tell():,}") from None
    file.expect_end()


class _ForwardFile:
    """Blocks as the kind of file that `tarfile` wants, where going back is impossible."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise DamagedArchiveError(f"a tar header at byte {self._position:,} points backwards")
        for _ in self.blocks(position - self._position):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or what is left."""
        if size > LONGEST_HEADER:
            raise DamagedArchiveError(f"a tar header before byte {self._position:,} claims to have {size:,} bytes")
        self._last = b"".join(self._take(size))
        return self._last

    def blocks(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes as they come."""
        end = self._position + size
        yield from self._take(size)
        if self._position < end:
            raise TruncatedArchiveError(f"the tar data breaks off at byte {self._position:,}, within an entry")

    def _take(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._rest:
                self._rest = memoryview(next(self._blocks, b""))
                if not self._rest:
                    return
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self._position += len(piece)
            yield bytes(piece)

    def expect_end(self) -> None:
        """Check that the last header read was the mark of the end, and that only zero bytes follow."""
        if len(self._last) < tarfile.BLOCKSIZE:
            raise TruncatedArchiveError(f"the tar ends at byte {self._position:,} without the mark of its end")
        if self._last.strip(b"\0"):
            raise DamagedArchiveError(f"there is a damaged tar header before byte {self._position:,}")
        for block in (self._rest, *self._blocks):
            if bytes(block).strip(b"\0"):
                raise DamagedArchiveError(f"something follows the end of the tar, after byte {self._position:,}")
            self._position += len(block)
