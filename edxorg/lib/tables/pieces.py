"""Cuts a dump into runs of whole lines that no record crosses, so that all else can look at one run at a time.

A quoted value, or a backslash before a LF, can make a record span lines. Which reading is the right one may not be
known yet, so a cut must suit all of them. Where a record starts that is not over at the end of what was read, in any
reading, the cut is made before its line, and the rest waits for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edxorg.lib.spool import Spool
from edxorg.lib.tables import grammar
from edxorg.lib.tables.header import HeaderError, Layout, read_header
from edxorg.lib.tables.model import RECORD_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK: Final = 256 << 10
"""Bytes that are looked at together. The same wherever the caller's blocks end, so these cannot matter."""

HEADER_LIMIT: Final = 1 << 20
"""Bytes. MySQL's 4,096 columns with names of 64 characters, in UTF-8, are fewer."""

LINES_LIMIT: Final = 1 << 18
"""Lines. A record of more is treated as one over `RECORD_LIMIT`: a line costs some 50 bytes besides its own."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'\t\n\r"'))


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of whole lines.

    Attributes:
        data: Their bytes, the last LF included.
        lines: The lines without LF.
        marks: Of each line the TABs, CRs and double quotes, in order.
        crlf: Whether each line should end in CR. False also in a file with CR LF, where all of these lines have it
            and nothing else makes them special: it is dropped then.
        too_long: The record that starts on the only line here goes on, in some reading, for more than
            `RECORD_LIMIT`.
    """

    data: bytes
    lines: list[bytes]
    marks: list[bytes]
    crlf: bool
    too_long: bool = False

    @classmethod
    def of(cls, data: bytes, *, crlf: bool) -> Piece:
        """Split whole lines."""
        if crlf and b'"' not in data and b"\\\r" not in data:
            ends = data.count(b"\r\n")
            if ends == data.count(b"\n") == data.count(b"\r"):
                data = data.replace(b"\r\n", b"\n")
                crlf = False
        lines = data.split(b"\n")
        marks = data.translate(None, _NOT_STRUCTURE).split(b"\n")
        lines.pop()
        marks.pop()
        return cls(data, lines, marks, crlf)

    def head(self, count: int, *, too_long: bool = False) -> Piece:
        """The first lines."""
        lines = self.lines[:count]
        return Piece(b"\n".join([*lines, b""]), lines, self.marks[:count], self.crlf, too_long)

    def tail(self, count: int) -> Piece:
        """What follows the first lines."""
        lines = self.lines[count:]
        return Piece(b"\n".join([*lines, b""]), lines, self.marks[count:], self.crlf)


@dataclass(slots=True)
class LongLine:
    """A line over `RECORD_LIMIT`.

    Attributes:
        content: The line without its line end.
        quotes: How many double quotes it has.
        ends_escaped: Whether its LF follows an odd number of backslashes.
    """

    content: Spool
    quotes: int = 0
    ends_escaped: bool = False


class LineReader:
    """Reads a dump once: the header, then the pieces."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        """Nothing is read yet. `blocks` are the dump's bytes, in pieces of any size."""
        self._chunks = _regular_chunks(blocks)
        self._rest = b""

    def read_header(self) -> Layout | None:
        """Read the first line; a byte order mark before it is no part of the first name.

        Returns:
            What it says; None for a dump without a byte, or with nothing but a line end.

        Raises:
            HeaderError: The line is no header.
        """
        start = b""
        for chunk in self._chunks:
            start += chunk
            if b"\n" in chunk or len(start) > HEADER_LIMIT:
                break
        line, _, self._rest = start.removeprefix(_BYTE_ORDER_MARK).partition(b"\n")
        if len(line) > HEADER_LIMIT:
            raise HeaderError(f"it is over {HEADER_LIMIT:,} bytes long")
        if line in {b"", b"\r"} and not self._rest:
            return None
        return read_header(line)

    def pieces(self, layout: Layout) -> Iterator[Piece | LongLine]:
        """The lines after the header.

        A last line without a line end gets one, so that nothing behind this has to think of it.

        Yields:
            Pieces of about `CHUNK` bytes; more only where a line or record is longer.
        """
        return _Settler(crlf=layout.crlf).settle(self._whole_lines(b"\r\n" if layout.crlf else b"\n"))

    def _next_chunk(self) -> bytes:
        chunk = self._rest or next(self._chunks, b"")
        self._rest = b""
        return chunk

    def _whole_lines(self, line_end: bytes) -> Iterator[bytes | LongLine]:
        """Cut after line ends. What is longer than a chunk is a line of its own."""
        unfinished: list[bytes] = []
        size = 0
        while chunk := self._next_chunk():
            first = chunk.find(b"\n") + 1
            if not first:
                unfinished.append(chunk)
                size += len(chunk)
                if size > RECORD_LIMIT:
                    yield self._long_line(unfinished, line_end)
                    unfinished = []
                    size = 0
                continue
            end = chunk.rfind(b"\n") + 1
            if size > CHUNK:
                yield b"".join([*unfinished, chunk[:first]])
                unfinished = []
            else:
                first = 0
            if first < end:
                yield b"".join([*unfinished, chunk[first:end]])
            unfinished = [chunk[end:]]
            size = len(chunk) - end
        if size:
            last = b"".join(unfinished)
            yield last + (b"\n" if last.endswith(b"\r") else line_end)

    def _long_line(self, start: list[bytes], line_end: bytes) -> LongLine:
        line = LongLine(Spool())
        # The newest byte waits: a CR that comes right before the LF is no content where lines end in CR LF.
        newest = b""
        backslashes = 0
        parts = iter(start)
        while chunk := next(parts, b"") or self._next_chunk():
            content, found, self._rest = chunk.partition(b"\n")
            line.quotes += content.count(b'"')
            stripped = content.rstrip(b"\\")
            backslashes = len(content) - len(stripped) + (0 if stripped else backslashes)
            content = newest + content
            line.content.write(content[:-1])
            newest = content[-1:]
            if found:
                break
        line.content.write(newest.removesuffix(line_end[:-1]))
        line.ends_escaped = bool(backslashes & 1)
        return line


