"""Adds the keys that turn up late in a log to the lines before them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import orjson

from edxorg.lib.tracking_log.gzip_stream import PIECE_BYTES
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
