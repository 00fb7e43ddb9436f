"""Cuts a tracking log into blocks of whole lines, and sets aside lines that are too long to be held."""

from __future__ import annotations

import hashlib
from io import BytesIO
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tracking_log.exact_path import MAX_LINE_BYTES
from edxorg.lib.tracking_log.log_output import GzipMember
from edxorg.lib.tracking_log.log_rejects import EXCERPT_BYTES, OversizedLine
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_BYTES = 4 << 20
"""Limit of a block, unless a single line is longer."""

BLOCK_LINES = 1 << 14
"""Limit of a block. A block of events has half of that at the most; one of line ends would take a worker a minute."""

_NUL = b"\0"


class LineBlock(NamedTuple):
    """Whole lines, each with its LF; the last one of a file may lack it. Never empty."""

    data: bytes
    first_line: int
    """Number of its first line, counted from 1."""
    lines: int
    """Number of lines."""
    left_out: int
    """NUL bytes before its first line that are not in `data`."""

    @property
    def size(self) -> int:
        """The block's bytes in the file."""
        return len(self.data) + self.left_out

    def halves(self) -> tuple[LineBlock, LineBlock]:
        """Return two blocks of its lines, of which there must be more than one."""
        half = len(self.data) // 2
        middle = self.data.find(b"\n", half, -1) + 1 or self.data.rfind(b"\n", 0, half) + 1
        (first,) = _blocks(self.data[:middle], self.first_line, self.left_out)
        (second,) = _blocks(self.data[middle:], self.first_line + first.lines)
        return first, second


def cut_lines(pieces: Iterable[bytes]) -> Iterator[LineBlock | OversizedLine]:
    """Cut at line ends, at the same places whatever the sizes of the pieces.

    A block holds as many lines as fit in `BLOCK_BYTES` and `BLOCK_LINES`, or one that does not fit. If a line
    starts with so many NUL bytes that it would be too long, one of them is left.
    """
    line = 1
    left_out = 0
    held: list[bytes] = []
    held_bytes = 0
    remaining = iter(pieces)
    for piece in remaining:
        held.append(piece)
        held_bytes += len(piece)
        if held_bytes < BLOCK_BYTES:
            continue
        waiting = b"".join(held)
        while len(waiting) >= BLOCK_BYTES:
            end = waiting.rfind(b"\n", 0, BLOCK_BYTES) + 1 or waiting.find(b"\n", BLOCK_BYTES, MAX_LINE_BYTES + 1) + 1
            if end:
                for block in _blocks(waiting[:end], line, left_out):
                    yield block
                    line += block.lines
                waiting = waiting[end:]
                left_out = 0
            elif len(waiting) > MAX_LINE_BYTES and waiting.startswith(2 * _NUL):
                waiting, left_out = _without_hole(waiting, remaining)
            elif len(waiting) > MAX_LINE_BYTES:
                oversized, waiting = _set_aside(line, waiting, remaining)
                oversized.left_out, left_out = left_out, 0
                yield oversized
                line += 1
            else:
                break
        held, held_bytes = [waiting], len(waiting)
    yield from _blocks(b"".join(held), line, left_out)


def _blocks(data: bytes, first_line: int, left_out: int = 0) -> Iterator[LineBlock]:
    """Yield whole lines as blocks; only a hostile log has several."""
    reader = BytesIO(data)
    start = 0
    # `bytes.count` compares byte by byte, which takes three times as long.
    while count := sum(1 for _ in islice(reader, BLOCK_LINES)):
        end = reader.tell()
        yield LineBlock(data[start:end], first_line, count, left_out)
        start, first_line, left_out = end, first_line + count, 0


def _without_hole(start: bytes, remaining: Iterator[bytes]) -> tuple[bytes, int]:
    """Drop all but one of the NUL bytes at a line's start; return the rest and the number of dropped bytes."""
    size = 0
    piece: bytes | None = start
    content = b""
    while piece is not None and not content:
        content = piece.lstrip(_NUL)
        size += len(piece) - len(content)
        piece = None if content else next(remaining, None)
    return _NUL + content, size - 1


def _set_aside(line: int, start: bytes, remaining: Iterator[bytes]) -> tuple[OversizedLine, bytes]:
    """Read on to the end of a line that was read in part; return the line and the bytes after it."""
    record, member = Spool(), GzipMember()
    digest = hashlib.sha256()
    try:
        for piece in chain([start], remaining):
            text, line_end, rest = piece.partition(b"\n")
            digest.update(text)
            member.write(text)
            record.write(member.take())
            if line_end:
                break
        record.write(member.finish())
    except BaseException:
        record.close()
        raise
    return OversizedLine(line, start[:EXCERPT_BYTES], member.bytes_written, digest.hexdigest(), record), rest
