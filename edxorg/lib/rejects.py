"""Writes a record or a line that is set aside, as one JSON object on a line."""

from __future__ import annotations

from base64 import b64encode

import orjson


def reject_line(line: int, reason: str, raw: bytes, **facts: object) -> bytes:
    """Return a reject: its `line`, the `reason`, `raw`, or `raw_base64` if that is no UTF-8, and then the facts."""
    try:
        text = {"raw": raw.decode()}
    except UnicodeDecodeError:
        text = {"raw_base64": b64encode(raw).decode()}
    return orjson.dumps({"line": line, "reason": reason, **text, **facts}, option=orjson.OPT_APPEND_NEWLINE)
