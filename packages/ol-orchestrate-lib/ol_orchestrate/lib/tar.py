"""A forward reader of tar, in blocks, for untrusted sources.

This module reads the 512-byte headers itself. Python's `tarfile` does not bound extended headers and sparse maps, takes
a damaged header for the end of the archive, and garbles names in headers of GNU tar that hold more times than one.
Formats: V7, ustar, pax with its extended and global headers, GNU's long names, and GNU's four kinds of sparse entries.

A tar has a checksum for each header and none for the data. Only the gzip around it or the store's checksum reveals
changed data.
"""

from __future__ import annotations

import struct
import tarfile
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ol_orchestrate.lib.archives import (
    BLOCK,
    UNCOMPRESSED_TAR,
    ArchiveEntry,
    DamagedArchiveError,
    ForwardFile,
    TruncatedArchiveError,
    WrongFormatError,
    kind_of_file,
)
from ol_orchestrate.lib.tar_headers import damaged, decimal, is_header, number, pax_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Regions: TypeAlias = "list[tuple[int, int]]"
"""The offset and the length of each part of a sparse entry that the tar holds; between them are zero bytes."""


@dataclass(frozen=True, slots=True)
class TarLimits:
    """Bounds for the memory and the time that a tar can cost; real archives stay far below them.

    Attributes:
        header_bytes: Bytes of the extended headers and the sparse map of one entry, together.
        extended_headers: The number of extended headers before one entry.
        global_bytes: Bytes of all global headers of the tar, together.
        hole_bytes: Bytes of all holes in the tar's sparse entries, together.
    """

    header_bytes: int = 1 << 20
    extended_headers: int = 16
    global_bytes: int = 1 << 20
    hole_bytes: int = 1 << 28


LIMITS = TarLimits()


def tar_entries(blocks: Iterable[bytes], limits: TarLimits = LIMITS) -> Iterator[ArchiveEntry]:
    """Yield the entries of a tar, in order.

    Args:
        blocks: The unpacked bytes, in pieces of any size.
        limits: A tar that passes one of them counts as damaged.

    Raises:
        WrongFormatError: It is no tar.
        DamagedArchiveError: It has a damaged header, or other data follows its end.
        TruncatedArchiveError: It breaks off.
    """
    file = _TarFile(iter(blocks))
    headers = _Headers(file, limits)
    while (headed := headers.next_entry()) is not None:
        entry, end = headed
        yield entry
        file.skip(end - file.position)
        file.skip(-end % tarfile.BLOCKSIZE)
    file.expect_zeros()


