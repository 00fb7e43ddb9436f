"""A reader of zip archives in a store, in blocks, for untrusted sources.

A zip ends with a directory of its members, which is fetched first. Then the archive is read once, from its start to its
end, so that the store's checksum proves all of it. Only a member that lies before the one that the directory lists
before it takes a request of its own.

Python's `zipfile` wants to seek, holds an object for each member, and lets members overlap before Python 3.11.4; it
follows one of the two headers of a member without comparing it with the other.
"""

from __future__ import annotations

import stat
import struct
import tarfile
from array import array
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from isal import isal_zlib

from ol_orchestrate.lib.archives import (
    RAW_DEFLATE,
    ArchiveEntry,
    ContradictedEntryError,
    DamagedArchiveError,
    EntryError,
    ForwardFile,
    IsalError,
    TruncatedArchiveError,
    inflated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ol_orchestrate.lib.stores import VerifiedReader


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """Bounds for the memory and the time that a zip can cost; real archives stay far below them.

    Attributes:
        directory_bytes: Bytes of the directory, which is held in memory: some 500,000 members.
        ratio: The most times larger than its packed bytes that a member may be.
        free_bytes: Bytes of a member up to which its ratio is not looked at.
    """

    directory_bytes: int = 64 << 20
    ratio: int = 250
    free_bytes: int = 64 << 20


LIMITS = ZipLimits()


def zip_entries(source: VerifiedReader, start: bytes = b"", limits: ZipLimits = LIMITS) -> Iterator[ArchiveEntry]:
    """Yield the members of a zip in the order of its directory.

    The blocks of a member raise `EntryError` if it cannot be read, before or after some of its content.

    Args:
        source: The archive; what is left of it afterwards is to be drained.
        start: The bytes that were read of it already.
        limits: A zip that passes one of them counts as damaged.

    Raises:
        TruncatedArchiveError: It has no end, or not its whole directory.
        DamagedArchiveError: Its directory is wrong, or lacks a member.
    """
    directory = _Directory.read(source, limits)
    file = _File(source, start)
    # Other bytes before the first member are a program that unpacks it.
    if directory.first and b"".join(file.blocks(0, len(_HEADER_MARK))) == _HEADER_MARK:
        raise _unlisted(0)
    for index, member in enumerate(directory.members()):
        if directory.overlaps[index]:
            blocks = _failing("its bytes overlap those of another member")
            yield ArchiveEntry(_text(member.name, member.flags), _type(member), member.size, blocks)
            continue
        place = _Place(member, directory.ends[index])
        yield ArchiveEntry(_text(member.name, member.flags), _type(member), member.size, _content(file, place, limits))
        place.refuse_unlisted(file)


_END = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\5\6"
_LONGEST_COMMENT: Final = 0xFFFF
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_MARK: Final = b"PK\6\6"
_LOCATOR64 = struct.Struct("<4sLQL")
_LOCATOR64_MARK: Final = b"PK\6\7"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_MARK: Final = b"PK\1\2"
_HEADER = struct.Struct("<4s5H3L2H")
_HEADER_MARK: Final = b"PK\3\4"
_DESCRIPTOR_MARK: Final = b"PK\7\x08"
_LONGEST_DESCRIPTOR: Final = 24
_EXTRA = struct.Struct("<2H")
_EXTRA64: Final = 1

_IN_EXTRA: Final = 0xFFFFFFFF
"""The value of a size or a position that stands in the extra field for zip64."""

_ENCRYPTED, _SIZES_FOLLOW, _UTF8, _HIDDEN = 0x1, 0x8, 0x800, 0x2041
_STORED, _DEFLATED = 0, 8
_UNIX: Final = 3


class _Member(NamedTuple):
    """A member, as the directory describes it."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    position: int
    system: int
    attributes: int


class _Directory:
    """The directory of a zip.

    Attributes:
        first: The position of the first member in the file, or of the directory if there is none.
        ends: The position before which each member must end.
        overlaps: A byte for each member: 1 if it overlaps another.
    """

    def __init__(self, data: bytes, position: int, count: int) -> None:
        self._data = data
        starts, least_ends = array("Q"), array("Q")
        for member in self.members():
            starts.append(member.position)
            least_ends.append(member.position + _HEADER.size + len(member.name) + member.packed)
        if len(starts) != count:
            raise DamagedArchiveError(f"the zip's directory has {len(starts):,} members, and its end says {count:,}")
        self.first = min(starts, default=position)
        self.ends = array("Q", [position]) * len(starts)
        self.overlaps = bytearray(len(starts))
        reached, furthest = 0, 0
        before: int | None = None
        for index in sorted(range(len(starts)), key=starts.__getitem__):
            if before is not None:
                self.ends[before] = starts[index]
            if starts[index] < reached:
                self.overlaps[index] = self.overlaps[furthest] = 1
            if least_ends[index] > reached:
                reached, furthest = least_ends[index], index
            before = index

    @classmethod
    def read(cls, source: VerifiedReader, limits: ZipLimits) -> _Directory:
        first = max(0, source.info.size - _END.size - _LONGEST_COMMENT - _LOCATOR64.size - _END64.size)
        tail = b"".join(source.begin_at(first))
        place = _end_in(tail)
        if place is None:
            raise TruncatedArchiveError("the zip has no end: it breaks off, or it is in parts")
        _, disk, directory_disk, count_here, count, size, position, _ = _END.unpack_from(tail, place)
        if place >= _LOCATOR64.size and tail[place - _LOCATOR64.size :].startswith(_LOCATOR64_MARK):
            place -= _LOCATOR64.size + _END64.size
            if place < 0 or not tail[place:].startswith(_END64_MARK):
                raise DamagedArchiveError("the zip's end for large archives is not where it belongs")
            _, _, _, _, disk, directory_disk, count_here, count, size, position = _END64.unpack_from(tail, place)
        if disk or directory_disk or count_here != count:
            raise DamagedArchiveError("the zip is one part of several")
        if size > limits.directory_bytes:
            raise DamagedArchiveError(f"the zip's directory has {size:,} bytes, more than any real one")
        if position + size != first + place:
            raise DamagedArchiveError(
                f"the zip's directory ends at byte {first + place:,}, and its end says at byte {position + size:,}"
            )
        if position >= first:
            return cls(tail[position - first : place], position, count)
        return cls(ForwardFile(source.begin_at(position), position).read(size), position, count)

    def members(self) -> Iterator[_Member]:
        place = 0
        while place < len(self._data):
            member, place = self._member(place)
            yield member

    def _member(self, place: int) -> tuple[_Member, int]:
        """Return the member at a place, and the place of the next one."""
        if len(self._data) < place + _ENTRY.size or not self._data.startswith(_ENTRY_MARK, place):
            raise DamagedArchiveError(f"the zip's directory is damaged, at its byte {place:,}")
        fields = _ENTRY.unpack_from(self._data, place)
        _, made, _, flags, method, _, _, checksum, packed, size, name_length, extra_length, comment_length = fields[:13]
        attributes, position = fields[15:]
        start = place + _ENTRY.size
        name = self._data[start : start + name_length]
        extra = self._data[start + name_length : start + name_length + extra_length]
        end = start + name_length + extra_length + comment_length
        if end > len(self._data):
            raise DamagedArchiveError(f"the zip's directory is damaged, at its byte {place:,}")
        size, packed, position = _large(extra, size, packed, position)
        return _Member(name, flags, method, checksum, packed, size, position, made >> 8, attributes), end


def _end_in(tail: bytes) -> int | None:
    """Find the end of a zip in its last bytes; a comment reaches from it to the end of the file."""
    place = tail.rfind(_END_MARK)
    while place >= 0:
        if len(tail) >= place + _END.size and place + _END.size + _END.unpack_from(tail, place)[-1] == len(tail):
            return place
        place = tail.rfind(_END_MARK, 0, place)
    return None


def _large(extra: bytes, *values: int) -> list[int]:
    """Replace those values that stand in the extra field for zip64, where it has them in this order."""
    numbers: list[int] = []
    place = 0
    while place + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, place)
        place += _EXTRA.size
        if kind == _EXTRA64:
            field = extra[place : place + length]
            numbers = [int.from_bytes(field[at : at + 8], "little") for at in range(0, len(field) - 7, 8)]
            break
        place += length
    waiting = iter(numbers)
    return [next(waiting, value) if value == _IN_EXTRA else value for value in values]


class _File:
    """A source that is read by position; what lies before the place that it has reached is fetched again."""

    def __init__(self, source: VerifiedReader, held: bytes) -> None:
        self._source = source
        self._forward = ForwardFile(filter(None, chain([held], source)))

    def blocks(self, position: int, size: int) -> Iterator[bytes]:
        """Yield `size` bytes from a position on, in blocks of any size; fewer at the end of the source."""
        file = self._forward
        if position < file.position:
            file = ForwardFile(self._source.begin_at(position), position)
        for _ in file.take(position - file.position):
            pass
        yield from file.take(size)


def _failing(problem: str) -> Iterator[bytes]:
    raise EntryError(problem)
    yield b""


def _unlisted(position: int) -> DamagedArchiveError:
    return DamagedArchiveError(f"the zip has a member at byte {position:,} that its directory does not list")


class _Place:
    """The place of a member in the file.

    Attributes:
        end: The position before which it must end.
        after: The position after its packed bytes, once its own header is read.
    """

    def __init__(self, member: _Member, end: int) -> None:
        self.member, self.end = member, end
        self.after: int | None = None

    def header(self, file: _File) -> tuple[bytes, bytes, bytes]:
        """Return the member's own header, and the name and the extra field that follow it."""
        position = self.member.position
        header = b"".join(file.blocks(position, _HEADER.size))
        if len(header) < _HEADER.size or not header.startswith(_HEADER_MARK):
            raise EntryError(f"its header is not at byte {position:,}, where the zip's directory says")
        name_length, extra_length = _HEADER.unpack(header)[-2:]
        names = b"".join(file.blocks(position + _HEADER.size, name_length + extra_length))
        self.after = position + _HEADER.size + name_length + extra_length + self.member.packed
        return header, names[:name_length], names[name_length:]

    def refuse_unlisted(self, file: _File) -> None:
        """Raise `DamagedArchiveError` if the header of a member follows that the directory does not list."""
        member = self.member
        room = self.end - (member.position + _HEADER.size + len(member.name) + member.packed)
        if room < _HEADER.size:
            return
        try:
            if self.after is None:
                self.header(file)
        except EntryError:
            return
        after = self.after or self.end
        rest = b"".join(file.blocks(after, min(_LONGEST_DESCRIPTOR + len(_HEADER_MARK), max(0, self.end - after))))
        if member.flags & _SIZES_FOLLOW:
            numbers = (member.checksum, member.packed, member.size)
            forms = [struct.pack("<L2Q", *numbers)]
            if max(numbers) <= _IN_EXTRA:
                forms.append(struct.pack("<3L", *numbers))
            for descriptor in (mark + form for mark in (_DESCRIPTOR_MARK, b"") for form in forms):
                if rest.startswith(descriptor):
                    after += len(descriptor)
                    rest = rest[len(descriptor) :]
                    break
        if rest.startswith(_HEADER_MARK):
            raise _unlisted(after)


def _content(file: _File, place: _Place, limits: ZipLimits) -> Iterator[bytes]:
    """Unpack a member, and compare it with both of its headers."""
    member = place.member
    if member.flags & (_ENCRYPTED | _HIDDEN):
        raise EntryError("it is encrypted with a password of the zip, and not with OpenPGP")
    if member.method not in {_STORED, _DEFLATED}:
        raise EntryError(f"it is packed with method {member.method}: only deflated and stored members can be read")
    if member.size > max(limits.free_bytes, limits.ratio * member.packed):
        raise EntryError(f"{member.size:,} bytes out of {member.packed:,} are more than {limits.ratio} times as many")
    header, name, extra = place.header(file)
    _compare(member, header, name, extra)
    if place.after is None or place.after > place.end:
        raise EntryError("its bytes overlap those of another member, or the zip's directory")
    packed = file.blocks(place.after - member.packed, member.packed)
    checksum, size = 0, 0
    for block in _deflated(packed) if member.method == _DEFLATED else packed:
        size += len(block)
        if size > member.size:
            raise EntryError(f"it has more bytes than the {member.size:,} that its header says")
        checksum = isal_zlib.crc32(block, checksum)
        yield block
    if size != member.size:
        raise EntryError(f"it has {size:,} bytes, and its header says {member.size:,}")
    if checksum != member.checksum:
        raise EntryError("its bytes are damaged: their CRC-32 is wrong")


def _compare(member: _Member, header: bytes, name: bytes, extra: bytes) -> None:
    """Raise `ContradictedEntryError` if a member's own header says anything else than the directory."""
    _, _, flags, method, _, _, checksum, packed, size, _, _ = _HEADER.unpack(header)
    size, packed = _large(extra, size, packed)
    said = {"name": _text(name, flags), "method": method, "encryption": flags & _ENCRYPTED}
    meant = {"name": _text(member.name, member.flags), "method": member.method, "encryption": member.flags & _ENCRYPTED}
    if not flags & _SIZES_FOLLOW:
        said |= {"checksum": checksum, "packed size": packed, "size": size}
        meant |= {"checksum": member.checksum, "packed size": member.packed, "size": member.size}
    if different := [what for what in said if said[what] != meant[what]]:
        raise ContradictedEntryError(f"its own header has another {different[0]} than the zip's directory")


def _deflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    unpacking = isal_zlib.decompressobj(wbits=RAW_DEFLATE)
    try:
        for block in blocks:
            if unpacking.eof:
                raise EntryError("something follows its packed bytes")
            yield from inflated(unpacking, block)
    except IsalError as error:
        raise EntryError(f"its packed bytes are damaged ({error})") from None
    if not unpacking.eof:
        raise EntryError("its packed bytes break off")
    if unpacking.unused_data:
        raise EntryError("something follows its packed bytes")


def _text(name: bytes, flags: int) -> str:
    if flags & _UTF8:
        return name.decode("utf-8", "surrogateescape")
    try:
        return name.decode()  # as most programs write it, without saying so
    except UnicodeDecodeError:
        return name.decode("cp437")


def _type(member: _Member) -> bytes:
    """Return the type that the entry would have in a tar."""
    if member.name.endswith(b"/"):
        return tarfile.DIRTYPE
    is_link = member.system == _UNIX and stat.S_ISLNK(member.attributes >> 16)
    return tarfile.SYMTYPE if is_link else tarfile.REGTYPE
