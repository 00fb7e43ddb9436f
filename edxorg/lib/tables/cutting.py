"""Cuts a dump into chunks, so that all other modules can work on one at a time.

A quoted value, or a backslash before a LF, can make a record span lines. The dialect may not be known yet, so a cut
must suit all of them: if a record is not over at the end of the bytes so far, in any dialect, the cut is made before
its first line, and the rest waits for more. A record that goes on for more than `RECORD_LIMIT` is passed on in chunks
that are marked as parts of it.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.chunks import Chunk, LongLine
from edxorg.lib.tables.escapes import ends_escaped
from edxorg.lib.tables.header import HeaderError, Layout, read_header
from edxorg.lib.tables.rfc4180 import OPEN
from edxorg.lib.tables.table_model import RECORD_LIMIT, SHORTEST_RECORDS
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK: Final = 256 << 10
"""Bytes that are cut together. Chunks are the same wherever the caller's blocks end, so these cannot matter."""

_LOOK_BACK: Final = 32 << 10
"""Bytes that `_last_line_end` searches for the start of an unfinished record."""

HEADER_LIMIT: Final = 1 << 20
"""Bytes. MySQL's 4,096 columns with names of 64 characters take no more in UTF-8."""

SHORT_LINES: Final = 2048
"""Lines that are looked at together if they are shorter than `SHORTEST_RECORDS`, as in no table: reading ends between
chunks only."""

LINES_LIMIT: Final = 1 << 16
"""Lines. A record of more is treated as one over `RECORD_LIMIT`: a line costs some 50 bytes beside its own."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LineReader:
    """Reads a dump once: the header, then the chunks."""

    def __init__(self, blocks: Iterable[bytes], known_columns: frozenset[str] = frozenset()) -> None:
        """Read from `blocks`, the dump's bytes in blocks of any size; `read_header` says what is known."""
        self._known_columns = known_columns
        self._chunks = _regular_chunks(blocks)
        self._rest = b""

    def read_header(self) -> Layout | None:
        """Read the first line; a byte order mark before it is no part of the first name.

        Returns:
            The layout; None for a dump without a byte, or with nothing but a line end.

        Raises:
            HeaderError: The line is no header.
        """
        start = b""
        while chunk := self._next_chunk():
            start += chunk
            if b"\n" in chunk or len(start) > HEADER_LIMIT:
                break
        line, _, self._rest = start.removeprefix(_BYTE_ORDER_MARK).partition(b"\n")
        if len(line) > HEADER_LIMIT:
            raise HeaderError(f"it is over {HEADER_LIMIT:,} bytes long")
        self._rest = self._next_chunk()
        if line in {b"", b"\r"} and not self._rest:
            return None
        return read_header(line, self._known_columns)

    def chunks(self, layout: Layout) -> Iterator[Chunk | LongLine]:
        """Yield the lines after the header.

        A last line without a line end gets one, so that no other module has to handle it.

        Yields:
            Chunks of about `CHUNK` bytes; more only if a line or record is longer, fewer if lines are very short.
        """
        return _Settler(layout).settle(_with_few_lines(self._whole_lines(b"\r\n" if layout.crlf else b"\n")))

    def _next_chunk(self) -> bytes:
        chunk = self._rest or next(self._chunks, b"")
        self._rest = b""
        return chunk

    def _whole_lines(self, line_end: bytes) -> Iterator[bytes | LongLine]:
        """Cut after line ends. A line longer than a chunk is cut out by itself."""
        unfinished: list[bytes] = []
        size = 0
        while chunk := self._next_chunk():
            first = chunk.find(b"\n") + 1
            if not first:
                if unfinished and (lines_end := unfinished[0].rfind(b"\n") + 1):
                    yield unfinished[0][:lines_end]
                    unfinished[0] = unfinished[0][lines_end:]
                    size -= lines_end
                unfinished.append(chunk)
                size += len(chunk)
                if size > RECORD_LIMIT:
                    yield self._long_line(unfinished, line_end)
                    unfinished = []
                    size = 0
                continue
            end = _last_line_end(chunk)
            if size <= CHUNK:
                first = end
            whole = b"".join([*unfinished, chunk[:first]])
            unfinished = [chunk[end:]]
            size = len(chunk) - end
            yield whole
            del whole
            if first < end:
                yield chunk[first:end]
        if size:
            last = b"".join(unfinished)
            if not last.endswith(b"\n"):
                last += b"\n" if last.endswith(b"\r") else line_end
            yield last

    def _long_line(self, start: list[bytes], line_end: bytes) -> LongLine:
        line = LongLine(Spool())
        try:
            # The newest byte waits: a CR right before the LF is no content if lines end in CR LF.
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
        except BaseException:
            line.content.close()
            raise
        line.ends_escaped = bool(backslashes & 1)
        return line


