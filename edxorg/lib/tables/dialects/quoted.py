"""The dialect *quoted*: RFC 4180, strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.tables.dialects.reader import DialectReader, Draft, Reject, around, rejects_of, write_lines
from edxorg.lib.tables.rfc4180 import OPEN, read_quoted, regular_row
from edxorg.lib.tables.table_model import RejectReason

if TYPE_CHECKING:
    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.table_records import Record


class QuotedReader(DialectReader):
    """Reads records whose fields end at their closing quotes."""

    def read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""
        return read_quoted(chunk.lines, start, chunk.span(start) or 0, chunk.tabs, crlf=chunk.crlf)

    def long_record(self, lines: Chunk | LongLine) -> int:
        """Return the number of the oversized record of RFC 4180 that these lines are a part of."""
        return lines.long_quoted

    def _draft(self, chunk: Chunk) -> Draft:
        rows = chunk.lines.copy()
        sorting = chunk.by_quoting
        others, rejects = sorting.needs_slow_path(), dict[int, Reject]()
        if chunk.is_simple:
            others, rejects = _write_regular_rows(chunk, rows)
            _, unfit = write_lines(chunk, rows, sorting.irregular)  # which have no quotes, and so no JSON
            rejects |= unfit
        for place, first in sorting.quoted_needlessly:
            start, content, end = around(rows[place], first)
            rows[place] = start + content[1:-1] + end
        return Draft(range(len(rows)), chunk.lines, rows, sorted(others), rejects)

    def _decoded(self, rows: list[bytes]) -> list[bytes]:
        """Return the rows: a backslash is no escape here."""
        return rows


def _write_regular_rows(chunk: Chunk, rows: list[bytes]) -> tuple[list[int], dict[int, Reject]]:
    """Put rows in the places of regular lines; return the other records, and lines with wrong quotes."""
    sorting, spans = chunk.by_quoting, chunk.spans
    for place in chunk.regular:
        rows[place] = regular_row(rows[place])
    others = [place for place, span in spans.items() if span > 0 and place not in chunk.regular]
    wrong = [
        *sorting.unreadable_quotes,
        *(place for place, _ in sorting.quotes_inside),
        *(place for place in sorting.other_quotes if spans.get(place, OPEN) <= 0),
    ]
    tabs = {place: chunk.lines[place].count(b"\t") for place in wrong}
    return others, rejects_of(tabs, lambda _: RejectReason.QUOTES)
