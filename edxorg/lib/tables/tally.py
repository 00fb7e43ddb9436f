"""Which reading a file supports: counts over its lines, and the choice that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables import grammar
from edxorg.lib.tables.grammar import Shape
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
        plain = b"\t" * self.layout.tabs
        backslashes = b"\\" in piece.data
        if not backslashes and not piece.crlf and piece.marks.count(plain) == len(piece.lines):
            return
        if piece.crlf:
            fits = [
                mark.count(b"\t") == self.layout.tabs and line.endswith(b"\r")
                for mark, line in zip(piece.marks, piece.lines, strict=True)
            ]
        else:
            fits = [mark == plain or mark.count(b"\t") == self.layout.tabs for mark in piece.marks]
        not_plain = fits.count(False)
        self.not_plain += not_plain
        self.not_escaped += self._count_not_escaped(piece, fits) if backslashes else not_plain
        if b'"' in piece.data:
            self._count_quoted(piece, fits)

    def _count_not_escaped(self, piece: Piece, fits: list[bool]) -> int:
        if b"\\\t" not in piece.data and b"\\\n" not in piece.data:
            if not grammar.has_other_pair(piece.data):
                return fits.count(False)
            return sum(
                not fit or grammar.has_other_pair(line + b"\n") for fit, line in zip(fits, piece.lines, strict=True)
            )
        misfits = 0
        start = 0
        while start < len(piece.lines):
            record = grammar.read_escaped(piece.lines, start, self.layout.tabs, crlf=piece.crlf)
            misfits += record.lines if record.reason else 0
            start += record.lines
        return misfits

    def _count_quoted(self, piece: Piece, fits: list[bool]) -> None:
        after = 0
        for index, mark in enumerate(piece.marks):
            if index < after or b'"' not in mark:
                continue
            if fits[index] and not piece.crlf:
                shape = grammar.shape_of(piece.lines[index])[0]
                if shape is not Shape.OTHER:
                    self.a += shape is Shape.JSON or shape is Shape.WRAPPED
                    self.b += shape is Shape.BARE
                    continue
            record = grammar.read_quoted(piece.lines, index, self.layout.tabs, crlf=piece.crlf)
            after = index + record.lines
            if record.reason:
                self.b += sum(b'"' in each for each in piece.marks[index:after])
            else:
                self.a += grammar.shows_quoting(record, crlf=piece.crlf)
