"""Writes the lines that are set aside, as one JSON object each.

Keys: `line`, counted from 1; `reason`; `raw`, the line without its LF, or `raw_base64` if it is no UTF-8. A line
over 16 MiB is cut to its first 64 KiB, and has `length` (bytes) and `sha256` of the whole one as well.
"""

from __future__ import annotations

import base64
import codecs
from enum import StrEnum

import orjson

EXCERPT_BYTES = 64 << 10
"""Bytes that a reject keeps of a line that is too long for the rejects."""


class LineRejectReason(StrEnum):
    """The reason why a line was set aside, spelled as in the rejects."""

    NO_OBJECT = "no_json_object"
    INVALID_UTF8 = "invalid_utf8"
    REPEATED_KEY = "repeated_key"
    LONE_SURROGATE = "lone_surrogate"
    UNREADABLE_TIME = "unreadable_time"
    TOO_MANY_KEYS = "too_many_keys"
    KEY_TOO_LONG = "key_too_long"
    TOO_LONG = "too_long"


class RejectedLineError(ValueError):
    """A line that holds no event that can be delivered."""

    def __init__(self, reason: LineRejectReason) -> None:
        super().__init__(reason)
        self.reason = reason


def excerpt_row(line: int, excerpt: bytes, *, length: int, sha256: str) -> bytes:
    """Return the reject of a line of which only the first `EXCERPT_BYTES` are at hand."""
    row = {"line": line, "reason": LineRejectReason.TOO_LONG, "length": length, "sha256": sha256}
    try:
        # The decoder leaves out a character that the cut went through.
        row["raw"] = codecs.getincrementaldecoder("utf-8")().decode(excerpt)
    except UnicodeDecodeError:
        row["raw_base64"] = base64.b64encode(excerpt).decode()
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
