"""Reads chunks as rows, in the dialect that was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tables import grammar
from edxorg.lib.tables.chunks import BIG
from edxorg.lib.tables.grammar import OPEN
from edxorg.lib.tables.model import Dialect, RejectReason
from edxorg.lib.tables.output import is_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edxorg.lib.tables.chunks import Chunk
    from edxorg.lib.tables.detection import DetectedDialect
    from edxorg.lib.tables.grammar import Record


class Reject(NamedTuple):
    """The reason why a record does not become a row, and the number of its TABs that end a field."""

    reason: RejectReason
    tabs: int


@dataclass(slots=True)
class Batch:
    """The records of a chunk.

    Attributes:
        starts: The first line of each, counted from the chunk's first.
        records: Their original bytes without line ends.
        versions: Their rows: fields as they are written, with TABs between; as in the dump, and, if asked for, with
            escapes undone. Rejected and big records have empty rows.
        rejects: Records that do not become rows, by their place in the lists.
        big: The dialects of records of `BIG` bytes or more, by their place; `RowReader.values` makes their rows, one
            at a time.
    """

    starts: list[int]
    records: list[bytes]
    versions: list[list[bytes]]
    rejects: dict[int, Reject] = field(default_factory=dict)
    big: dict[int, Dialect] = field(default_factory=dict)


class RowReader:
    """Reads chunks as rows."""

    def __init__(self, detected: DetectedDialect, *, decode: bool) -> None:
        """Read in this dialect; `decode` asks for a second version of each row, whose backslash pairs are undone."""
        self._dialect = detected.dialect
        self._base = detected.base
        self._versions = range(2 if decode else 1)

    def read(self, chunk: Chunk) -> Batch:
        """Read a chunk."""
        escaped = chunk.escaped if self._dialect is Dialect.ESCAPED and len(self._versions) == 1 else None
        records = escaped.raw if escaped else chunk.lines
        starts = escaped.starts if escaped else range(len(records))
        rows = escaped.rows if escaped else records.copy()
        batch = Batch([], [], [[] for _ in self._versions])
        others: Iterable[int]
        if escaped:
            others, rejects = escaped.others, _misfits(escaped.unfit, chunk.tabs)
        else:
            others, rejects = self._write_simple_rows(chunk, rows)
        done = 0
        for place in others:
            if place < done:
                continue
            self._take(batch, starts[done:place], records[done:place], rows[done:place])
            record = self._read_record(chunk, starts[place])
            done = place + (1 if escaped else record.lines)
            if record.reason:
                batch.rejects[len(batch.starts)] = Reject(record.reason, record.tabs)
            elif len(record.raw) >= BIG:
                batch.big[len(batch.starts)] = record.dialect
            batch.starts.append(starts[place])
            batch.records.append(record.raw)
            for version, row in zip(batch.versions, self._write(record), strict=True):
                version.append(row)
        self._take(batch, starts[done : len(records)], records[done:], rows[done:])
        has_only_lines = len(batch.records) == len(records)
        batch.rejects.update(rejects if has_only_lines else _by_record(rejects, batch.starts))
        if not is_utf8(chunk.data):
            batch.rejects.update(_not_utf8(batch, chunk.tabs))
        return batch

    def values(self, record: bytes, dialect: Dialect, version: int) -> list[bytes]:
        """Return the values of a record that became a row."""
        values = grammar.values(record, dialect)
        if version and dialect is not Dialect.QUOTED:
            return [grammar.decode(value) for value in values]
        return values

    def _write_simple_rows(self, chunk: Chunk, rows: list[bytes]) -> tuple[Iterable[int], dict[int, Reject]]:
        """Put rows in the places of lines that are easily read.

        A line that is in no list of `chunk.by_quoting`, or in that of JSON, is the row as it stands, in all dialects.

        Returns:
            The places of the other lines, in order, and the reasons why further lines become no rows.
        """
        sorting = chunk.by_quoting
        others, rejects = self._write_strange_rows(chunk, rows)
        if len(self._versions) > 1 and self._dialect is not Dialect.QUOTED and b"\\" in chunk.data:
            others += [i for i, line in enumerate(rows) if b"\\" in line]
        if self._base is Dialect.ESCAPED:
            if chunk.pairs.others:
                return [i for i in range(len(rows)) if i not in rejects], rejects
            if chunk.pairs.separators:
                others += [i for i, line in enumerate(rows) if b"\\\t" in line or line.endswith(b"\\")]
        if self._dialect is Dialect.QUOTED:
            for index, first in sorting.quoted_needlessly:
                start, content, end = _around(rows[index], first)
                rows[index] = start + content[1:-1] + end
            return sorted(others), rejects
        quoted = [] if self._dialect is Dialect.MIXED else sorting.quoted + sorting.quoted_needlessly
        for index, first in sorting.quotes_inside + quoted:
            start, content, end = _around(rows[index], first)
            rows[index] = b'"'.join((start, content.replace(b'"', b'""'), end))
        return sorted(others), rejects

    def _write_strange_rows(self, chunk: Chunk, rows: list[bytes]) -> tuple[list[int], dict[int, Reject]]:
        """Do the same for lines that need the slow path, and for lines that are no rows because of their quotes.

        The places are in no order. All lines of a table may be like that, and reading them one by one takes ten times
        as long.
        """
        is_mixed = self._dialect is Dialect.MIXED
        sorting = chunk.by_quoting
        plain = sorting.needs_slow_path()
        in_quotes = [index for index, _ in sorting.quoted + sorting.quoted_needlessly] if is_mixed else []
        unsettled = chunk.pairs.separators or (is_mixed and chunk.pairs.others)
        if not chunk.is_simple or (self._base is Dialect.ESCAPED and unsettled):
            return plain + in_quotes, {}
        others: list[int] = []
        rejects: dict[int, Reject] = {}
        if self._dialect is Dialect.QUOTED:
            others, rejects = _write_regular_rows(chunk, rows)
            plain = sorting.irregular
        elif is_mixed:
            others, rejects = _ambiguous(chunk, plain, in_quotes)
            plain = list(set(plain).difference(rejects, others))
        lines, tabs = chunk.lines, chunk.tabs
        unfit = {index: found for index in plain if (found := lines[index].count(b"\t")) != tabs}
        rejects |= _misfits(unfit, tabs)
        for index in plain:
            if index in unfit:
                continue
            if grammar.may_hold_json(lines[index]):
                others.append(index)
            else:
                rows[index] = grammar.row(lines[index].split(b"\t"))
        return others, rejects

    def _take(self, batch: Batch, starts: Sequence[int], records: list[bytes], rows: list[bytes]) -> None:
        """Add records whose rows are known; if escapes are undone, records without any."""
        batch.starts += starts
        batch.records += records
        batch.versions[0] += rows
        if len(self._versions) > 1:
            batch.versions[1] += rows if self._dialect is Dialect.QUOTED else map(_with_nulls_empty, rows)

    def _read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""
        lines, tabs, crlf = chunk.lines, chunk.tabs, chunk.crlf
        if self._dialect is Dialect.QUOTED:
            return grammar.read_quoted(lines, start, chunk.span(start) or 0, tabs, crlf=crlf)
        if self._base is Dialect.ESCAPED:
            record = grammar.read_escaped(lines, start, tabs, crlf=crlf)
            if record.reason is RejectReason.ESCAPES and _reads_alike(record.raw):
                record = record._replace(reason=None)
        else:
            record = grammar.read_plain(lines, start, tabs, crlf=crlf)
        span = chunk.span(start) if self._dialect is Dialect.MIXED else None
        if span is None:
            return record
        quoted = grammar.read_quoted(lines, start, span, tabs, crlf=crlf)
        if quoted.reason or (record.reason is None and _say_the_same(record, quoted)):
            return record
        if record.reason:
            return quoted
        return max(record, quoted, key=lambda each: each.lines)._replace(reason=RejectReason.AMBIGUOUS)

    def _write(self, record: Record) -> list[bytes]:
        """Write a record as a row, in each version."""
        if record.reason or len(record.raw) >= BIG:
            return [b""] * len(self._versions)
        return [grammar.row(self.values(record.raw, record.dialect, version)) for version in self._versions]


def _write_regular_rows(chunk: Chunk, rows: list[bytes]) -> tuple[list[int], dict[int, Reject]]:
    """Put rows of *quoted* in the places of regular lines; return the other records, and lines with wrong quotes."""
    sorting, spans = chunk.by_quoting, chunk.spans
    for index in chunk.regular:
        rows[index] = grammar.regular_row(rows[index])
    others = [index for index, span in spans.items() if span > 0 and index not in chunk.regular]
    wrong = [
        *sorting.unreadable_quotes,
        *(index for index, _ in sorting.quotes_inside),
        *(index for index in sorting.other_quotes if spans.get(index, OPEN) <= 0),
    ]
    return others, _rejects({index: chunk.lines[index].count(b"\t") for index in wrong}, lambda _: RejectReason.QUOTES)


def _ambiguous(chunk: Chunk, plain: list[int], in_quotes: list[int]) -> tuple[list[int], dict[int, Reject]]:
    """Return the places of lines that *mixed* has to read one by one, and the lines that two dialects read differently.

    Args:
        chunk: The lines.
        plain: The places of lines that need the slow path.
        in_quotes: The places of lines with one quoted field.
    """
    covered = chunk.covered
    ambiguous = {index for index in chunk.regular if not grammar.may_hold_json(chunk.lines[index])}
    ambiguous = ambiguous.union(in_quotes) - covered
    others = [index for index, span in chunk.spans.items() if span > 0 and index not in ambiguous]
    others += covered.intersection(plain + in_quotes)
    return others, dict.fromkeys(ambiguous, Reject(RejectReason.AMBIGUOUS, chunk.tabs))


def _by_record(rejects: dict[int, Reject], starts: Sequence[int]) -> dict[int, Reject]:
    """Return the rejects by the place of the record instead of its first line."""
    return {place: rejects[start] for place, start in enumerate(starts) if start in rejects}


def _not_utf8(batch: Batch, tabs: int) -> dict[int, Reject]:
    reject = Reject(RejectReason.INVALID_UTF8, tabs)
    return {place: reject for place, raw in enumerate(batch.records) if place not in batch.rejects and not is_utf8(raw)}


def _misfits(found: dict[int, int], tabs: int) -> dict[int, Reject]:
    """Return the reasons why records do not fit, by their places, from the number of TABs that end a field in each."""
    few, many = RejectReason.TOO_FEW_FIELDS, RejectReason.TOO_MANY_FIELDS
    return _rejects(found, lambda count: few if count < tabs else many)


def _rejects(found: dict[int, int], reason: Callable[[int], RejectReason]) -> dict[int, Reject]:
    """Return rejects by their places; `reason` takes a number of TABs. Millions of rejects are a few objects."""
    rejects = {count: Reject(reason(count), count) for count in set(found.values())}
    return {place: rejects[count] for place, count in found.items()}


def _with_nulls_empty(row: bytes) -> bytes:
    """Return a row whose fields have no TABs, with `NULL` decoded."""
    if b"NULL" not in row:
        return row
    return b"\t".join([b"" if field == b"NULL" else field for field in row.split(b"\t")])


def _reads_alike(line: bytes) -> bool:
    """Return True if a line with the right number of TABs is the same record in all dialects."""
    return b'"' not in line and b"\\\t" not in line and not line.endswith(b"\\") and b"\n" not in line


def _say_the_same(one: Record, other: Record) -> bool:
    return one.lines == other.lines and grammar.values(one.raw, one.dialect) == grammar.values(other.raw, other.dialect)


def _around(line: bytes, first: int) -> tuple[bytes, bytes, bytes]:
    """Split a line at the field that holds all its quotes, the first of them at `first`."""
    start = line.rfind(b"\t", 0, first) + 1
    end = line.find(b"\t", first)
    return (line[:start], line[start:end], line[end:]) if end >= 0 else (line[:start], line[start:], b"")
