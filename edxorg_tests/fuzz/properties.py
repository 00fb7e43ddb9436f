"""What must hold for each parser, whatever bytes it is given: only errors of our own, and nothing lost or added."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import tarfile
import zipfile
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from edxorg.lib.dictionary import DICTIONARY
from edxorg.lib.forum import PostsWriter
from edxorg.lib.members import LONGEST_LABEL, MemberKind, course_columns, identify
from edxorg.lib.object_keys import raw_data_key
from edxorg.lib.rejects import reject_line
from edxorg.lib.tables import Dialect, Escapes, RowHash
from edxorg.lib.tracking_log import normalize_log
from edxorg.lib.tracking_log.event_time import utc_from_number, utc_from_text
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg.lib.workers import BlockStream, WorkerPool
from edxorg_tests.support import plain_readers
from edxorg_tests.support.landed_keys import problem_of_key
from edxorg_tests.support.log_model import assert_as_expected
from edxorg_tests.support.table_model import assert_as_the_model
from edxorg_tests.support.tables import Converted, convert
from ol_orchestrate.lib.archives import ArchiveError, EntryError
from ol_orchestrate.lib.course_partition import CoursePartition
from ol_orchestrate.lib.openedx import CourseExportError, StaticAssets, course_outputs, read_course
from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader
from ol_orchestrate.lib.zip_archives import zip_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NO_MEMBERS: Final = {MemberKind.UNRECOGNISED, MemberKind.IGNORED, MemberKind.MISSING_AT_SOURCE}
_PLAIN_NAMES: Final = {
    MemberKind.TABLE: plain_readers.TABLE,
    MemberKind.COURSE_STRUCTURE: plain_readers.STRUCTURE,
    MemberKind.COURSE_XML: plain_readers.OLX,
    MemberKind.FORUM: plain_readers.FORUM,
}


def name(data: bytes) -> None:
    """The type of an entry, one byte, and its name."""
    entry, path = data[:1], data[1:].decode("utf-8", "surrogateescape")
    member = identify(path, entry=entry)
    assert member.label.isprintable()
    assert len(member.label) <= LONGEST_LABEL
    assert (member.reason is not None) == (member.kind in _NO_MEMBERS)
    if member.partition is not None and member.course is not None:
        assert CoursePartition.parse(member.partition) == member.course
        assert all(course_columns(member.course).values()) or member.ambiguous
    if member.kind in _NO_MEMBERS:
        return
    assert member.partition is not None
    assert problem_of_key(raw_data_key(member, "0" * 64)) is None
    last = path.rpartition("/")[2].removesuffix(".gpg")
    if (plain := _PLAIN_NAMES.get(member.kind)) and (found := plain.fullmatch(last)) and member.course:
        site = found["site"].removeprefix("prod-")
        assert member.ambiguous or (member.course.course_id, member.course.site) == (found["course"], site)


_FORCED: Final = [None, None, None, Dialect.PLAIN, Dialect.ESCAPED, Dialect.QUOTED, Dialect.MIXED]


def table(data: bytes) -> None:
    """A byte for the way of reading, a byte for the size of blocks, and a table."""
    if len(data) < 3:
        return
    forced, decoded = _FORCED[data[0] % 7], data[0] // 7 % 2
    size, content = data[1] or 256, data[2:]
    blocks = _blocks(content, size)
    found = convert(blocks)
    _assert_sound(found)
    if not found.report.columns:
        assert found.output is None
        assert not found.rejects
        return
    if decoded:
        _assert_sound(convert(blocks, dialect=forced, escapes=Escapes.DECODE, row_hash=RowHash.CONCATENATED))
    assert_as_the_model(content, blocks, forced if forced is not Dialect.MIXED else None)


def _assert_sound(found: Converted) -> None:
    """Readers of tab-separated files read as many rows as were written, each as wide as the header."""
    if found.output is None:
        return
    assert len(found.records) == found.report.rows_out + 1
    assert {len(record) for record in found.records} == {len(found.report.columns) + 6}
    assert found.output.endswith(b"\n")


class _Times(dict[str, str | None]):
    """The times of events as the product reads them; those that Python reads as well are compared."""

    def __missing__(self, source: str) -> str | None:
        if not source.startswith('"'):
            return utc_from_number(source)
        text = json.loads(source)
        found = utc_from_text(text)
        if found is not None and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+\d\d:\d\d", text.strip()):
            expected = datetime.fromisoformat(text.strip()).astimezone(UTC).replace(tzinfo=None)
            assert found == expected.isoformat(sep=" ", timespec="microseconds")
        return found


class _InThisProcess(WorkerPool):
    """A pool of one worker, which is this process, so that the fuzzer sees what it does."""

    def __init__(self) -> None:
        pass

    def process_ids(self) -> list[int]:
        return [0]

    def stream(self, function: Callable[..., Any], *args: object) -> BlockStream:
        return _Stream(function, args)


class _Stream(BlockStream):
    def __init__(self, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._blocks: list[bytes] = []

    def send(self, block: bytes) -> None:
        self._blocks.append(block)

    def finish(self) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._function(None, self._blocks, *self._arguments))
        return future


def log(data: bytes) -> None:
    """A byte for the size of blocks, and the content of a log."""
    content = data[1:]
    packed = _blocks(gzip.compress(content, 1, mtime=0), 4 * (data[0] if data else 0) + 1)
    normalized = normalize_log(packed, name="day.log.gz", pool=_InThisProcess(), progress=lambda _: None)
    report = normalized.report
    try:
        assert report.lines_in == report.lines_out + report.rejected_lines + report.blank
        lines = content.removesuffix(b"\n").split(b"\n")
        # Of prefixes the model knows some only, of limits none.
        if LineRejectReason.KEY_TOO_LONG in report.rejected:
            return
        if all(line.startswith(b"{") for line in lines if line.strip(b" \t\r")):
            # Python's own reader of JSON is recursive, and the product's is not.
            with contextlib.suppress(RecursionError):
                assert_as_expected(normalized, content, _Times())
    finally:
        normalized.close()


_TEXTS: Final = ("course_id", "author_username", "title", "body", "commentable_id")


def forum(data: bytes) -> None:
    """A byte for the size of blocks, and a forum."""
    size, content = data[0] if data else 0, data[1:]
    writer = PostsWriter()
    try:
        assert b"".join(writer.through(_blocks(content, size + 1))) == content
        rows, rejects = ([json.loads(line) for line in spool.reader()] for spool in (writer.rows, writer.rejects))
        report, rejected = writer.report, writer.rejects.reader().read()
    finally:
        writer.close()
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    assert (report.rows, report.rejected.total()) == (len(rows), len(rejects))
    assert report.lines == len(lines) == report.rows + len(rejects) + report.blank
    reasons = {reject["line"]: reject["reason"] for reject in rejects}
    assert rejected == b"".join(reject_line(number, why, lines[number - 1]) for number, why in reasons.items())
    delivered = [line for number, line in enumerate(lines, 1) if line.strip() and number not in reasons]
    columns = [column.name for column in DICTIONARY["edxorg/processed_data/forum_posts"].columns]
    for line, row in zip(delivered, rows, strict=True):
        post = json.loads(line)
        assert list(row) == columns
        assert row["_type"] == post["_type"]
        for column in _TEXTS:
            if isinstance(post.get(column), str):
                assert row[column] == post[column]
            elif post.get(column) is None:
                assert row[column] is None


_END_OF_ZIP: Final = b"PK\5\6"


def zip_archive(data: bytes) -> None:
    """A zip; Python's own reader must not say otherwise about a member that is delivered."""
    source = _reader(data)
    contents: list[bytes | None] = []
    try:
        for entry in zip_entries(source):
            assert identify(entry.name, entry=entry.type).label.isprintable()
            try:
                contents.append(b"".join(entry.blocks))
            except EntryError:
                contents.append(None)
        source.drain()
    except ArchiveError:
        return
    if data.count(_END_OF_ZIP) > 1:
        return  # Python's reader takes the last one, even in a comment
    try:
        plain = zipfile.ZipFile(io.BytesIO(data))
    except (UnicodeDecodeError, NotImplementedError, zipfile.BadZipFile):
        return  # names that are no text, versions that no member needs, numbers that nobody reads
    for member, content in zip(plain.infolist(), contents, strict=True):
        if content is not None and member.filename.isascii():
            with contextlib.suppress(NotImplementedError):  # patches, which CRC-32 says are none
                assert plain.read(member) == content


