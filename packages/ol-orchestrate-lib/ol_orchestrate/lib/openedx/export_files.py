"""A reader of course exports, `.xml.tar.gz`, in one pass; it unpacks no file to a path.

It keeps XML files and settings in memory, and hands the static assets to their spool. Hostile content raises an error
or becomes a problem: links, devices, absolute and climbing names, decompression bombs, endless headers, and millions of
members.
"""

from __future__ import annotations

import re
import tarfile
import unicodedata
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ol_orchestrate.lib.archives import ArchiveError, TruncatedArchiveError, gunzip
from ol_orchestrate.lib.openedx.problems import CourseExportError, ProblemList
from ol_orchestrate.lib.openedx.static_assets import NOT_CONTENT
from ol_orchestrate.lib.tar import tar_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ol_orchestrate.lib.archives import ArchiveEntry
    from ol_orchestrate.lib.openedx.static_assets import StaticAssets

MAX_MEMBERS = 100_000
"""Members of one archive, directories included. The largest courses have some ten thousand, and each header costs
time."""

MAX_DOCUMENT_BYTES = 16 << 20
"""Bytes of one XML or JSON file. The largest known ones hold a few MB of transcripts or images in an attribute."""

MAX_DOCUMENTS_BYTES = 64 << 20
"""Bytes of all XML and JSON files of one course, which are in memory until the last of them is read."""

MAX_NAME_LENGTH = 1_024
"""Characters of a name with its folders; systems that export courses allow fewer."""

RATIO_COUNTS_FROM = 64 << 20
"""Unpacked bytes beyond which the ratio counts, as a small file of zeros does no harm."""

_CHUNK = 256 << 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SETTINGS = re.compile(r"(?:.*/)?(?:policies/(?:[^/]+/)?(?!assets\.json)[^/]+|grading_policy)\.json\Z")
_EXPORT_AGAIN = "Export the course again"


class RatioLimit(NamedTuple):
    """The limit of an export's unpacked size, relative to its packed size.

    Attributes:
        ratio: Unpacked bytes to one packed byte. Text reaches 20; a bomb of zeros has 1,000.
        setting: The name of the setting to raise for a real course, for errors.
    """

    ratio: int
    setting: str


DEFAULT_RATIO_LIMIT = RatioLimit(200, "ratio_limit")


@dataclass(slots=True)
class ExportFiles:
    """The members of an export that define a course, by path.

    Attributes:
        xml: The XML files.
        settings: The policies and grading policies, JSON.
        links: The target of each link; links are not followed.
        passed_over: An example, for each top folder, of the unread files in its `assets`, `drafts` or `static`.
        count: The number of files that belong to the course, without drafts, assets and static files of the platform.
        problems: Members that could not be used.
    """

    xml: dict[str, bytes] = field(default_factory=dict)
    settings: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    count: int = 0
    problems: ProblemList = field(default_factory=ProblemList)


def read_export(
    source: BinaryIO | Iterable[bytes], name: str, static_assets: StaticAssets | None, ratio_limit: RatioLimit
) -> ExportFiles:
    """Read an archive to its end.

    Args:
        source: The bytes of a `.tar.gz`: an open file, or its chunks; read forward only.
        name: The name of the archive in errors.
        static_assets: Collects the files that are neither XML nor settings; without it they are skipped.
        ratio_limit: The limit against decompression bombs.

    Raises:
        CourseExportError: It is no `.tar.gz`, empty, truncated or damaged, or passes one of the limits above.
    """
    files = ExportFiles()
    try:
        _read_entries(tar_entries(_unpack(source, name, ratio_limit)), name, files, static_assets)
    except TruncatedArchiveError as error:
        raise CourseExportError(f"{name} is truncated: {error}. Fetch or export it again") from None
    except ArchiveError as error:
        raise CourseExportError(f"{name} is no course export: {error}. {_EXPORT_AGAIN}") from None
    return files


def _read_entries(
    entries: Iterable[ArchiveEntry], name: str, files: ExportFiles, static_assets: StaticAssets | None
) -> None:
    held = 0
    for count, entry in enumerate(entries, start=1):
        if count > MAX_MEMBERS:
            raise _too_much(name, f"it has more than {MAX_MEMBERS:,} members")
        if (path := _path_to_read(entry, files)) is None:
            continue
        files.count += 1
        if not (path.endswith(".xml") or _SETTINGS.match(path)):
            if static_assets is not None:
                static_assets.collect(path, entry.blocks)
            continue
        if entry.size > MAX_DOCUMENT_BYTES:
            files.problems.add(path, f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB", "Split the file")
            continue
        held += entry.size
        if held > MAX_DOCUMENTS_BYTES:
            raise _too_much(name, f"its XML and JSON files are larger than {MAX_DOCUMENTS_BYTES >> 20} MiB together")
        kind = files.xml if path.endswith(".xml") else files.settings
        if path in kind:
            files.problems.add(path, "the archive holds it twice; the last one is used", _EXPORT_AGAIN)
        kind[path] = b"".join(entry.blocks)


def _path_to_read(entry: ArchiveEntry, files: ExportFiles) -> str | None:
    """Return the entry's path without `./`, or `None` if it is skipped; skipped content becomes a problem."""
    path = _text(entry.name)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    clean = "/".join(parts)
    if entry.type == tarfile.DIRTYPE or not parts or parts[-1].startswith("._") or parts[0] == "__MACOSX":
        return None
    if path.startswith("/") or ".." in parts:
        files.problems.add(path, "its name leads out of the archive; it was not read", _EXPORT_AGAIN)
    elif len(path) > MAX_NAME_LENGTH or _CONTROL.search(path):
        shown = ascii(path[:MAX_NAME_LENGTH])[1:-1]
        files.problems.add(shown, "its name is too long or has control characters; it was not read", "Rename it")
    elif len(parts) > 2 and parts[1] in NOT_CONTENT:  # noqa: PLR2004 - below the root folder and a folder in it
        files.passed_over.setdefault(parts[0], clean)
    elif entry.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
        files.links[clean] = _text(entry.linkname)
        files.problems.add(path, "a link; links are not followed", "Put the file itself into the archive")
    elif entry.type not in tarfile.REGULAR_TYPES:
        files.problems.add(path, "a device or a pipe; it was not read", "Put a plain file into the archive")
    else:
        return clean
    return None


def _text(name: str) -> str:
    """Return a name as valid, composed Unicode; macOS decomposes names, and old tools write Latin-1."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _too_much(
    name: str, what: str, remedy: str = "Export the course again without what it does not need"
) -> CourseExportError:
    return CourseExportError(f"{name} is refused: {what}. {remedy}")


def _unpack(source: BinaryIO | Iterable[bytes], name: str, limit: RatioLimit) -> Iterator[bytes]:
    """Unpack an archive.

    Raises:
        CourseExportError: It passes the limit.
    """
    packed = unpacked = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for block in _chunks(source):
            packed += len(block)
            yield block

    for block in gunzip(counted()):
        unpacked += len(block)
        if unpacked > RATIO_COUNTS_FROM and unpacked > limit.ratio * packed:
            what = f"it unpacks to more than {limit.ratio:,} times its size, as a bomb does"
            raise _too_much(name, what, f"If it is a real course, raise {limit.setting}")
        yield block


def _chunks(source: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    return iter(partial(source.read, _CHUNK), b"") if hasattr(source, "read") else iter(source)
