"""Takes chunks in order, has them read, and sends each record to the rows or to the rejects."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from shutil import copyfileobj
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tables.dialects import reader_of
from edxorg.lib.tables.dialects.reader import Reject
from edxorg.lib.tables.table_model import RECORD_LIMIT, Dialect, RejectReason
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.detection import DetectedDialect
    from edxorg.lib.tables.dialects.reader import Batch
    from edxorg.lib.tables.header import Layout
    from edxorg.lib.tables.table_output import RejectLog, RowWriter


class _Row(NamedTuple):
    """A record that fits. A big one has a dialect instead of texts."""

    line: int
    record: bytes
    texts: tuple[bytes, ...]
    dialect: Dialect | None


@dataclass(slots=True)
class _ShortLines:
    """Lines with too few fields, one after the other.

    If all of them together have the TABs of one record, they are that record, cut at raw LFs. If not, the line before
    or after them may be a part of their record.
    """

    before: _Row | None
    tabs: int = 0


@dataclass(slots=True)
class _Oversized:
    """A record that goes to disk.

    Attributes:
        number: Its number in chunks; 0 if it is one line, and over.
        line: Number of its first line.
        content: Its bytes so far.
        line_end: The end of the last line, which belongs to the record only if another one follows.
    """

    number: int
    line: int
    content: Spool
    line_end: bytes = b""


class RecordRouter:
    """Routes the records of a table in one pass; the last good row is kept until the next line is known."""

    def __init__(
        self, layout: Layout, detected: DetectedDialect, writers: Sequence[RowWriter], rejects: RejectLog
    ) -> None:
        """Route rows to `writers`; a second writer gets the rows with their escapes undone."""
        self._layout = layout
        self._line_end = b"\r\n" if layout.crlf else b"\n"
        self._writers = writers
        self._rejects = rejects
        self.choose(detected)
        self.records = 0
        self._line = 2
        self._last: _Row | None = None
        self._short: _ShortLines | None = None
        self._oversized: _Oversized | None = None

    def choose(self, detected: DetectedDialect) -> None:
        """Read all further chunks in this dialect."""
        self._reader = reader_of(detected, decode=len(self._writers) > 1)

    def take(self, chunk: Chunk) -> None:
        """Route a chunk's records."""
        if number := self._reader.long_record(chunk):
            self._lengthen(number, chunk)
        else:
            self._end_oversized()
            batch = self._reader.read(chunk)
            if len(chunk.data) > RECORD_LIMIT:
                for index, record in enumerate(batch.records):
                    if len(record) > RECORD_LIMIT:
                        batch.rejects[index] = Reject(RejectReason.OVERSIZED, self._layout.tabs)
            self.records += len(batch.records)
            self._sort(batch)
        self._line += chunk.line_count

    def take_long_line(self, line: LongLine) -> None:
        """Set aside a line that is not in memory, and the record that it is a part of."""
        number = self._reader.long_record(line)
        if self._oversized is not None and self._oversized.number == number:
            self._oversized.content.write(self._oversized.line_end)
            copyfileobj(line.content.reader(), self._oversized.content)
            line.content.close()
            self._oversized.line_end = self._line_end
        else:
            self._end_oversized()
            self._oversized = _Oversized(number, self._line, line.content, self._line_end)
        self._line += 1
        if not number:
            self._end_oversized()

    def finish(self) -> None:
        """Route the records that were kept: there are no more chunks."""
        self._end_oversized()
        self._end_short_lines()
        self._flush()

    def close(self) -> None:
        """Close the spool of an unfinished record."""
        if self._oversized is not None:
            self._oversized.content.close()

    def _lengthen(self, number: int, chunk: Chunk) -> None:
        """Write lines that are all part of one oversized record."""
        if self._oversized is None or self._oversized.number != number:
            self._end_oversized()
            self._oversized = _Oversized(number, self._line, Spool())
        data = chunk.data
        if self._layout.crlf and not chunk.crlf:
            data = data.replace(b"\n", b"\r\n")
        line_end = self._line_end if data.endswith(self._line_end) else b"\n"
        self._oversized.content.write(self._oversized.line_end + data.removesuffix(line_end))
        self._oversized.line_end = line_end

    def _end_oversized(self) -> None:
        if self._oversized is not None:
            self._end_short_lines()
            self._flush()
            self.records += 1
            self._rejects.add_oversized(self._oversized.line, self._oversized.content)
            self._oversized = None

    def _sort(self, batch: Batch) -> None:
        """Separate good records from bad ones and their neighbors."""
        done = 0
        for start, end in _runs(sorted(batch.rejects)):
            self._pass(batch, done, start)
            self._set_aside(batch, start, end)
            done = end
        self._pass(batch, done, len(batch.records))

    def _pass(self, batch: Batch, start: int, end: int) -> None:
        """Write good records, all but the last."""
        if start < end and self._end_short_lines():
            self._rejects.add(RejectReason.NEIGHBOUR, [(self._line + batch.starts[start], batch.records[start])])
            start += 1
        if start == end:
            return
        if batch.big or (self._last and self._last.dialect):
            before = [self._last] if self._last else []
            self._write(before + [self._row(batch, place) for place in range(start, end - 1)])
        else:
            records = batch.records[start : end - 1]
            for version, (writer, rows) in enumerate(zip(self._writers, batch.versions, strict=True)):
                if self._last is None:
                    writer.write(records, rows[start : end - 1])
                else:
                    writer.write([self._last.record, *records], [self._last.texts[version], *rows[start : end - 1]])
        self._last = self._row(batch, end - 1)

    def _row(self, batch: Batch, place: int) -> _Row:
        texts = tuple(rows[place] for rows in batch.versions)
        return _Row(self._line + batch.starts[place], batch.records[place], texts, batch.big.get(place))

    def _set_aside(self, batch: Batch, start: int, end: int) -> None:
        """Write bad records."""
        for reject, group in groupby(range(start, end), key=batch.rejects.__getitem__):
            places = list(group)
            if reject.tabs < self._layout.tabs:
                if self._short is None:
                    self._short = _ShortLines(self._last)
                    self._last = None
                self._short.tabs += reject.tabs * len(places)
            else:
                self._end_short_lines()
                self._flush()
            records = [(self._line + batch.starts[place], batch.records[place]) for place in places]
            if reject.reason is RejectReason.OVERSIZED:
                for line, record in records:
                    self._rejects.add_oversized(line, _spooled(record))
            else:
                self._rejects.add(reject.reason, records)

    def _end_short_lines(self) -> bool:
        """Decide about the row before a run of short lines; return True if the row after it must be rejected too."""
        if self._short is None:
            return False
        before, tabs = self._short.before, self._short.tabs
        self._short = None
        torn = tabs != self._layout.tabs
        if before is not None:
            if torn:
                self._rejects.add(RejectReason.NEIGHBOUR, [(before.line, before.record)])
            else:
                self._write([before])
        return torn

    def _flush(self) -> None:
        if self._last is not None:
            self._write([self._last])
            self._last = None

    def _write(self, rows: list[_Row]) -> None:
        for version, writer in enumerate(self._writers):
            for dialect, group in groupby(rows, key=lambda row: row.dialect):
                together = list(group)
                if dialect is None:
                    writer.write([row.record for row in together], [row.texts[version] for row in together])
                    continue
                for row in together:
                    writer.write_big(row.record, self._reader.values(row.record, dialect, version))


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the starts and ends of runs of successive numbers; the first one may be empty."""
    start = end = 0
    for place in places:
        if place != end:
            yield start, end
            start = place
        end = place + 1
    yield start, end


def _spooled(record: bytes) -> Spool:
    spool = Spool()
    spool.write(record)
    return spool
