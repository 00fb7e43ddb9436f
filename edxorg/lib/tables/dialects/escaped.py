"""The dialect *escaped*: a backslash makes the LF or TAB after it part of the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.tables.dialects.reader import DialectReader, Draft, Reject, double_quotes, misfits, write_lines
from edxorg.lib.tables.escapes import read_escaped
from edxorg.lib.tables.table_model import RejectReason

if TYPE_CHECKING:
    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.table_records import Record


class EscapedReader(DialectReader):
    """Reads a line as a record, together with those after it as long as their LFs are escaped."""

    def read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""
        record = read_escaped(chunk.lines, start, chunk.tabs, crlf=chunk.crlf)
        if record.reason is RejectReason.ESCAPES and _reads_alike(record.raw):
            return record._replace(reason=None)
        return record

    def long_record(self, lines: Chunk | LongLine) -> int:
        """Return the number of the oversized record with escaped LFs that these lines are a part of."""
        return lines.long_escaped

    def _draft(self, chunk: Chunk) -> Draft:
        found = chunk.escaped
        if found and len(self._versions) == 1:
            rejects = misfits(found.unfit, chunk.tabs)
            return Draft(found.starts, found.raw, found.rows, found.others, rejects, are_whole=True)
        rows = chunk.lines.copy()
        sorting = chunk.by_quoting
        others, rejects = sorting.needs_slow_path(), dict[int, Reject]()
        if chunk.is_simple and not chunk.pairs.separators:
            others, rejects = write_lines(chunk, rows, others)
        others = lines_with_escapes(chunk, rows, others + self._to_decode(chunk, rows), rejects)
        double_quotes(rows, sorting.quotes_inside + sorting.quoted + sorting.quoted_needlessly)
        return Draft(range(len(rows)), chunk.lines, rows, others, rejects)


def lines_with_escapes(chunk: Chunk, rows: list[bytes], others: list[int], rejects: dict[int, Reject]) -> list[int]:
    """Add lines whose backslashes matter to those that have to be read one by one."""
    if chunk.pairs.others:
        return [place for place in range(len(rows)) if place not in rejects]
    if chunk.pairs.separators:
        others += [place for place, line in enumerate(rows) if b"\\\t" in line or line.endswith(b"\\")]
    return sorted(others)


def _reads_alike(line: bytes) -> bool:
    """Return True if a line with the right number of TABs is the same record in all dialects."""
    return b'"' not in line and b"\\\t" not in line and not line.endswith(b"\\") and b"\n" not in line
