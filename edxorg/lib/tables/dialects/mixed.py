"""The dialect *mixed*: plain or escaped, with some records as in *quoted*."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.tables.dialects.escaped import EscapedReader, lines_with_escapes
from edxorg.lib.tables.dialects.reader import DialectReader, Draft, Reject, double_quotes, record_values, write_lines
from edxorg.lib.tables.rfc4180 import read_quoted
from edxorg.lib.tables.table_model import RejectReason
from edxorg.lib.tables.table_records import may_hold_json

if TYPE_CHECKING:
    from edxorg.lib.tables.chunks import Chunk, LongLine
    from edxorg.lib.tables.table_records import Record


class MixedReader(DialectReader):
    """Reads a record in both dialects, and takes the one that it fits; if they differ, it is ambiguous."""

    def __init__(self, base: DialectReader, *, decode: bool) -> None:
        """Read records in the dialect of `base`, PLAIN or ESCAPED, or as in QUOTED."""
        super().__init__(decode=decode)
        self._base = base

    def read_record(self, chunk: Chunk, start: int) -> Record:
        """Read the record that starts at a line."""
        record = self._base.read_record(chunk, start)
        span = chunk.span(start)
        if span is None:
            return record
        quoted = read_quoted(chunk.lines, start, span, chunk.tabs, crlf=chunk.crlf)
        if quoted.reason or (record.reason is None and _say_the_same(record, quoted)):
            return record
        if record.reason:
            return quoted
        return max(record, quoted, key=lambda each: each.lines)._replace(reason=RejectReason.AMBIGUOUS)

    def long_record(self, lines: Chunk | LongLine) -> int:
        """Return the number of the oversized record that these lines are a part of, as `base` has it."""
        return self._base.long_record(lines)

    def _draft(self, chunk: Chunk) -> Draft:
        rows = chunk.lines.copy()
        sorting = chunk.by_quoting
        is_escaped = isinstance(self._base, EscapedReader)
        strange = sorting.needs_slow_path()
        in_quotes = [place for place, _ in sorting.quoted + sorting.quoted_needlessly]
        if not chunk.is_simple or (is_escaped and (chunk.pairs.separators or chunk.pairs.others)):
            others, rejects = strange + in_quotes, dict[int, Reject]()
        else:
            others, rejects = _ambiguous(chunk, strange, in_quotes)
            more, unfit = write_lines(chunk, rows, set(strange).difference(rejects, others))
            others += more
            rejects |= unfit
        others += self._to_decode(chunk, rows)
        others = lines_with_escapes(chunk, rows, others, rejects) if is_escaped else sorted(others)
        double_quotes(rows, sorting.quotes_inside)
        return Draft(range(len(rows)), chunk.lines, rows, others, rejects)


def _ambiguous(chunk: Chunk, strange: list[int], in_quotes: list[int]) -> tuple[list[int], dict[int, Reject]]:
    """Return the places of lines that have to be read one by one, and the lines that two dialects read differently.

    Args:
        chunk: The lines.
        strange: The places of lines that need the slow path.
        in_quotes: The places of lines with one quoted field.
    """
    covered = chunk.covered
    ambiguous = {place for place in chunk.regular if not may_hold_json(chunk.lines[place])}
    ambiguous = ambiguous.union(in_quotes) - covered
    others = [place for place, span in chunk.spans.items() if span > 0 and place not in ambiguous]
    others += covered.intersection(strange + in_quotes)
    return others, dict.fromkeys(ambiguous, Reject(RejectReason.AMBIGUOUS, chunk.tabs))


def _say_the_same(one: Record, other: Record) -> bool:
    """Return True if two dialects read the same lines as the same values."""
    return one.lines == other.lines and record_values(one.raw, one.dialect) == record_values(other.raw, other.dialect)
