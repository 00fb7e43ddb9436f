"""What worker processes do with a block of a tracking log: normalise its lines, or give them later keys as well."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from edxorg.lib.tracking_log.event import MAX_KEYS, read_event, read_quickly
from edxorg.lib.tracking_log.gzip_stream import PIECE_BYTES, GzipMember
from edxorg.lib.tracking_log.rejects import Reason, RejectedLineError, reject_row
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_KEY_BYTES = 256
"""Of a top-level key: every line of the day repeats it, and downstream it names a column."""

MAX_LINE_BYTES = 16 << 20
"""Of a line, in and out. Readers have limits too: DuckDB's is 16 MiB unless told otherwise."""


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


def normalize_block(_state: object, block: bytes, first_line: int, columns: Sequence[str]) -> NormalizedBlock:
    """Normalise whole lines.

    Args:
        block: Lines with their LF; the last one of a file may lack it. Not empty.
        first_line: The number of the first one in its file, counted from 1.
        columns: The keys known so far, in order of first appearance.
    """
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
    absent: dict[str, str | None] = dict.fromkeys(columns)
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), first_line):
        if not line.strip(b" \t\r"):
            result.blank += 1
            continue
        exact = syslog_prefix = False
        try:
            values = read_quickly(line)
            if values is None:
                values, exact, syslog_prefix = read_event(line)
            row = {**absent, **values}  # new keys come last, in their order in the line
            if len(row) > len(absent):
                _check_keys(row)
            text = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            if len(text) > MAX_LINE_BYTES:
                _check_length(values)
        except RejectedLineError as error:
            result.rejected[error.reason] += 1
            rejects.write(reject_row(number, error.reason, line))
            continue
        if len(row) > len(absent):
            absent = dict.fromkeys(row)
        output.write(text)
        result.lines_out += 1
        result.exact_path_lines += exact
        result.syslog_prefixes += syslog_prefix
    result.output = output.finish()
    result.rejects = rejects.finish()
    return result, list(absent)


def _check_keys(keys: Iterable[str]) -> None:
    if len(list(keys)) > MAX_KEYS:
        raise RejectedLineError(Reason.TOO_MANY_KEYS)
    if any(len(key.encode()) > MAX_KEY_BYTES for key in keys):
        raise RejectedLineError(Reason.KEY_TOO_LONG)


def _check_length(values: dict[str, str]) -> None:
    """A line's fate must not hang on the keys of others, so those that it lacks do not count."""
    if len(orjson.dumps(values)) > MAX_LINE_BYTES:
        raise RejectedLineError(Reason.TOO_LONG)


def append_columns(_state: object, packed: bytes, columns: Sequence[str], width: int) -> bytes:
    """Give the lines of a normalised block keys that turned up after it: `null` in each.

    Args:
        packed: The block's gzip member.
        columns: The keys that its lines lack.
        width: How many keys they have.
    """
    if not columns:
        return packed
    members = b",".join(orjson.dumps(key) + b":null" for key in columns)
    ending = (b"," if width else b"") + members + b"}\n"
    output = GzipMember()
    held = b""
    # The shortest line has three bytes, so this bounds what a piece can grow to.
    piece_bytes = max(PIECE_BYTES // len(ending), 1 << 10)
    for unpacked in gunzip([packed]):
        for start in range(0, len(unpacked), piece_bytes):
            # A line ends with the brace that closes it and LF, its only one: those two are replaced.
            text = held + unpacked[start : start + piece_bytes]
            held = text[-1:] if text.endswith(b"}") else b""
            *ends, rest = text.removesuffix(held).split(b"\n")
            output.write(b"".join([part for end in ends for part in (end[:-1], ending)]))
            output.write(rest)
    return output.finish()