_PART: Final = re.compile(rb"^--- (.*)\n", re.MULTILINE)
NOW: Final = "2024-05-06T00:00:00+00:00"


def olx(data: bytes) -> None:
    """Files of a course, each below a line `--- PATH`."""
    _, *parts = _PART.split(data)
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as tar:
        for path, content in zip(parts[::2], parts[1::2], strict=True):
            info = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed = gzip.compress(files.getvalue(), 1, mtime=0)
    with StaticAssets() as static_assets:
        try:
            course = read_course(_blocks(packed, 1 << 16), name="x.xml.tar.gz", static_assets=static_assets)
        except CourseExportError:
            return
        manifest = static_assets.manifest()
        assert manifest["file_count"] == len(manifest["files"])
        assert not any(".." in file["path"].split("/") or file["path"].startswith("/") for file in manifest["files"])
        json.dumps(manifest).encode()
    assert all(str(problem).isprintable() for problem in course.problems)
    assert len({block.key for block in course.blocks}) == len(course.blocks)
    rows = {}
    for output in course_outputs(course, source_system="prod").values():
        lines = b"".join(output.chunks(NOW))
        rows[output.name] = [json.loads(line) for line in lines.split(b"\n")[:-1]]
        assert lines == b"".join(output.chunks(NOW))
        assert {row["course_id"] for row in rows[output.name]} <= {course.course_id}
    assert len(rows["course_metadata"]) == 1
    assert len(rows["course_xml_blocks"]) == len(course.blocks)
    assert len(rows["course_video"]) == len(course.videos)


def _blocks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _reader(data: bytes) -> VerifiedReader:
    def fetch(position: int) -> Iterator[bytes]:
        yield from _blocks(data[position:], 512)

    info = SourceInfo("file:///a.zip", len(data), "1", datetime(2024, 5, 6, tzinfo=UTC), None)
    return VerifiedReader(info, fetch)


PROPERTIES: Final[dict[str, Callable[[bytes], None]]] = {
    "forum": forum,
    "logs": log,
    "names": name,
    "olx": olx,
    "tables": table,
    "zip": zip_archive,
}
