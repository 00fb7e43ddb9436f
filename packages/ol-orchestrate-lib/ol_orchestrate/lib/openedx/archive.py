"""A course export, `.xml.tar.gz`, read once from front to back; nothing is unpacked to a path.

Gives what the parser needs in memory, and passes the rest on: XML files, settings, and the static assets, which go
to a spool. Hostile archives end in an error or in a problem: links, devices, absolute and climbing names,
decompression bombs, headers without end, millions of members.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import unicodedata
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from ol_orchestrate.lib.openedx.problems import CourseExportError, ProblemList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ol_orchestrate.lib.openedx.static_assets import StaticAssets

MAX_MEMBERS = 100_000
"""Members of one archive, directories included: the largest courses have some ten thousand, and a header costs time."""

MAX_DOCUMENT_BYTES = 16 << 20
"""One XML or JSON file. The largest seen hold a few MB of transcripts or images in an attribute."""

MAX_DOCUMENTS_BYTES = 128 << 20
"""All XML and JSON files of one course, which are held in memory until the last of them is read."""

MAX_HEADER_BYTES = 1 << 20
"""What a tar header may make us read at once: names and extended attributes, never contents."""

MAX_NAME_LENGTH = 1_024
"""Characters of a name, with its folders; systems that export courses allow less."""

MAX_RATIO = 200
"""Unpacked bytes to one packed byte. Text reaches 20; a bomb of zeros has 1,000."""

RATIO_COUNTS_FROM = 64 << 20
"""Unpacked bytes from which on the ratio is looked at: a small file of zeros harms nobody."""

NOT_CONTENT = frozenset({"assets", "drafts", "static"})
"""Folders of an export that hold neither blocks nor the files that belong to them."""

_CHUNK = 256 << 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BLOCK = 512
_SETTINGS = re.compile(r"(?:.*/)?(?:policies/(?:[^/]+/)?(?!assets\.json)[^/]+|grading_policy)\.json\Z")
_EXPORT_AGAIN = "Export the course again"


@dataclass(slots=True)
class ExportFiles:
    """The members of an export that a course is read from, by path.

    Attributes:
        xml: XML files.
        settings: Policies and grading policies, JSON.
        links: Links, which are not followed, to the text of their targets.
        passed_over: For each top folder, one file below its `assets`, `drafts` or `static`, none of which was read.
        problems: Members that could not be used.
    """

    xml: dict[str, bytes] = field(default_factory=dict)
    settings: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    problems: ProblemList = field(default_factory=ProblemList)


def read_export(source: BinaryIO | Iterable[bytes], name: str, static_assets: StaticAssets | None) -> ExportFiles:
    """Read an archive to its end.

    Args:
        source: The bytes of a `.tar.gz`: an open file, or its chunks; read forward only.
        name: What to call the archive in errors.
        static_assets: Where files that are no documents go; without it they are passed over.

    Raises:
        CourseExportError: It is no `.tar.gz`, empty, truncated or damaged, or it passes one of the limits above.
    """
    packed = _Packed(source)
    reader = _Unpacked(packed, name)
    files = ExportFiles()
    try:
        _read_members(reader, name, files, static_assets)
        reader.finish()
    except EOFError:
        message = f"{name} is truncated: it ends after {packed.count:,} bytes. Fetch or export it again"
        raise CourseExportError(message) from None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        raise CourseExportError(f"{name} is no course export: {packed.what_it_is(error)}. {_EXPORT_AGAIN}") from None
    return files


def _read_members(reader: _Unpacked, name: str, files: ExportFiles, static_assets: StaticAssets | None) -> None:
    held = 0
    for count, member in enumerate(_members(reader, name), start=1):
        if count > MAX_MEMBERS:
            raise _too_much(name, f"it has more than {MAX_MEMBERS:,} members")
        if (path := _path_to_read(member, files)) is None:
            continue
        if not (path.endswith(".xml") or _SETTINGS.match(path)):
            if static_assets is not None:
                static_assets.collect(path, reader.content(member))
            continue
        if member.size > MAX_DOCUMENT_BYTES:
            files.problems.add(path, f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB", "Split the file")
            continue
        held += member.size
        if held > MAX_DOCUMENTS_BYTES:
            raise _too_much(name, f"its XML and JSON files are larger than {MAX_DOCUMENTS_BYTES >> 20} MiB together")
        kind = files.xml if path.endswith(".xml") else files.settings
        if path in kind:
            files.problems.add(path, "the archive holds it twice; the last one is used", _EXPORT_AGAIN)
        kind[path] = b"".join(reader.content(member))


def _members(reader: _Unpacked, name: str) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=cast("BinaryIO", reader), mode="r:", encoding="utf-8") as tar:
        while (member := _next_member(tar)) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it keeps every header
            yield member
    if not reader.last_header_was_empty:
        # tarfile takes a header that it cannot read for the end, and all that follows would be lost without a word
        message = f"{name} is damaged: no readable tar header at byte {reader.tell():,}. {_EXPORT_AGAIN}"
        raise CourseExportError(message)


def _next_member(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except (ValueError, OverflowError, RecursionError) as error:
        # numbers that are none, or extended headers one after the other without end
        raise tarfile.ReadError(str(error)) from None


def _path_to_read(member: tarfile.TarInfo, files: ExportFiles) -> str | None:
    """The member's path without `./`, or None if it is not read; what a reader might miss becomes a problem."""
    path = _text(member.name)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    clean = "/".join(parts)
    if member.isdir() or not parts or parts[-1].startswith("._") or parts[0] == "__MACOSX":
        return None
    if path.startswith("/") or ".." in parts:
        files.problems.add(path, "its name leads out of the archive; it was not read", _EXPORT_AGAIN)
    elif len(path) > MAX_NAME_LENGTH or _CONTROL.search(path):
        shown = ascii(path[:MAX_NAME_LENGTH])[1:-1]
        files.problems.add(shown, "its name is too long or has control characters; it was not read", "Rename it")
    elif len(parts) > 2 and parts[1] in NOT_CONTENT:  # noqa: PLR2004 - below the root folder and a folder in it
        files.passed_over.setdefault(parts[0], clean)
    elif member.issym() or member.islnk():
        files.links[clean] = _text(member.linkname)
        files.problems.add(path, "a link; links are not followed", "Put the file itself into the archive")
    elif not member.isreg() or member.issparse():
        files.problems.add(path, "a device or a sparse file; it was not read", "Put a plain file into the archive")
    else:
        return clean
    return None


