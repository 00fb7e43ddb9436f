"""What a worker process does with a block of a tracking log: it normalises its lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING

from edxorg.lib.tracking_log.event import read_event
from edxorg.lib.tracking_log.gzip_stream import GzipMember
from edxorg.lib.tracking_log.layout import read_quickly
from edxorg.lib.tracking_log.rejects import Reason, RejectedLineError, reject_row
from edxorg.lib.tracking_log.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINES_TOGETHER = 512
"""Lines that are parsed at a time: a value takes some hundred bytes until it is written."""

_LINES_A_WRITE = 256
"""Rows that are packed at a time: with the day's keys a short one can have a hundred kilobytes."""


@dataclass
class NormalizedBlock:
    """The lines of one block, normalised."""

    output: bytes = b""
    """A gzip member of lines, or nothing if there is no good one."""
    rejects: bytes = b""
    """The same of the rejects."""
    new_columns: list[str] = field(default_factory=list)
    """Keys that the block brought, in order of first appearance; all its lines have them."""
    lines_out: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    blank: int = 0
    syslog_prefixes: int = 0
    exact_path_lines: int = 0


def normalize_block(
    _state: object, pieces: Iterable[bytes], first_line: int, columns: Sequence[str]
) -> NormalizedBlock:
    """Normalise whole lines.

    Args:
        pieces: Of the block, that is of lines with their LF; the last one of a file may lack it.
        first_line: The number of the first one in its file, counted from 1.
        columns: The keys known so far, in order of first appearance.
    """
    block = b"".join(pieces)
    result, known = _normalize(block, first_line, columns)
    new_columns = known[len(columns) :]
    if new_columns:
        # The lines before the first one with the key lack it. The same lines are rejected again: where a line made
        # more than 500 keys with those known then, it does so with those known now.
        result, _ = _normalize(block, first_line, known)
        result.new_columns = new_columns
    return result


def _normalize(block: bytes, first_line: int, columns: Sequence[str]) -> tuple[NormalizedBlock, list[str]]:
    """Normalise in one pass; each line gets the keys known by then, and all of them are returned too."""
    result = NormalizedBlock()
    output, rejects = GzipMember(), GzipMember()
    rows = Rows(columns)
    waiting: list[bytes] = []
    numbered = enumerate(BytesIO(block), first_line)
    while batch := list(islice(numbered, _LINES_TOGETHER)):
        bare = [line.strip(b" \t\r\n") for _, line in batch]
        for (number, line), text, quick in zip(batch, bare, read_quickly(bare), strict=True):
            if not text:
                result.blank += 1
                continue
            event, exact, syslog_prefix = quick, False, False
            try:
                if event is None:
                    event, exact, syslog_prefix = read_event(line.removesuffix(b"\n"))
                waiting.append(rows.write(event))
            except RejectedLineError as error:
                result.rejected[error.reason] += 1
                rejects.write(reject_row(number, error.reason, line.removesuffix(b"\n")))
                continue
            if len(waiting) == _LINES_A_WRITE:
                output.write(b"".join(waiting))
                waiting.clear()
            result.lines_out += 1
            result.exact_path_lines += exact
            result.syslog_prefixes += syslog_prefix
    output.write(b"".join(waiting))
    result.output = output.finish()
    result.rejects = rejects.finish()
    return result, rows.columns