def _last_line_end(chunk: bytes) -> int:
    """Return the place to cut: after the last LF, or after an earlier unescaped LF within `_LOOK_BACK`.

    An unfinished record of *escaped* is thus scanned once. Only speed depends on it.
    """
    last = end = chunk.rfind(b"\n") + 1
    while end and chunk.endswith(b"\\\n", 0, end) and last - end < _LOOK_BACK:
        end = chunk.rfind(b"\n", 0, end - 1) + 1
    return end or last


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

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._numbers = count(1)
        self._long_quoted = 0
        self._long_escaped = 0
        self._held: list[bytes] = []
        self._size = 0
        self._again_at = 0

    def settle(self, cuts: Iterator[bytes | LongLine]) -> Iterator[Chunk | LongLine]:
        for cut in cuts:
            if isinstance(cut, LongLine):
                while self._held:
                    yield from self._advance(at_least=0)
                yield self._number(cut)
            else:
                yield from self._add(cut)
            del cut  # it may be large, and the next one is, too, before it takes its place
        if self._held:
            yield self._piece()

    def _add(self, lines: bytes) -> Iterator[Chunk]:
        self._held.append(lines)
        self._size += len(lines)
        if self._size >= self._again_at:
            yield from self._advance(at_least=RECORD_LIMIT)

    def _advance(self, *, at_least: int) -> Iterator[Chunk]:
        """Pass on all lines before a record that is not over, and its lines too if there are too many."""
        chunk = self._piece()
        self._held, self._size, self._again_at = [], 0, 0
        while chunk.data and (settled := self._settled(chunk)):
            head, chunk = chunk.head(settled), self._mark(chunk.tail(settled))
            yield head
            del head
        if not chunk.data:
            return
        if len(chunk.data) > at_least or chunk.line_count > LINES_LIMIT:
            if chunk.spans.get(0) == OPEN:
                self._long_quoted = next(self._numbers)
            else:
                self._long_escaped = next(self._numbers)
            yield self._mark(chunk.head(1))
            # Not those of a chunk of the other lines, which may have dropped their CRs.
            for part in _line_cuts(chunk.data.partition(b"\n")[2], CHUNK):
                yield from self._add(part)
        else:
            self._held = [chunk.data]
            self._size = len(chunk.data)
            # Searching again only when there is twice as much keeps the work linear.
            self._again_at = min(2 * self._size, RECORD_LIMIT + 1)

    def _settled(self, chunk: Chunk) -> int:
        """Return the number of lines to pass on; an oversized record ends with the last of them, if at all."""
        settled = chunk.settled_lines()
        if chunk.long_quoted:
            # RFC 4180 ends a record at the first line end after an even number of quotes.
            odd = (index for index, line in enumerate(chunk.lines, 1) if line.count(b'"') & 1)
            quoted_end = next(odd, settled + 1)
            settled = min(settled, quoted_end)
        if chunk.long_escaped:
            unescaped = (index for index, line in enumerate(chunk.lines, 1) if not ends_escaped(line))
            escaped_end = next(unescaped, settled + 1)
            settled = min(settled, escaped_end)
            if settled == escaped_end:
                self._long_escaped = 0
        if chunk.long_quoted and settled == quoted_end:
            self._long_quoted = 0
        return settled

    def _number(self, line: LongLine) -> LongLine:
        """Mark a long line with the records that it is a part of, and with their ends."""
        odd = bool(line.quotes & 1)
        is_over = odd == bool(self._long_quoted)
        line.long_quoted = self._long_quoted or next(self._numbers)
        line.long_escaped = self._long_escaped or next(self._numbers)
        self._long_quoted = 0 if is_over else line.long_quoted
        self._long_escaped = line.long_escaped if line.ends_escaped else 0
        return line

    def _piece(self) -> Chunk:
        return self._mark(Chunk(b"".join(self._held), self._layout.tabs, crlf=self._layout.crlf))

    def _mark(self, chunk: Chunk) -> Chunk:
        chunk.long_quoted, chunk.long_escaped = self._long_quoted, self._long_escaped
        return chunk


def _with_few_lines(cuts: Iterator[bytes | LongLine]) -> Iterator[bytes | LongLine]:
    """Cut runs of very short lines again."""
    for cut in cuts:
        if isinstance(cut, LongLine):
            yield cut
            continue
        lines = cut.count(b"\n")
        if lines > SHORT_LINES and len(cut) < SHORTEST_RECORDS * lines:
            yield from _line_cuts(cut, SHORT_LINES * len(cut) // lines)
        else:
            yield cut
        del cut  # it may be large, and so may the next one


def _line_cuts(data: bytes, size: int) -> Iterator[bytes]:
    """Cut whole lines into runs of about `size` bytes."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + size) + 1 or data.find(b"\n", start) + 1
        yield data[start:end]
        start = end
