"""Which reading a file supports: counts over its lines, and the choice that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables import grammar
from edxorg.lib.tables.header import STUDENTMODULE, Layout
from edxorg.lib.tables.model import Reading

if TYPE_CHECKING:
    from edxorg.lib.tables.pieces import Piece

OUTWEIGHS: Final = 10
"""Lines that RFC 4180 cannot read, for each record that shows it at work, before it is given up."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A reading of a file.

    Attributes:
        reading: As it is reported.
        base: PLAIN or ESCAPED: what else is tried in a mixed file; the reading itself otherwise.
    """

    reading: Reading
    base: Reading


@dataclass(slots=True)
class Tally:
    """Evidence for the readings, from the lines counted so far.

    Attributes:
        a: Records that fit *quoted* and have a wrapped field with a doubled quote, TAB, CR or LF inside.
        b: Lines with a quote that do not fit *quoted*.
        not_plain: Lines that do not fit *plain*.
        not_escaped: Lines that do not fit *escaped*.
    """

    layout: Layout
    a: int = 0
    b: int = 0
    not_plain: int = 0
    not_escaped: int = 0

    def choose(self) -> Choice:
        """The reading that the evidence is for."""
        if self.layout.wrapped or (self.a and self.a >= OUTWEIGHS * self.b):
            return Choice(Reading.QUOTED, Reading.QUOTED)
        base = self.base()
        return Choice(Reading.MIXED if self.a else base, base)

    def base(self) -> Reading:
        """The better one of plain and escaped."""
        if self.not_escaped < self.not_plain:
            return Reading.ESCAPED
        tied = self.not_escaped == self.not_plain
        return Reading.ESCAPED if tied and self.layout.columns == STUDENTMODULE else Reading.PLAIN

    def count(self, piece: Piece) -> None:
        """Add a piece's lines."""
        self.not_escaped += self._not_escaped(piece)
        if piece.loose is not None:
            self.not_plain += piece.loose.misfits
            self.b += piece.loose.quoted
            return
        self.not_plain += len(piece.misfits)
        self._count_quoted(piece)

    def _not_escaped(self, piece: Piece) -> int:
        """How many lines do not fit *escaped*."""
        if piece.long_escaped:
            return piece.line_count
        if piece.pairs.separators:
            return piece.escaped.misfits if piece.escaped else _not_escaped_one_by_one(piece)
        if not piece.pairs.others:
            return len(piece.misfits)
        return len({*piece.misfits, *(i for i, line in enumerate(piece.lines) if grammar.has_other_pair(line))})

    def _count_quoted(self, piece: Piece) -> None:
        lines = piece.lines
        if piece.long_quoted:
            self.b += sum(b'"' in line for line in lines)
            return
        for start, span in piece.spans.items():
            if span <= 0:
                self.b += 1
                continue
            record = grammar.read_quoted(lines, start, span, piece.tabs, crlf=piece.crlf)
            if record.reason:
                self.b += sum(b'"' in line for line in lines[start : start + record.lines])
            else:
                self.a += grammar.shows_quoting(record, crlf=piece.crlf)
        bare, json, wrapped, _, loose, _, _ = piece.sorted
        self.a += len(json) + len(wrapped)
        self.b += len(bare) + len(loose)
        if covered := piece.covered:
            self.a -= len(covered.intersection(json)) + len(covered.intersection(index for index, _ in wrapped))
            self.b -= len(covered.intersection(loose)) + len(covered.intersection(index for index, _ in bare))


def _not_escaped_one_by_one(piece: Piece) -> int:
    misfits = after = 0
    for start in range(len(piece.lines)):
        if start >= after:
            record = grammar.read_escaped(piece.lines, start, piece.tabs, crlf=piece.crlf)
            misfits += record.lines if record.reason else 0
            after = start + record.lines
    return misfits
