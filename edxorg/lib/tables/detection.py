"""Detects the dialect of a file by counts over its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.escapes import has_other_pair, read_escaped
from edxorg.lib.tables.header import STUDENTMODULE, Layout
from edxorg.lib.tables.rfc4180 import read_quoted, regular_shows_quoting, shows_quoting
from edxorg.lib.tables.table_model import Dialect

if TYPE_CHECKING:
    from edxorg.lib.tables.chunks import Chunk

OUTWEIGHS: Final = 10
"""*Quoted* is given up if lines that RFC 4180 cannot read are so many times as many as records that show it at work."""


@dataclass(frozen=True, slots=True)
class DetectedDialect:
    """A dialect, with its parts.

    Attributes:
        dialect: The dialect that is reported.
        base: PLAIN or ESCAPED, whichever a mixed file has beside quoted records; `dialect` itself otherwise.
    """

    dialect: Dialect
    base: Dialect


@dataclass(slots=True)
class Tally:
    """Evidence for the dialects, from the lines counted so far.

    Attributes:
        rfc4180_records: Records that fit *quoted* and have a wrapped field with a doubled quote, TAB, CR or LF inside.
        rfc4180_violations: Lines with a quote that do not fit *quoted*.
        not_plain: Lines that do not fit *plain*.
        not_escaped: Lines that do not fit *escaped*.
    """

    layout: Layout
    rfc4180_records: int = 0
    rfc4180_violations: int = 0
    not_plain: int = 0
    not_escaped: int = 0

    def choose(self) -> DetectedDialect:
        """Return the dialect that the evidence supports."""
        if self.layout.wrapped or (
            self.rfc4180_records and self.rfc4180_records >= OUTWEIGHS * self.rfc4180_violations
        ):
            return DetectedDialect(Dialect.QUOTED, Dialect.QUOTED)
        base = self.base()
        return DetectedDialect(Dialect.MIXED if self.rfc4180_records else base, base)

    def base(self) -> Dialect:
        """Return the better one of plain and escaped."""
        if self.not_escaped < self.not_plain:
            return Dialect.ESCAPED
        tied = self.not_escaped == self.not_plain
        return Dialect.ESCAPED if tied and self.layout.columns == STUDENTMODULE else Dialect.PLAIN

    def count(self, chunk: Chunk) -> None:
        """Add a chunk's lines."""
        self.not_escaped += self._not_escaped(chunk)
        if chunk.loose is not None:
            self.not_plain += chunk.loose.misfits
            self.rfc4180_violations += chunk.loose.quoted
            return
        self.not_plain += len(chunk.misfits)
        self._count_quoted(chunk)

    def _not_escaped(self, chunk: Chunk) -> int:
        """Return the number of lines that do not fit *escaped*."""
        if chunk.long_escaped:
            return chunk.line_count
        if chunk.pairs.separators:
            return chunk.escaped.misfits if chunk.escaped else _not_escaped_one_by_one(chunk)
        if not chunk.pairs.others:
            return len(chunk.misfits)
        return len({*chunk.misfits, *(i for i, line in enumerate(chunk.lines) if has_other_pair(line))})

    def _count_quoted(self, chunk: Chunk) -> None:
        lines = chunk.lines
        if chunk.long_quoted:
            self.rfc4180_violations += sum(b'"' in line for line in lines)
            return
        for start, span in chunk.spans.items():
            if span <= 0:
                self.rfc4180_violations += 1
                continue
            if start in chunk.regular:
                self.rfc4180_records += regular_shows_quoting(lines[start])
                continue
            record = read_quoted(lines, start, span, chunk.tabs, crlf=chunk.crlf)
            if record.reason:
                self.rfc4180_violations += sum(b'"' in line for line in lines[start : start + record.lines])
            else:
                self.rfc4180_records += shows_quoting(record, crlf=chunk.crlf)
        quotes_inside, quoted_json, quoted, _, unreadable_quotes, _, _ = chunk.by_quoting
        self.rfc4180_records += len(quoted_json) + len(quoted)
        self.rfc4180_violations += len(quotes_inside) + len(unreadable_quotes)
        if covered := chunk.covered:
            # JSON in quotes is in no other field: its first quote would end that one, and a bracket follows it.
            self.rfc4180_records -= len(covered.intersection(index for index, _ in quoted))
            self.rfc4180_violations -= len(covered.intersection(unreadable_quotes)) + len(
                covered.intersection(index for index, _ in quotes_inside)
            )


def _not_escaped_one_by_one(chunk: Chunk) -> int:
    misfits = after = 0
    for start in range(len(chunk.lines)):
        if start >= after:
            record = read_escaped(chunk.lines, start, chunk.tabs, crlf=chunk.crlf)
            misfits += record.lines if record.reason else 0
            after = start + record.lines
    return misfits
