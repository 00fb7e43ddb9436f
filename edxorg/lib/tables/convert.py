"""Converts one table, from its bytes to the files that land."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.chunks import Chunk, LongLine
from edxorg.lib.tables.cutting import LineReader
from edxorg.lib.tables.detection import DetectedDialect, Tally
from edxorg.lib.tables.header import HeaderError
from edxorg.lib.tables.routing import RecordRouter
from edxorg.lib.tables.table_model import (
    RECORD_LIMIT,
    SHORTEST_RECORDS,
    ConvertedTable,
    CourseColumns,
    Dialect,
    Escapes,
    TableOptions,
    TableReport,
)
from edxorg.lib.tables.table_output import MAX_OVERSIZED, RejectLog, RowWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edxorg.lib.tables.header import Layout

WINDOW: Final = 8 << 20
"""Bytes that are held and counted before a dialect is chosen."""

WINDOW_LINES: Final = 1 << 17
"""Lines after which it is chosen, too: they are as good evidence, and 8 MiB of line ends alone would take minutes."""

MAX_REJECTS: Final = ((8_000, 8_000), (9, 100_000), (1, 1_000_000))
"""Limits of rejected records: so many for each row, and so many whatever the rows; each takes some 60 bytes. Thus a
table ends early if none of its first 8,000 records is good. If every tenth is good it is read to its end, unless it is
very large, and if half of them are, whatever its size."""

MAX_SHORT_RECORDS: Final = 500_000
"""Records of less than `SHORTEST_RECORDS` bytes on average, after which reading ends."""

_SHORT_LINE: Final = 64
"""Bytes. A list of shorter lines takes more memory than the lines."""

_DEFAULTS: Final = TableOptions()

_ANY: Final = DetectedDialect(Dialect.PLAIN, Dialect.PLAIN)
"""A dialect for lines that are the same in each dialect."""


def convert_table(
    blocks: Iterable[bytes], *, course: CourseColumns, options: TableOptions = _DEFAULTS
) -> ConvertedTable:
    """Convert one dump.

    The output is UTF-8 with LF line ends: a header line, then the table's rows in their order, with the columns of
    `COLUMNS_ADDED`. A field is in double quotes, with inner ones doubled, only if it holds a TAB, a double quote, a CR
    or a LF. Values stay as they are in the dump, byte for byte, but for the quotes around them; undoing escapes is an
    option. The same bytes come out wherever the blocks end.

    A dump without a byte, or with a header only, is empty, which is no problem. A problem fails the table: no readable
    header (see `read_header`); evidence for another dialect than the one chosen, found too late; no good record at
    all; too many oversized ones; more rejects than `MAX_REJECTS` allows, or records as short as `SHORTEST_RECORDS`
    says, at which reading ends. The rejects until then are to be delivered, and the counts of records add up to the
    records that were read; nothing else lands.

    Memory is bounded: at most `WINDOW` and a record of `RECORD_LIMIT` are held.

    Args:
        blocks: The dump's bytes, in blocks of any size.
        course: The course that the rows come from.
        options: The rules of this conversion.

    Raises:
        OSError: The temporary folder is full.
    """
    reader = LineReader(blocks, options.known_columns)
    try:
        layout = reader.read_header()
    except HeaderError as error:
        problem = f"The table has no readable header: {error}. Nothing of it was read; ask edX for the file again"
        return ConvertedTable(None, None, [], TableReport(), problem)
    if layout is None:
        return ConvertedTable(None, None, [], TableReport())
    conversion = _Conversion(layout, course, options)
    try:
        for chunk in reader.chunks(layout):
            conversion.take(chunk)
            del chunk  # it may be large, and so may the next one
            if conversion.is_hopeless:
                break
        return conversion.end()
    except BaseException:
        conversion.close()
        raise


class _Conversion:
    """The conversion of one table that has a header."""

    def __init__(self, layout: Layout, course: CourseColumns, options: TableOptions) -> None:
        self._layout = layout
        self._forced = options.dialect
        self._tally = Tally(layout)
        self._held: list[Chunk] = []
        self._held_lines = 0
        self._bytes = 0
        self._other_pair = False
        versions = 2 if options.escapes is Escapes.DECODE else 1
        self._writers = [RowWriter(layout.columns, course, options.row_hash) for _ in range(versions)]
        self._rejects = RejectLog()
        self._delivery = RecordRouter(layout, _ANY, self._writers, self._rejects)
        self._choice: DetectedDialect | None = None
        # A dialect that does not depend on counts needs no window.
        if layout.wrapped or self._forced not in {None, Dialect.MIXED}:
            self._choose()

    def take(self, chunk: Chunk | LongLine) -> None:
        """Convert the next lines."""
        self._bytes += chunk.content.size if isinstance(chunk, LongLine) else len(chunk.data)
        if isinstance(chunk, LongLine):
            if self._held:
                self._choose()
            self._delivery.take_long_line(chunk)
            return
        if self._choice is None and not self._held:
            alike = chunk.alike_lines()
            self._deliver(chunk.head(alike))
            chunk = chunk.tail(alike)
        self._tally.count(chunk)
        if self._choice is not None:
            self._deliver(chunk)
        elif chunk.data:
            if len(chunk.data) < _SHORT_LINE * chunk.line_count:
                chunk.forget()
            self._held.append(chunk)
            self._held_lines += chunk.line_count
            if sum(len(held.data) for held in self._held) >= WINDOW or self._held_lines >= WINDOW_LINES:
                self._choose()

    @property
    def is_hopeless(self) -> bool:
        """Return True if this is no table, or was made to fill a disk."""
        return self._is_set_aside or self._is_too_short

    @property
    def _is_set_aside(self) -> bool:
        rejected, rows = self._rejects.counts.total(), self._writers[0].rows
        return any(rejected > most and rejected > share * rows for share, most in MAX_REJECTS)

    @property
    def _is_too_short(self) -> bool:
        return self._delivery.records > MAX_SHORT_RECORDS and self._bytes < SHORTEST_RECORDS * self._delivery.records

    def end(self) -> ConvertedTable:
        """Convert the last lines. The caller owns the spools from here on."""
        chosen = self._choice or self._choose()
        self._delivery.finish()
        kept = self._writers[0]
        decoded = len(self._writers) > 1 and chosen.dialect is not Dialect.QUOTED and not self._other_pair
        delivered = self._writers[-1] if decoded else kept
        report = TableReport(
            columns=self._layout.columns,
            dialect=chosen.dialect,
            rfc4180_records=self._tally.rfc4180_records,
            rfc4180_violations=self._tally.rfc4180_violations,
            records_in=self._delivery.records,
            rows_out=delivered.rows,
            rejected=self._rejects.counts,
            large_rows=delivered.large_rows,
        )
        problem = self._problem(chosen, report)
        rows = delivered.spool if problem is None else None
        for writer in self._writers:
            if writer.spool is not None and writer.spool is not rows:
                writer.spool.close()
        return ConvertedTable(rows, self._rejects.spool, self._rejects.oversized, report, problem)

    def close(self) -> None:
        """Give memory and disk space back after an error."""
        self._delivery.close()
        for spool in (self._rejects.spool, *self._rejects.oversized, *(writer.spool for writer in self._writers)):
            if spool is not None:
                spool.close()

    def _choose(self) -> DetectedDialect:
        """Choose a dialect from the counts, and convert the chunks that were held."""
        detected = self._tally.choose()
        if self._forced is not None:
            detected = DetectedDialect(
                self._forced, self._tally.base() if self._forced is Dialect.MIXED else self._forced
            )
        self._choice = detected
        self._delivery.choose(detected)
        held, self._held = self._held, []
        while held and not self.is_hopeless:
            self._deliver(held.pop(0))
        return detected

    def _deliver(self, chunk: Chunk) -> None:
        self._other_pair = self._other_pair or (len(self._writers) > 1 and chunk.pairs.others)
        self._delivery.take(chunk)

    def _problem(self, chosen: DetectedDialect, report: TableReport) -> str | None:
        """Return the reason why the table fails, if it does."""
        if self._is_too_short:
            return (
                f"Its first {report.records_in:,} records have less than {SHORTEST_RECORDS} bytes on average, as in no "
                "table of edX, so reading ended there. Look at the file, and ask edX for it again"
            )
        if self._is_set_aside:
            return (
                f"Read until {self._rejects.counts.total():,} of its first {report.records_in:,} records had been set "
                f"aside ({_reasons(report)}). "
                "Look at the rejects, and at the file: this may be no table"
            )
        now = self._tally.choose()
        if self._forced is None and now != chosen:
            seen = " and ".join(f"`{each}`" for each in dict.fromkeys((now.dialect, now.base)))
            return (
                f"Detected dialect `{chosen.dialect}` in the first {WINDOW >> 20} MiB, but the whole file is {seen} "
                f"({self._tally.rfc4180_records:,} records quoted per RFC 4180, "
                f"{self._tally.rfc4180_violations:,} lines that violate it). Check the file, or force a dialect with "
                "`dialect` in the job's config"
            )
        if self._rejects.lost:
            return (
                f"More than {MAX_OVERSIZED} of its records are over {RECORD_LIMIT >> 20} MiB, and "
                f"{self._rejects.lost:,} of them were not kept whole. Look at the file: its line ends may be lost"
            )
        if report.records_in and not report.rows_out:
            return (
                f"None of its {report.records_in:,} records could be read as {chosen.dialect} ({_reasons(report)}). "
                "Look at the rejects, or force another dialect with `dialect` in the job's config"
            )
        return None


def _reasons(report: TableReport) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in report.rejected.items())
