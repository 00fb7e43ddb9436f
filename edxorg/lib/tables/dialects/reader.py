"""The interface of a dialect, and its parts that all dialects share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tables.chunks import BIG
from edxorg.lib.tables.escapes import decode, escaped_fields
from edxorg.lib.tables.rfc4180 import quoted_fields, unwrap_quoted
from edxorg.lib.tables.table_model import Dialect, RejectReason
from edxorg.lib.tables.table_output import is_utf8
from edxorg.lib.tables.table_records import may_hold_json, row_text, unwrap_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.table_records import Record


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
        big: The dialects of records of `BIG` bytes or more, by their place; `DialectReader.values` makes their rows,
            one at a time.
    """

    starts: list[int]
    records: list[bytes]
    versions: list[list[bytes]]
    rejects: dict[int, Reject] = field(default_factory=dict)
    big: dict[int, Dialect] = field(default_factory=dict)


class Draft(NamedTuple):
    """The records of a chunk, most of them with their rows.

    Attributes:
        starts: The first line of each.
        records: Their bytes without line ends: lines, of which a record may have several, unless `are_whole`.
        rows: Their rows as in the dump.
        others: The places, in order, of records that have to be read one by one.
        rejects: Further records that become no rows, by their place.
        are_whole: True if the records are whole, and not lines.
    """

    starts: Sequence[int]
    records: list[bytes]
    rows: list[bytes]
    others: Iterable[int]
    rejects: dict[int, Reject]
    are_whole: bool = False


class DialectReader(ABC):
    """Reads chunks as rows, in one dialect."""

    def __init__(self, *, decode: bool) -> None:
        """Read in this dialect; `decode` asks for a second version of each row, whose backslash pairs are undone."""
        self._versions = range(2 if decode else 1)

    def read(self, chunk: Chunk) -> Batch:
        """Read a chunk."""
        starts, records, rows, others, rejects, are_whole = self._draft(chunk)
        batch = Batch([], [], [[] for _ in self._versions])
        done = 0
        for place in others:
            if place < done:
                continue
            self._take(batch, starts[done:place], records[done:place], rows[done:place])
            record = self.read_record(chunk, starts[place])
            done = place + (1 if are_whole else record.lines)
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

    @abstractmethod
    def read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""

    @abstractmethod
    def long_record(self, lines: Chunk | LongLine) -> int:
        """Return the number of the oversized record that these lines are a part of; 0 for none."""

    def values(self, record: bytes, dialect: Dialect, version: int) -> list[bytes]:
        """Return the values of a record that became a row, in the dialect that it was read in."""
        values = record_values(record, dialect)
        if version and dialect is not Dialect.QUOTED:
            return [decode(value) for value in values]
        return values

    @abstractmethod
    def _draft(self, chunk: Chunk) -> Draft:
        """Write the rows of records that are easily read.

        A line that is in no list of `chunk.by_quoting`, or in that of JSON, is the row as it stands, in all dialects.
        All lines of a table may be other ones, and reading them one by one takes ten times as long, so they are
        written here too where one look tells how.
        """

    def _decoded(self, rows: list[bytes]) -> Iterable[bytes]:
        """Return the second version of rows without a backslash."""
        return map(_with_nulls_empty, rows)

    def _to_decode(self, chunk: Chunk, rows: list[bytes]) -> list[int]:
        """Return the places of lines whose second version is another one."""
        if len(self._versions) == 1 or b"\\" not in chunk.data:
            return []
        return [place for place, line in enumerate(rows) if b"\\" in line]

    def _take(self, batch: Batch, starts: Sequence[int], records: list[bytes], rows: list[bytes]) -> None:
        """Add records whose rows are known; if escapes are undone, records without any."""
        batch.starts += starts
        batch.records += records
        batch.versions[0] += rows
        if len(self._versions) > 1:
            batch.versions[1] += self._decoded(rows)

    def _write(self, record: Record) -> list[bytes]:
        """Write a record as a row, in each version."""
        if record.reason or len(record.raw) >= BIG:
            return [b""] * len(self._versions)
        return [row_text(self.values(record.raw, record.dialect, version)) for version in self._versions]


def record_values(record: bytes, dialect: Dialect) -> list[bytes]:
    """Return the values of a record that fits a dialect."""
    if dialect is Dialect.QUOTED:
        return [unwrap_quoted(field) for field in quoted_fields(record)] if b'"' in record else record.split(b"\t")
    fields = escaped_fields(record) if dialect is Dialect.ESCAPED else record.split(b"\t")
    return [unwrap_json(field) for field in fields] if b'"' in record else fields


def write_lines(chunk: Chunk, rows: list[bytes], places: Iterable[int]) -> tuple[list[int], dict[int, Reject]]:
    """Put rows in the places of lines that are records without quotes of their own, and in no other list.

    Returns:
        The places of lines that have to be read one by one, and the lines with another number of fields.
    """
    lines, tabs = chunk.lines, chunk.tabs
    unfit = {place: found for place in places if (found := lines[place].count(b"\t")) != tabs}
    others: list[int] = []
    for place in places:
        if place in unfit:
            continue
        if may_hold_json(lines[place]):
            others.append(place)
        else:
            rows[place] = row_text(lines[place].split(b"\t"))
    return others, misfits(unfit, tabs)


def double_quotes(rows: list[bytes], places: Iterable[tuple[int, int]]) -> None:
    """Write the field that holds all quotes of a line as a field of the output, by places of lines and first quotes."""
    for place, first in places:
        start, content, end = around(rows[place], first)
        rows[place] = b'"'.join((start, content.replace(b'"', b'""'), end))


def around(line: bytes, first: int) -> tuple[bytes, bytes, bytes]:
    """Split a line at the field that holds all its quotes, the first of them at `first`."""
    start = line.rfind(b"\t", 0, first) + 1
    end = line.find(b"\t", first)
    return (line[:start], line[start:end], line[end:]) if end >= 0 else (line[:start], line[start:], b"")


def misfits(found: dict[int, int], tabs: int) -> dict[int, Reject]:
    """Return the reasons why records do not fit, by their places, from the number of TABs that end a field in each."""
    few, many = RejectReason.TOO_FEW_FIELDS, RejectReason.TOO_MANY_FIELDS
    return rejects_of(found, lambda count: few if count < tabs else many)


def rejects_of(found: dict[int, int], reason: Callable[[int], RejectReason]) -> dict[int, Reject]:
    """Return rejects by their places; `reason` takes a number of TABs. Millions of rejects are a few objects."""
    rejects = {count: Reject(reason(count), count) for count in set(found.values())}
    return {place: rejects[count] for place, count in found.items()}


def _by_record(rejects: dict[int, Reject], starts: Sequence[int]) -> dict[int, Reject]:
    """Return the rejects by the place of the record instead of its first line."""
    return {place: rejects[start] for place, start in enumerate(starts) if start in rejects}


def _not_utf8(batch: Batch, tabs: int) -> dict[int, Reject]:
    reject = Reject(RejectReason.INVALID_UTF8, tabs)
    return {place: reject for place, raw in enumerate(batch.records) if place not in batch.rejects and not is_utf8(raw)}


def _with_nulls_empty(row: bytes) -> bytes:
    """Return a row whose fields have no TABs, with `NULL` decoded."""
    if b"NULL" not in row:
        return row
    return b"\t".join([b"" if field == b"NULL" else field for field in row.split(b"\t")])
