"""Writes the output: events as lines, the keys that turn up late in a log, and gzip of all that.

A line is a JSON object with all keys known by then, `null` if the event has none. The bytes of the gzip depend on its
content alone.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import orjson
from isal import isal_zlib

from edxorg.lib.tracking_log.fast_path import MAX_KEYS, Frame
from edxorg.lib.tracking_log.log_rejects import LineRejectReason, RejectedLineError
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edxorg.lib.tracking_log.fast_path import Events

MAX_KEY_BYTES = 256
"""Limit of a top-level key: every line of the day repeats it, and downstream it names a column."""

_MAX_TEMPLATES = 256

PIECE_BYTES = 1 << 20
"""Bytes that are packed at once."""

_LEVEL = 2
"""Compression level of isal, 0 to 3: as fast as 1 and a little smaller; 3 takes three times as long."""


class Rows:
    """Writes events; the keys that they bring are added to those known."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Start with the keys known so far, in order of first appearance."""
        self.columns = list(columns)
        self._templates: dict[tuple[str, ...], _Template] = {}

    @property
    def least_bytes(self) -> int:
        """Return about the bytes of a line with all known keys, more than 0."""
        return len("{}\n") + sum(len(key) + len('"":null,') for key in self.columns)

    def brought_by(self, events: Events) -> list[str]:
        """Return the keys of events that are not known yet."""
        return [] if events.keys in self._templates else [key for key in events.keys if key not in self.columns]

    def write(self, events: Events) -> bytes:
        """Return the lines, each with its LF. Keys that they bring are in all of them, and in all lines after them.

        Raises:
            RejectedLineError: A new key is too long, or there are too many.
        """
        template = self._templates.get(events.keys)
        if template is None:
            brought = self.brought_by(events)
            self._check_keys(brought)
            if brought or len(self._templates) == _MAX_TEMPLATES:
                self._templates.clear()
            self.columns += brought
            template = self._templates[events.keys] = _template(events.keys, self.columns)
        return template.frame.lines([events.columns[place] for place in template.order])

    def _check_keys(self, brought: list[str]) -> None:
        if len(self.columns) + len(brought) > MAX_KEYS:
            raise RejectedLineError(LineRejectReason.TOO_MANY_KEYS)
        if any(len(key.encode()) > MAX_KEY_BYTES for key in brought):
            raise RejectedLineError(LineRejectReason.KEY_TOO_LONG)


class _Template(NamedTuple):
    """The frame of events with the same keys."""

    order: list[int]
    """The order of their values."""
    frame: Frame


def _template(keys: Sequence[str], columns: Sequence[str]) -> _Template:
    places = {key: place for place, key in enumerate(keys)}
    order: list[int] = []
    around = [b"{"]
    for number, column in enumerate(columns):
        around[-1] += (b"," if number else b"") + orjson.dumps(column) + b":"
        if column in places:
            order.append(places[column])
            around.append(b"")
        else:
            around[-1] += b"null"
    around[-1] += b"}"
    return _Template(order, Frame(around))


def bytes_of_nulls(keys: Sequence[str]) -> int:
    """Return the number of bytes that `null` for each of some keys adds to a line."""
    return sum(len(_member(key)) + len(",") for key in keys)


def _member(key: str) -> bytes:
    return orjson.dumps(key) + b":null"


def with_late_keys(packed: bytes, keys: Sequence[str], width: int) -> Iterator[bytes]:
    """Unpack lines, with `null` for each of some keys at their ends.

    Args:
        packed: The gzip member of a block.
        keys: The keys that its lines lack; there may be none.
        width: The number of keys that they have.

    Yields:
        The lines' bytes in pieces, to which no more than `PIECE_BYTES` were added, or the keys of one line.
    """
    if not keys:
        yield from gunzip([packed])
        return
    members = b",".join(map(_member, keys))
    ending = (b"," if width else b"") + members + b"}\n"
    most_lines = max(PIECE_BYTES // len(ending), 1)
    rest = b""
    for unpacked in gunzip([packed]):
        lines = BytesIO(rest + unpacked).readlines()
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for start in range(0, len(lines), most_lines):
            # A line ends with the brace that closes it.
            yield ending.join([*[line[: -len("}\n")] for line in lines[start : start + most_lines]], b""])


class GzipMember:
    """Packs one gzip member. Equal content gives equal bytes, whatever the sizes of the writes."""

    def __init__(self) -> None:
        """Begin an empty member; `finish` returns no bytes at all if nothing is written."""
        self._compressor = isal_zlib.compressobj(_LEVEL, wbits=31)
        self._waiting = bytearray()
        self._packed: list[bytes] = []
        self.bytes_written = 0
        """Bytes before compression."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        # Copied at once: many small results of orjson, kept, take a kilobyte each.
        self._waiting += data
        self.bytes_written += len(data)
        if len(self._waiting) >= PIECE_BYTES:
            self._pack()

    def _pack(self) -> None:
        # isal's output depends on how its input is cut, so it is always cut at the same places.
        end = len(self._waiting) - len(self._waiting) % PIECE_BYTES
        with memoryview(self._waiting) as waiting:
            for start in range(0, end, PIECE_BYTES):
                self._packed.append(self._compressor.compress(waiting[start : start + PIECE_BYTES]))
        del self._waiting[:end]

    def take(self) -> bytes:
        """Return the bytes that were packed since the last call."""
        packed = b"".join(self._packed)
        self._packed.clear()
        return packed

    def finish(self) -> bytes:
        """Return the rest of the member, or all of it if `take` was never called; nothing if nothing was written."""
        if not self.bytes_written:
            return b""
        self._packed += (self._compressor.compress(self._waiting), self._compressor.flush())
        return self.take()
