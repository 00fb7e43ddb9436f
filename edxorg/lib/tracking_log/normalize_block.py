"""Normalizes the lines of one block of a tracking log, in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from edxorg.lib.rejects import reject_line
from edxorg.lib.tracking_log.exact_path import ReadLine, read_event
from edxorg.lib.tracking_log.fast_path import read_quickly
from edxorg.lib.tracking_log.log_output import GzipMember, Rows
from edxorg.lib.tracking_log.log_rejects import RejectedLineError
from edxorg.lib.tracking_log.log_report import LineCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edxorg.lib.tracking_log.fast_path import Events

_BYTES_TOGETHER = 256 << 10
"""Lines that are read at a time: few enough for a processor's cache, as a value takes some hundred bytes meanwhile."""

_MAX_WRITTEN = 8 << 20
"""Bytes that are written at a time: with the day's keys a short line can have a hundred kilobytes."""

_MAX_OUTPUT = 64 << 20
"""Limit of the output of a block. It is packed, but short lines could become a hundred times as many bytes."""


@dataclass
class NormalizedBlock(LineCounts):
    """The lines of one block, normalized; nothing if the output is too large."""

    output: bytes = b""
    """A gzip member of lines, or nothing if there is no good line."""
    rejects: bytes = b""
    """A gzip member of rejects, or nothing if there is none."""
    bytes_normalized: int = 0
    """Size of the lines before compression."""
    new_columns: list[str] = field(default_factory=list)
    """Keys that the block brought, in order of first appearance; all its lines have them."""
    is_too_much: bool = False
    """True if the block is to be cut in two, and each half given to a worker."""


def normalize_block(
    _state: object, pieces: Iterable[bytes], first_line: int, columns: Sequence[str]
) -> NormalizedBlock:
    """Normalize whole lines.

    Args:
        pieces: Bytes of the lines with their LFs; the last line of a file may lack it.
        first_line: The number of the first line in its file, counted from 1.
        columns: The keys known so far, in order of first appearance.
    """
    block = b"".join(pieces)
    writer = _BlockWriter(columns)
    writer.add(block, first_line)
    new_columns = writer.columns[len(columns) :]
    if new_columns and not writer.is_full:
        # The lines before the first one with the key lack it. The same lines are rejected again: where a line made
        # more than 500 keys with those known then, it does so with those known now.
        writer = _BlockWriter(writer.columns)
        writer.add(block, first_line)
    return NormalizedBlock(is_too_much=True) if writer.is_full else writer.finish(new_columns)


class _BlockWriter:
    """Normalizes lines; each gets the keys known by then."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._result = NormalizedBlock()
        self._output, self._rejects = GzipMember(), GzipMember()
        self._rows = Rows(columns)

    @property
    def columns(self) -> list[str]:
        """The keys known by now."""
        return self._rows.columns

    @property
    def is_full(self) -> bool:
        """Return True if the output is larger than allowed."""
        return self._output.bytes_written > _MAX_OUTPUT

    def add(self, block: bytes, first_line: int) -> None:
        """Normalize all lines of the block, or as many as there is room for."""
        reader = BytesIO(block)
        while not self.is_full and (lines := reader.readlines(_BYTES_TOGETHER)):
            self._add_lines(lines, first_line)
            first_line += len(lines)

    def finish(self, new_columns: list[str]) -> NormalizedBlock:
        """Return the output."""
        self._result.bytes_normalized = self._output.bytes_written
        self._result.output = self._output.finish()
        self._result.rejects = self._rejects.finish()
        self._result.new_columns = new_columns
        return self._result

    def _add_lines(self, lines: list[bytes], first_line: int) -> None:
        is_little = len(lines) * self._rows.least_bytes <= _MAX_WRITTEN
        rows: dict[int, bytes] = {}
        waiting: dict[int, Events] = {}
        for events in read_quickly(lines):
            if not is_little or self._rows.brought_by(events):
                # Keys are added in the order of the lines.
                waiting.update((each.places[0], each) for each in events.one_by_one())
                continue
            text = self._rows.write(events)
            self._result.lines_out += len(events.places)
            if len(events.places) == len(lines):
                self._output.write(text)
                return
            rows.update(zip(events.places, BytesIO(text), strict=True))
        for place, line in enumerate(lines):
            row = rows.get(place)
            if row is None:
                row = self._row(line, waiting.get(place), first_line + place)
            self._output.write(row)

    def _row(self, line: bytes, event: Events | None, number: int) -> bytes:
        """Write one line by itself, from its event if it was read already; return nothing if there is no row."""
        if event is None and not line.strip(b" \t\r\n"):
            self._result.blank += 1
            return b""
        try:
            reading = read_event(line.removesuffix(b"\n")) if event is None else ReadLine(event)
            row = self._rows.write(reading.event)
        except RejectedLineError as error:
            self._result.rejected[error.reason] += 1
            self._rejects.write(reject_line(number, error.reason, line.removesuffix(b"\n")))
            return b""
        self._result.lines_out += 1
        self._result.exact_path_lines += reading.exact
        self._result.nul_bytes += reading.nul_bytes
        self._result.syslog_prefixes += reading.syslog_prefix
        return row