def _regular_chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for block in blocks:
        view = memoryview(block)
        while view:
            part = view[: CHUNK - len(buffer)]
            buffer += part
            view = view[len(part) :]
            if len(buffer) == CHUNK:
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)


class _Settler:
    """Keeps back the lines of a record that is not over."""

    def __init__(self, *, crlf: bool) -> None:
        self._crlf = crlf
        self._in_long_escaped_record = False

    def settle(self, cuts: Iterator[bytes | LongLine]) -> Iterator[Piece | LongLine]:
        held: list[bytes] = []
        size = 0
        again_at = 0
        for cut in cuts:
            if isinstance(cut, LongLine):
                yield from self._release(held)
                yield cut
                self._in_long_escaped_record = cut.ends_escaped
                held, size, again_at = [], 0, 0
                continue
            held.append(cut)
            size += len(cut)
            if size < again_at:
                continue
            piece = Piece.of(b"".join(held), crlf=self._crlf)
            settled = self._settled(piece)
            if settled == len(piece.lines):
                yield piece
                held, size, again_at = [], 0, 0
            elif settled:
                yield piece.head(settled)
                held = [piece.tail(settled).data]
                size = len(held[0])
                again_at = 0
            elif size > RECORD_LIMIT or len(piece.lines) > LINES_LIMIT:
                yield from self._release(held)
                held, size, again_at = [], 0, 0
            else:
                # Looking again only when there is twice as much keeps the work linear.
                again_at = min(2 * size, RECORD_LIMIT + 1)
        if held:
            yield Piece.of(b"".join(held), crlf=self._crlf)

    def _release(self, held: list[bytes]) -> Iterator[Piece]:
        """Let lines go that cannot wait any longer for the end of a record."""
        if not held:
            return
        piece = Piece.of(b"".join(held), crlf=self._crlf)
        while piece.lines:
            settled = self._settled(piece)
            if settled:
                yield piece.head(settled)
            else:
                settled = 1
                self._in_long_escaped_record = grammar.ends_escaped(piece.lines[0])
                yield piece.head(1, too_long=True)
            piece = piece.tail(settled)

    def _settled(self, piece: Piece) -> int:
        """How many lines there are before that of a record that is not over."""
        lines, marks = piece.lines, piece.marks
        end = len(lines)
        while end:
            start = end
            while start and grammar.ends_escaped(lines[start - 1]):
                start -= 1
            if start < end and not (start == 0 and self._in_long_escaped_record):
                end = start
                continue
            # Only a line with an odd number of quotes leaves a field open, and the next such line at the latest
            # closes it or shows that it was none. So the last one is the only one to be asked.
            opener = end - 1
            while opener >= 0 and not marks[opener].count(b'"') & 1:
                opener -= 1
            if opener < 0 or grammar.quoted_span(lines[opener:end], 0, crlf=piece.crlf) != grammar.OPEN:
                break
            end = opener
        if self._in_long_escaped_record and not all(map(grammar.ends_escaped, lines[:end])):
            self._in_long_escaped_record = False
        return end
