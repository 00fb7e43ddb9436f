"""The dialect *plain*: a line is a record, a TAB ends a field, nothing else has a meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.tables.dialects.reader import DialectReader, Draft, Reject, double_quotes, write_lines
from edxorg.lib.tables.table_records import read_plain

if TYPE_CHECKING:
    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.table_records import Record


class PlainReader(DialectReader):
    """Reads each line as a record."""

    def read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""
        return read_plain(chunk.lines, start, chunk.tabs, crlf=chunk.crlf)

    def long_record(self, lines: Chunk | LongLine) -> int:  # noqa: ARG002 - a record is a line here
        """Return 0: no record has several lines."""
        return 0

    def _draft(self, chunk: Chunk) -> Draft:
        rows = chunk.lines.copy()
        sorting = chunk.by_quoting
        others, rejects = sorting.needs_slow_path(), dict[int, Reject]()
        if chunk.is_simple:
            others, rejects = write_lines(chunk, rows, others)
        others += self._to_decode(chunk, rows)
        double_quotes(rows, sorting.quotes_inside + sorting.quoted + sorting.quoted_needlessly)
        return Draft(range(len(rows)), chunk.lines, rows, sorted(others), rejects)