def _text(name: str) -> str:
    """A name as valid, composed Unicode: macOS writes names decomposed, and old tools in Latin-1."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _too_much(name: str, what: str) -> CourseExportError:
    return CourseExportError(f"{name} is refused: {what}. If it is a real course, raise the limit in {__name__}")


class _Packed:
    """The archive's own bytes, counted as they are read."""

    def __init__(self, source: BinaryIO | Iterable[bytes]) -> None:
        self._source = cast("BinaryIO", source if hasattr(source, "read") else _ChunkReader(source))
        self._start = self._unread = self._source.read(_BLOCK)
        self.count = 0

    def read(self, size: int) -> bytes:
        data, self._unread = self._unread[:size], self._unread[size:]
        data = data or self._source.read(size)
        self.count += len(data)
        return data

    def what_it_is(self, error: Exception) -> str:
        if not self._start:
            return "it is empty"
        if self._start.startswith(b"PK"):
            return "it is a zip file, not a .tar.gz"
        if self._start[257:262] == b"ustar":
            return "it is an uncompressed tar file, not a .tar.gz"
        if not self._start.startswith(b"\x1f\x8b"):
            return "it is not compressed with gzip"
        return f"the .tar.gz is damaged or holds no tar ({error})"


class _ChunkReader:
    """Chunks of bytes, read like a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._rest:
            try:
                self._rest = memoryview(next(self._chunks))
            except StopIteration:
                return b""
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)


class _Unpacked:
    """The tar file inside; forward only, which is all that `tarfile` needs where members are read in order."""

    def __init__(self, packed: _Packed, name: str) -> None:
        self._packed = packed
        self._gzip = gzip.GzipFile(fileobj=cast("BinaryIO", packed), mode="rb")
        self._position = 0
        self._name = name
        self.last_header_was_empty = True

    def read(self, size: int) -> bytes:
        """For `tarfile`, which reads headers with it."""
        if size > MAX_HEADER_BYTES:
            raise _too_much(self._name, f"a tar header of {size:,} bytes")
        data = self._read(size)
        if size == _BLOCK:
            self.last_header_was_empty = not data.strip(b"\0")
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Skip forward."""
        if position < self._position:
            message = "a member that begins before its header"
            raise tarfile.ReadError(message)
        for _ in self._chunks(position - self._position):
            pass

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The content of the member that was read last, in pieces."""
        self.seek(member.offset_data)
        yield from self._chunks(member.size)

    def finish(self) -> None:
        """Read what follows the tar's end, since only there does gzip tell whether the whole is intact."""
        while self._read(_CHUNK):
            pass

    def _chunks(self, size: int) -> Iterator[bytes]:
        while size > 0:
            data = self._read(min(size, _CHUNK))
            if not data:
                raise EOFError
            size -= len(data)
            yield data

    def _read(self, size: int) -> bytes:
        data = self._gzip.read(size)
        self._position += len(data)
        if self._position > RATIO_COUNTS_FROM and self._position > MAX_RATIO * self._packed.count:
            raise _too_much(self._name, f"it unpacks to more than {MAX_RATIO} times its size, as a bomb does")
        return data