class _TarFile(ForwardFile):
    """The unpacked bytes of a tar."""

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes, in blocks of any size."""
        end = self.position + size
        yield from self.take(size)
        if self.position < end:
            raise TruncatedArchiveError(f"the tar data breaks off at byte {self.position:,}, within an entry")

    def skip(self, size: int) -> None:
        for _ in self.blocks(size):
            pass

    def expect_zeros(self) -> None:
        """Read to the end, and check that only zero bytes follow."""
        for block in chain([bytes(self._rest)], self._blocks):
            if block.strip(b"\0"):
                raise DamagedArchiveError(f"something follows the end of the tar, after byte {self.position:,}")
            self.position += len(block)


_HEADER = struct.Struct("100s24x12s12x8sc100s6s82x155s12x")
_PAX_TYPES = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENDED_TYPES = _PAX_TYPES | {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_TYPES_WITHOUT_DATA = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)


class _Header(NamedTuple):
    """A header block with a valid checksum and size; its names are not decoded yet."""

    block: bytes
    position: int
    type: bytes
    name: bytes
    linkname: bytes
    size: int


@dataclass(slots=True)
class _Extensions:
    """The extended headers before an entry.

    Attributes:
        position: The position of the first of them, or of the entry's own header.
        room: Bytes that are left of `TarLimits.header_bytes`.
        count: The number of extended headers.
        pax: The last value of each keyword.
        sparse_numbers: The values of `GNU.sparse.offset` and `GNU.sparse.numbytes`, in order.
    """

    position: int
    room: int
    count: int = 0
    long_name: bytes | None = None
    long_link: bytes | None = None
    pax: dict[bytes, bytes] = field(default_factory=dict)
    sparse_numbers: list[bytes] = field(default_factory=list)

    def spend(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise damaged("longer extended headers or a longer sparse map than any real entry has", self.position)

    def number(self, *keywords: bytes) -> int | None:
        """Return the value of the first of these keywords that has one."""
        values = (self.pax[keyword] for keyword in keywords if keyword in self.pax)
        return next((decimal(value, self.position) for value in values), None)


class _Headers:
    """Reads the headers before the data of each entry."""

    def __init__(self, file: _TarFile, limits: TarLimits) -> None:
        self._file = file
        self._limits = limits
        self._global_room = limits.global_bytes
        self._hole_room = limits.hole_bytes

    def next_entry(self) -> tuple[ArchiveEntry, int] | None:
        """Return the next entry and the position of its data's end; `None` at the mark of the tar's end."""
        extensions = _Extensions(self._file.position, self._limits.header_bytes)
        while (header := self._next_header()) is not None:
            if header.type not in _EXTENDED_TYPES:
                return self._entry(header, extensions)
            extensions.count += 1
            if extensions.count > self._limits.extended_headers:
                problem = f"more than {self._limits.extended_headers} extended headers one after the other"
                raise damaged(problem, extensions.position)
            self._read_extension(header, extensions)
        if extensions.count:
            raise damaged("an extended header without an entry", extensions.position)
        return None

    def _next_header(self) -> _Header | None:
        position = self._file.position
        block = self._file.read(tarfile.BLOCKSIZE)
        is_sound, is_zero = is_header(block), bool(block) and not block.strip(b"\0")
        if not (position or is_sound or is_zero) and (kind := kind_of_file(block)) != UNCOMPRESSED_TAR:
            raise WrongFormatError(f"this is no tar archive, but {kind}")
        if len(block) < tarfile.BLOCKSIZE:
            raise TruncatedArchiveError(f"the tar ends at byte {self._file.position:,} without the mark of its end")
        if is_zero:
            return None
        if not is_sound:
            raise damaged("a wrong checksum", position)
        name, size, _, type_, linkname, magic, prefix = _HEADER.unpack(block)
        name, linkname, prefix = (text.partition(b"\0")[0] for text in (name, linkname, prefix))
        # In the headers of GNU tar, this field holds times and the like.
        if magic == tarfile.POSIX_MAGIC[:6] and prefix:
            name = prefix + b"/" + name
        if (length := number(size)) is None:
            raise damaged("a size that is no number", position)
        return _Header(block, position, type_, name, linkname, length)

    def _read_extension(self, header: _Header, extensions: _Extensions) -> None:
        if header.type == tarfile.XGLTYPE:
            self._global_room -= header.size
            if self._global_room < 0:
                raise damaged(f"over {self._limits.global_bytes:,} bytes of global headers", header.position)
        else:
            extensions.spend(header.size)
        content = b"".join(self._file.blocks(header.size))
        self._file.skip(-header.size % tarfile.BLOCKSIZE)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            extensions.long_name = content.partition(b"\0")[0]
        elif header.type == tarfile.GNUTYPE_LONGLINK:
            extensions.long_link = content.partition(b"\0")[0]
        else:
            is_global = header.type == tarfile.XGLTYPE
            for keyword, value in pax_records(content, header.position):
                if is_global:
                    problem = f"a global {keyword.decode('latin-1')!a}, which would be the same for all entries"
                    raise damaged(problem, header.position)
                if keyword in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}:
                    extensions.sparse_numbers.append(value)
                elif value:
                    extensions.pax[keyword] = value
                else:
                    extensions.pax.pop(keyword, None)

    def _entry(self, header: _Header, extensions: _Extensions) -> tuple[ArchiveEntry, int]:
        pax = extensions.pax
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or extensions.long_name or header.name
        linkname = pax.get(b"linkpath") or extensions.long_link or header.linkname
        type_, size = header.type, extensions.number(b"size")
        size = header.size if size is None else size
        if type_ == tarfile.AREGTYPE and name.endswith(b"/"):
            type_ = tarfile.DIRTYPE
        if type_ == tarfile.DIRTYPE:
            name = name.rstrip(b"/")
        if type_ in _TYPES_WITHOUT_DATA:
            size = 0
        is_pax_sparse = bool(extensions.sparse_numbers) or any(key.startswith(b"GNU.sparse.") for key in pax)
        if type_ == tarfile.GNUTYPE_SPARSE or (is_pax_sparse and type_ in tarfile.REGULAR_TYPES):
            return self._sparse_entry(_text(name), header, extensions, size)
        end = self._file.position + size
        return ArchiveEntry(_text(name), type_, size, self._file.blocks(size), _text(linkname)), end

    def _sparse_entry(
        self, name: str, header: _Header, extensions: _Extensions, stored: int
    ) -> tuple[ArchiveEntry, int]:
        start = self._file.position
        regions, size = self._sparse_map(header, extensions)
        # The size in the header includes the map of the format 1.0, but not the further blocks of GNU's own.
        if header.type != tarfile.GNUTYPE_SPARSE:
            stored -= self._file.position - start
        reached = 0
        for offset, length in regions:
            if offset < reached:
                raise damaged("a sparse map out of order", header.position)
            reached = offset + length
        if reached > size or sum(length for _, length in regions) != stored:
            raise damaged("a sparse map that does not fit its entry", header.position)
        self._hole_room -= size - stored
        if self._hole_room < 0:
            raise damaged(f"sparse entries with over {self._limits.hole_bytes:,} bytes of holes", header.position)
        blocks = _with_holes(self._file, regions, size)
        return ArchiveEntry(name, tarfile.REGTYPE, size, blocks), self._file.position + stored

    def _sparse_map(self, header: _Header, extensions: _Extensions) -> tuple[Regions, int]:
        if header.type == tarfile.GNUTYPE_SPARSE:
            return self._gnu_sparse_map(header, extensions)
        size = extensions.number(b"GNU.sparse.realsize", b"GNU.sparse.size")
        if size is None:
            raise damaged("a sparse entry without a size", header.position)
        version = extensions.pax.get(b"GNU.sparse.major", b"0") + b"." + extensions.pax.get(b"GNU.sparse.minor", b"0")
        if version not in {b"0.0", b"0.1", b"1.0"}:
            raise damaged("a sparse entry in an unknown format", header.position)
        if version == b"1.0":
            numbers = self._sparse_map_in_data(extensions)
        elif b"GNU.sparse.map" in extensions.pax:
            numbers = extensions.pax[b"GNU.sparse.map"].split(b",")
        else:
            numbers = extensions.sparse_numbers
        if len(numbers) % 2:
            raise damaged("a sparse map with an offset that has no length", header.position)
        return _pairs([decimal(each, header.position) for each in numbers]), size

    def _gnu_sparse_map(self, header: _Header, extensions: _Extensions) -> tuple[Regions, int]:
        fields = [header.block[386 + 12 * index :][:12] for index in range(8)]
        size = number(header.block[483:495])
        goes_on = header.block[482]
        while goes_on:
            extensions.spend(tarfile.BLOCKSIZE)
            block = b"".join(self._file.blocks(tarfile.BLOCKSIZE))
            fields += [block[12 * index :][:12] for index in range(42)]
            goes_on = block[504]
        numbers = [number(text) for text in fields]
        known = [each for each in numbers if each is not None]
        if size is None or len(known) < len(numbers):
            raise damaged("a sparse map with an unreadable number", header.position)
        return [region for region in _pairs(known) if any(region)], size

    def _sparse_map_in_data(self, extensions: _Extensions) -> list[bytes]:
        """Read the numbers of the format 1.0, one a line in whole blocks before the data."""
        text = bytearray()
        lines, expected = 0, 1
        while lines < expected:
            extensions.spend(tarfile.BLOCKSIZE)
            block = b"".join(self._file.blocks(tarfile.BLOCKSIZE))
            if not text:
                expected += 2 * decimal(block.partition(b"\n")[0], extensions.position)
            lines += block.count(b"\n")
            text += block
        return bytes(text).split(b"\n", expected)[1:expected]


def _pairs(numbers: list[int]) -> Regions:
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def _with_holes(file: _TarFile, regions: Regions, size: int) -> Iterator[bytes]:
    position = 0
    for offset, length in [*regions, (size, 0)]:
        while position < offset:
            hole = bytes(min(offset - position, BLOCK))
            position += len(hole)
            yield hole
        yield from file.blocks(length)
        position += length


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
