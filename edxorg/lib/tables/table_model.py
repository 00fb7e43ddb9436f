"""The options of a conversion, and its results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ol_orchestrate.lib.spool import Spool

RECORD_LIMIT: Final = 16 << 20
"""Bytes. A longer record is set aside as an object of its own, without ever being in memory."""

SHORTEST_RECORDS: Final = 12
"""Bytes of a table's records on average, line end included, below which it is no table once it has many: rows of three
numbers take 15 bytes each. Shorter ones cost ten times as much for each byte as a table's rows, and become 15 times as
much output."""

LARGE_ROW: Final = 2_000_000
"""Bytes. DuckDB refuses longer lines unless it is told a larger `max_line_size`, so they are counted."""


class Dialect(StrEnum):
    """The rules by which the bytes of a file are read as records and fields."""

    PLAIN = "plain"
    """A line is a record, a TAB ends a field, nothing else has a meaning."""
    ESCAPED = "escaped"
    """A backslash makes the LF or TAB after it part of the value."""
    QUOTED = "quoted"
    """RFC 4180, strictly: a field that starts with a double quote ends at its closing one."""
    MIXED = "mixed"
    """Plain or escaped, with some records as in quoted."""


class Escapes(StrEnum):
    """The treatment of backslash pairs in the values."""

    KEEP = "keep"
    DECODE = "decode"


class RowHash(StrEnum):
    """The bytes that `row_hash` is the SHA-256 of."""

    RECORD = "record"
    """The record's original bytes without its line end."""
    CONCATENATED = "concatenated"
    """The bytes without their TABs, as in an earlier pipeline: `1, 23` and `12, 3` hash alike."""


class RejectReason(StrEnum):
    """The reason why a record was set aside."""

    TOO_FEW_FIELDS = "too_few_fields"
    TOO_MANY_FIELDS = "too_many_fields"
    QUOTES = "quotes"
    """The quotes are not those of RFC 4180, in a file that is read so."""
    ESCAPES = "escapes"
    """A backslash before something that no exporter escapes, in a file that is read as escaped; or at its end."""
    LINE_END = "line_end"
    """The record ends in LF, in a file whose lines end in CR LF."""
    AMBIGUOUS = "ambiguous"
    """Two dialects read it differently, in a file that is read as mixed."""
    NEIGHBOUR = "neighbour"
    """A good record beside lines with too few fields, which may be a part of it."""
    INVALID_UTF8 = "invalid_utf8"
    OVERSIZED = "oversized"
    """The record is longer than `RECORD_LIMIT`."""


@dataclass(frozen=True, slots=True)
class CourseColumns:
    """The values of the columns that tell the origin of a row: those of `COLUMNS_ADDED` that begin with `extracted_`.

    Attributes:
        key: The course id in its file-name form.
        source_platform: `edxorg_prod` or `edxorg_edge`.
    """

    key: str
    organization: str
    number: str
    run: str
    source_platform: str


COLUMNS_ADDED: Final = (
    "extracted_course_key",
    "extracted_course_organization",
    "extracted_course_number",
    "extracted_course_run",
    "extracted_source_platform",
    "row_hash",
)
"""The columns that follow those of the table, in this order."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The options of a table's conversion.

    Attributes:
        escapes: Tells if backslash pairs are undone, and `NULL` becomes an empty field.
        row_hash: Tells which bytes are hashed.
        dialect: Forces a dialect; None detects it.
        known_columns: Columns that this table has had, in lower case. If there are any, the header must have one of
            them; it may have any number of others, since edX adds and removes columns.
    """

    escapes: Escapes = Escapes.KEEP
    row_hash: RowHash = RowHash.RECORD
    dialect: Dialect | None = None
    known_columns: frozenset[str] = frozenset()


@dataclass(slots=True)
class TableReport:
    """The counts of one table.

    `records_in` is always `rows_out` plus the sum of `rejected`.

    Attributes:
        columns: The table's own columns, without those that are added.
        dialect: The dialect of the records; None if there was no readable header.
        rfc4180_records: Records with a quoted field that needs its quotes: a doubled quote, TAB, CR or LF is inside.
        rfc4180_violations: Lines with a quote that RFC 4180 cannot read.
        records_in: Records, the header not counted.
        rows_out: Rows written.
        rejected: Records set aside, by reason.
        large_rows: Rows written that are longer than `LARGE_ROW`.
    """

    columns: tuple[str, ...] = ()
    dialect: Dialect | None = None
    rfc4180_records: int = 0
    rfc4180_violations: int = 0
    records_in: int = 0
    rows_out: int = 0
    rejected: Counter[RejectReason] = field(default_factory=Counter)
    large_rows: int = 0

    @property
    def ambiguous(self) -> int:
        """The number of records that two dialects read differently."""
        return self.rejected[RejectReason.AMBIGUOUS]


@dataclass(slots=True)
class ConvertedTable:
    """A table's files before they land. Its owner closes it.

    Attributes:
        rows: The object's bytes, header included; None if there is no row, or a problem.
        rejects: One JSON object a line for each record set aside; None if there is none. Delivered in any case.
        oversized: Records over `RECORD_LIMIT`, each to be named `{sha256}.record` beside the rejects.
        report: Counts. For a table with a problem they tell how far it was read, and `rows_out` did not land.
        problem: The reason why this table fails; None if it does not.
    """

    rows: Spool | None
    rejects: Spool | None
    oversized: list[Spool]
    report: TableReport
    problem: str | None = None

    def close(self) -> None:
        """Give memory and disk space back."""
        for spool in (self.rows, self.rejects, *self.oversized):
            if spool is not None:
                spool.close()
