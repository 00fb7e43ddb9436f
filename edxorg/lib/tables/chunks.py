"""Chunks of whole lines and lazily computed facts about them, shared by all dialects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.escapes import EscapedRecords, EscapePairs, LooseLines, ends_escaped, escaped_records, find_pairs
from edxorg.lib.tables.line_sorting import NO_MARK, LinesByQuoting, sort_lines
from edxorg.lib.tables.rfc4180 import OPEN, is_regular, quoted_span

if TYPE_CHECKING:
    from ol_orchestrate.lib.spool import Spool

BIG: Final = 1 << 20
"""Bytes. From here on the copies that make short lines fast would cost too much memory."""


class Chunk:
    """A run of whole lines that no record crosses, unless it is too long for memory.

    Attributes:
        data: Their bytes, the last LF included.
        tabs: Number of TABs in a line of plain fields.
        crlf: True if each line should end in CR. False also in a file with CR LF if all of these lines have it and no
            record can have a line end inside: it is dropped then.
        long_quoted: Number of the oversized record of RFC 4180 that all of these lines are part of; 0 for none.
        long_escaped: The same for escaped LFs.
    """

    def __init__(self, data: bytes, tabs: int, *, crlf: bool) -> None:
        # A backslash before CR LF would seem to be one before LF.
        if crlf and b'"' not in data and b"\\\r" not in data:
            without = data.replace(b"\r\n", b"\n")
            if len(data) - len(without) == without.count(b"\n"):
                data = without
                crlf = False
        self.data = data
        self.tabs = tabs
        self.crlf = crlf
        self.long_quoted = 0
        self.long_escaped = 0

    @cached_property
    def lines(self) -> list[bytes]:
        """The lines without LF."""
        return self.data.split(b"\n")[:-1]

    @property
    def line_count(self) -> int:
        """The number of lines."""
        return self.escaped.starts[-1] if self.escaped else len(self.lines)

    @property
    def is_simple(self) -> bool:
        """True if `by_quoting` tells lines with quotes apart."""
        return not self.crlf and len(self.data) < BIG

    @cached_property
    def by_quoting(self) -> LinesByQuoting:
        """The lines by their quotes. If not `is_simple`, all lines with quotes are in `other_quotes`."""
        if self.is_simple:
            return sort_lines(self.lines, self.data.translate(None, NO_MARK), self.tabs)
        quoted = [index for index, line in enumerate(self.lines) if b'"' in line]
        others = [index for index, line in enumerate(self.lines) if b'"' not in line]
        return LinesByQuoting([], [], [], [], [], quoted, others)

    @cached_property
    def spans(self) -> dict[int, int]:
        """The number of lines of each record of RFC 4180, as `quoted_span` counts them, by its first line.

        Records of one line are left out if `by_quoting` tells them. After a line that is `MALFORMED` or `OPEN` the
        next line is examined; lines of an oversized record are not.
        """
        spans: dict[int, int] = {}
        if self.loose is not None:
            return spans
        after = len(self.lines) if self.long_quoted else 0
        for start in self.by_quoting.other_quotes:
            if start >= after:
                is_one_line = start in self.regular
                spans[start] = 1 if is_one_line else quoted_span(self.lines, start, crlf=self.crlf)
                after = start + max(spans[start], 1)
        return spans

    @cached_property
    def regular(self) -> set[int]:
        """The lines of `by_quoting.other_quotes` that are regular; a record that starts before may cover one."""
        if not self.is_simple:
            return set()
        lines, tabs = self.lines, self.tabs
        return {index for index in self.by_quoting.other_quotes if is_regular(lines[index], tabs)}

    @cached_property
    def covered(self) -> set[int]:
        """The lines at which no record of RFC 4180 starts."""
        if self.long_quoted:
            return set(range(len(self.lines)))
        return {line for start, span in self.spans.items() for line in range(start + 1, start + span)}

    @property
    def loose(self) -> LooseLines | None:
        """Counts of the lines in other dialects, if no field starts with a quote; `None` if they are not known."""
        return self.escaped.loose if self.escaped else None

    @cached_property
    def misfits(self) -> list[int]:
        """The lines that do not fit *plain*."""
        lines, tabs = self.lines, self.tabs
        return [
            index
            for index in self.by_quoting.needs_slow_path()
            if lines[index].count(b"\t") != tabs or (self.crlf and not lines[index].endswith(b"\r"))
        ]

    @cached_property
    def pairs(self) -> EscapePairs:
        """The backslashes in the data."""
        return find_pairs(self.data)

    @cached_property
    def escaped(self) -> EscapedRecords | None:
        """The records of *escaped*; `None` if they are the lines, or have to be read one by one."""
        simple = self.pairs.separators and not self.pairs.others and self.is_simple and not self.long_escaped
        return escaped_records(self.data, self.pairs, self.tabs) if simple else None

    def span(self, start: int) -> int | None:
        """Return the number of lines of the RFC 4180 record that starts at a line; None if none does."""
        if start in self.covered:
            return None
        span = self.spans.get(start)
        return quoted_span(self.lines[start : start + 1], 0, crlf=self.crlf) if span is None else span

    def alike_lines(self) -> int:
        """Return the number of lines before the first one that the dialects read differently.

        They have the right number of TABs, no double quote, no backslash before TAB or line end, and the header's
        line end.
        """
        if self.long_quoted or self.long_escaped:
            return 0
        quotes_inside, quoted_json, quoted, quoted_needlessly, unreadable_quotes, other_quotes, irregular = (
            self.by_quoting
        )
        firsts = [
            *quoted_json[:1],
            *unreadable_quotes[:1],
            *other_quotes[:1],
            *(index for index, _ in (*quotes_inside[:1], *quoted[:1], *quoted_needlessly[:1])),
        ]
        end = min(firsts, default=len(self.lines))
        if not irregular and not (b"\\" in self.data and (b"\\\t" in self.data or b"\\\n" in self.data)):
            return end
        for index, line in enumerate(self.lines[:end]):
            content = line.removesuffix(b"\r") if self.crlf else line
            unfit = content.count(b"\t") != self.tabs or (self.crlf and content == line)
            if unfit or b"\\\t" in content or content.endswith(b"\\"):
                return index
        return end

    def settled_lines(self) -> int:
        """Return the number of lines before a record that is not over, in any dialect; as if none were oversized."""
        end = next((start for start, span in self.spans.items() if span == OPEN), self.line_count)
        if not self.spans and not self.data.endswith(b"\\\n"):
            return end
        while end:
            start = end
            if not self.long_escaped:
                while start and ends_escaped(self.lines[start - 1]):
                    start -= 1
            across = (first for first, span in self.spans.items() if first < start < first + span)
            start = next(across, start)
            if start == end:
                break
            end = start
        return end

    def head(self, count: int) -> Chunk:
        """Return the first lines."""
        return self if count == self.line_count else self._part(self.lines[:count])

    def tail(self, count: int) -> Chunk:
        """Return the lines after the first ones."""
        return self._part(self.lines[count:]) if count else self

    def _part(self, lines: list[bytes]) -> Chunk:
        part = Chunk(b"\n".join([*lines, b""]), self.tabs, crlf=self.crlf)
        part.long_quoted, part.long_escaped = self.long_quoted, self.long_escaped
        return part

    def forget(self) -> None:
        """Give the memory of all cached facts back; they are made again when they are needed."""
        for name, member in vars(Chunk).items():
            if isinstance(member, cached_property):
                self.__dict__.pop(name, None)


@dataclass(slots=True)
class LongLine:
    """A line that is too long for memory.

    Attributes:
        content: The line without its line end.
        quotes: Number of its double quotes.
        ends_escaped: True if its LF follows an odd number of backslashes.
        long_quoted: Number of the RFC 4180 record that it is a part of, or all of.
        long_escaped: The same for escaped LFs.
    """

    content: Spool
    quotes: int = 0
    ends_escaped: bool = False
    long_quoted: int = 0
    long_escaped: int = 0
