"""Reads pieces as rows, in the reading that was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tables import grammar
from edxorg.lib.tables.model import Reading, Reason
from edxorg.lib.tables.output import is_utf8
from edxorg.lib.tables.pieces import BIG

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from edxorg.lib.tables.grammar import Record
    from edxorg.lib.tables.pieces import Piece
    from edxorg.lib.tables.tally import Choice


class Reject(NamedTuple):
    """Why a record does not become a row, and how many of its TABs end a field."""

    reason: Reason
    tabs: int


@dataclass(slots=True)
class Batch:
    """The records of a piece.

    Attributes:
        starts: The first line of each, counted from the piece's first.
        records: Their original bytes without line ends.
        versions: Their rows: fields as they are written, with TABs between; as the dump has them, and, where that is
            asked for, with escapes undone. Nothing, where a record is rejected or big.
        rejects: Records that do not become rows, by their place in the lists.
        big: Records of `BIG` bytes or more, by their place, and how they were read; `RowReader.values` makes their
            rows, one at a time.
    """

    starts: Sequence[int]
    records: list[bytes]
    versions: list[list[bytes]]
    rejects: dict[int, Reject] = field(default_factory=dict)
    big: dict[int, Reading] = field(default_factory=dict)


class RowReader:
    """Makes rows of pieces."""

    def __init__(self, choice: Choice, *, decode: bool) -> None:
        """`decode` asks for a second version of each row, with backslash pairs undone where it was not quoted."""
        self._reading = choice.reading
        self._base = choice.base
        self._versions = range(2 if decode else 1)

    def read(self, piece: Piece) -> Batch:
        """Read a piece."""
        batch = self._read_lines(piece) if self._lines_are_records(piece) else self._read_records(piece)
        if not is_utf8(piece.data):
            for index, record in enumerate(batch.records):
                if index not in batch.rejects and not is_utf8(record):
                    batch.rejects[index] = Reject(Reason.INVALID_UTF8, piece.tabs)
        return batch

    def values(self, record: bytes, reading: Reading, version: int) -> list[bytes]:
        """The values of a record that became a row."""
        values = grammar.values(record, reading)
        if version and reading is not Reading.QUOTED:
            return [grammar.decode(value) for value in values]
        return values

    def _lines_are_records(self, piece: Piece) -> bool:
        if not piece.is_simple or (self._base is Reading.ESCAPED and piece.rare_pairs[0]):
            return False
        by_line = self._reading is not Reading.QUOTED and self._reading is not Reading.MIXED
        return by_line or all(span <= 1 for span in piece.spans.values())

    def _read_lines(self, piece: Piece) -> Batch:
        """Read a piece in which each line is a record."""
        batch = Batch(range(len(piece.lines)), piece.lines, [piece.lines.copy() for _ in self._versions])
        for index in self._write_simple_rows(piece, batch.versions[0]):
            record = self._read_record(piece, index)
            for version, row in zip(batch.versions, self._write(record), strict=True):
                version[index] = row
            if record.reason:
                batch.rejects[index] = Reject(record.reason, record.tabs)
        return batch

    def _write_simple_rows(self, piece: Piece, rows: list[bytes]) -> Iterable[int]:
        """Put rows in the places of lines that are easily read; returns the places of the others.

        A line that is in no list of `piece.sorted`, or in that of JSON, is the row as it stands, in all readings.
        """
        bare, _, wrapped, needless, other, irregular = piece.sorted
        others = other + irregular
        if len(self._versions) > 1 or (self._base is Reading.ESCAPED and piece.rare_pairs[1]):
            return range(len(rows))
        if self._reading is Reading.QUOTED:
            for index, first in needless:
                start, content, end = _around(rows[index], first)
                rows[index] = start + content[1:-1] + end
            return others + [index for index, _ in bare]
        if self._reading is Reading.MIXED:
            others += [index for index, _ in wrapped + needless]
        else:
            bare = bare + wrapped + needless
        for index, first in bare:
            start, content, end = _around(rows[index], first)
            rows[index] = b'"'.join((start, content.replace(b'"', b'""'), end))
        return others

    def _read_records(self, piece: Piece) -> Batch:
        """Read a piece in which records may have more than one line."""
        starts: list[int] = []
        batch = Batch(starts, [], [[] for _ in self._versions])
        rows, slow = self._rows_of_lines(piece)
        start = 0
        while start < len(piece.lines):
            if start not in slow:
                starts.append(start)
                batch.records.append(piece.lines[start])
                batch.versions[0].append(rows[start])
                start += 1
                continue
            record = self._read_record(piece, start)
            if record.reason:
                batch.rejects[len(starts)] = Reject(record.reason, record.tabs)
            elif len(record.raw) >= BIG:
                batch.big[len(starts)] = record.reading
            starts.append(start)
            batch.records.append(record.raw)
            for version, row in zip(batch.versions, self._write(record), strict=True):
                version.append(row)
            start += record.lines
        return batch

    def _rows_of_lines(self, piece: Piece) -> tuple[list[bytes], Container[int]]:
        """Rows of those lines that are records by themselves, and the places of the others.

        In a table of escaped records, a few lines in a hundred go on on the next one; the others need not wait for
        them. Reading them all one by one takes three times as long.
        """
        rows = piece.lines.copy()
        if self._reading is not Reading.ESCAPED or not piece.is_simple:
            return rows, range(len(rows))
        slow = set(self._write_simple_rows(piece, rows))
        slow.update(i for i, line in enumerate(piece.lines) if line.endswith(b"\\") or b"\\\t" in line)
        return rows, slow

    def _read_record(self, piece: Piece, start: int) -> Record:
        """Read the record that starts at a line."""
        lines, tabs, crlf = piece.lines, piece.tabs, piece.crlf
        if self._reading is Reading.QUOTED:
            return grammar.read_quoted(lines, start, piece.span(start) or 0, tabs, crlf=crlf)
        if self._base is Reading.ESCAPED:
            record = grammar.read_escaped(lines, start, tabs, crlf=crlf)
            if record.reason is Reason.ESCAPES and _reads_alike(record.raw):
                record = record._replace(reason=None)
        else:
            record = grammar.read_plain(lines, start, tabs, crlf=crlf)
        span = piece.span(start) if self._reading is Reading.MIXED else None
        if span is None:
            return record
        quoted = grammar.read_quoted(lines, start, span, tabs, crlf=crlf)
        if quoted.reason or (record.reason is None and _say_the_same(record, quoted)):
            return record
        if record.reason:
            return quoted
        return max(record, quoted, key=lambda each: each.lines)._replace(reason=Reason.AMBIGUOUS)

    def _write(self, record: Record) -> list[bytes]:
        """A record as a row, in each version."""
        if record.reason or len(record.raw) >= BIG:
            return [b""] * len(self._versions)
        return [
            b"\t".join([grammar.written(value) for value in self.values(record.raw, record.reading, version)])
            for version in self._versions
        ]


def _reads_alike(line: bytes) -> bool:
    """Whether a line is the same record in all readings, given that it has the right number of TABs."""
    return b'"' not in line and b"\\\t" not in line and not line.endswith(b"\\") and b"\n" not in line


def _say_the_same(one: Record, other: Record) -> bool:
    return one.lines == other.lines and grammar.values(one.raw, one.reading) == grammar.values(other.raw, other.reading)


def _around(line: bytes, first: int) -> tuple[bytes, bytes, bytes]:
    """What is before, in and after the field that holds all quotes of a line, the first of them at `first`."""
    start = line.rfind(b"\t", 0, first) + 1
    end = line.find(b"\t", first)
    return (line[:start], line[start:end], line[end:]) if end >= 0 else (line[:start], line[start:], b"")
