"""Reads pieces as rows, in the reading that was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edxorg.lib.tables import grammar
from edxorg.lib.tables.grammar import Record, Shape
from edxorg.lib.tables.model import Reading, Reason
from edxorg.lib.tables.output import is_utf8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.tables.header import Layout
    from edxorg.lib.tables.pieces import Piece
    from edxorg.lib.tables.tally import Choice

_NO_ROW = b""


@dataclass(slots=True)
class Batch:
    """The records of a piece.

    Attributes:
        starts: The first line of each, counted from the piece's first.
        records: Their original bytes without line ends.
        rows: Their fields as they are written, with TABs between; of a record with a reason it means nothing.
        reasons: Why records do not become rows, by their place in the lists.
    """

    starts: Sequence[int]
    records: list[bytes]
    rows: list[bytes]
    reasons: dict[int, Reason]


class RowReader:
    """Makes rows of pieces."""

    def __init__(self, layout: Layout, choice: Choice, *, decode: bool) -> None:
        """`decode` asks to undo backslash pairs in what is read as plain or escaped."""
        self._tabs = layout.tabs
        self._plain = b"\t" * layout.tabs
        self._reading = choice.reading
        self._base = choice.base
        self._decode = decode

    def read(self, piece: Piece) -> Batch:
        """Read a piece."""
        if self._lines_are_records(piece):
            batch = self._read_lines(piece)
        else:
            batch = self._read_records(piece)
        if not is_utf8(piece.data):
            for index, record in enumerate(batch.records):
                if index not in batch.reasons and not is_utf8(record):
                    batch.reasons[index] = Reason.INVALID_UTF8
        return batch

    def _lines_are_records(self, piece: Piece) -> bool:
        if piece.crlf:
            return False
        if self._base is Reading.ESCAPED and b"\\\n" in piece.data:
            return False
        return self._base is self._reading is not Reading.QUOTED or not any(
            mark.count(b'"') & 1 for mark in piece.marks
        )

    def _read_lines(self, piece: Piece) -> Batch:
        """Read a piece in which each line is a record."""
        rows = piece.lines.copy()
        reasons: dict[int, Reason] = {}
        plain = self._plain
        escaped_tabs = self._base is Reading.ESCAPED and b"\\\t" in piece.data
        other_pairs = self._base is Reading.ESCAPED and grammar.has_other_pair(piece.data)
        for index, mark in enumerate(piece.marks):
            line = rows[index]
            if not (self._decode or (escaped_tabs and b"\\\t" in line)):
                if mark == plain:
                    continue
                if mark.count(b"\t") == self._tabs and b"\r" not in mark and not other_pairs:
                    row = self._row_of(line)
                    if row is not None:
                        rows[index] = row
                        continue
            record, rows[index] = self._read_record(piece, index)
            if record.reason:
                reasons[index] = record.reason
        return Batch(range(len(rows)), piece.lines, rows, reasons)

    def _row_of(self, line: bytes) -> bytes | None:
        """The row for a line with a quote, the right number of TABs, and no CR; None if it takes a closer look."""
        shape, start, end = grammar.shape_of(line)
        if shape is Shape.JSON:  # in each reading a value that is written as it stands here
            return line
        if shape is Shape.OTHER:
            return None
        if self._reading is Reading.QUOTED:
            if shape is Shape.WRAPPED:
                return line
            return line[:start] + line[start + 1 : end - 1] + line[end:] if shape is Shape.NEEDLESS else None
        if shape is not Shape.BARE and self._reading is Reading.MIXED:
            return None
        return line[:start] + b'"' + line[start:end].replace(b'"', b'""') + b'"' + line[end:]

    def _read_records(self, piece: Piece) -> Batch:
        """Read a piece in which records may have more than one line."""
        batch = Batch(starts := [], [], [], {})
        start = 0
        while start < len(piece.lines):
            record, row = self._read_record(piece, start)
            if record.reason:
                batch.reasons[len(starts)] = record.reason
            starts.append(start)
            batch.records.append(record.raw)
            batch.rows.append(row)
            start += record.lines
        return batch

    def _read_record(self, piece: Piece, start: int) -> tuple[Record, bytes]:
        """Read the record that starts at a line, and make a row of it."""
        where = piece.lines, start, self._tabs
        if self._reading is Reading.QUOTED:
            record = grammar.read_quoted(*where, crlf=piece.crlf)
            return record, _joined(_quoted_values(record))
        if self._base is Reading.ESCAPED:
            record = grammar.read_escaped(*where, crlf=piece.crlf)
            if record.reason is Reason.ESCAPES and _reads_alike(record.raw):
                record = record._replace(reason=None)
        else:
            record = grammar.read_plain(*where, crlf=piece.crlf)
        values = [grammar.unwrap_json(field) for field in record.fields]
        if self._reading is Reading.MIXED:
            quoted = grammar.read_quoted(*where, crlf=piece.crlf)
            if quoted.reason is None:
                quoted_values = _quoted_values(quoted)
                if record.reason:
                    return quoted, _joined(quoted_values)
                if (record.lines, values) != (quoted.lines, quoted_values):
                    both = max(record, quoted, key=lambda each: each.lines)
                    return both._replace(reason=Reason.AMBIGUOUS), _NO_ROW
        if self._decode:
            values = [grammar.decode(value) for value in values]
        return record, _joined(values)


def _reads_alike(line: bytes) -> bool:
    """Whether a line is the same record in all readings, given that it has the right number of TABs."""
    return b'"' not in line and b"\\\t" not in line and b"\n" not in line and not grammar.ends_escaped(line)


def _quoted_values(record: Record) -> list[bytes]:
    return [grammar.unwrap_quoted(field) for field in record.fields]


def _joined(values: list[bytes]) -> bytes:
    return b"\t".join([grammar.written(value) for value in values])
