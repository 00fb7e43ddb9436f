"""Reads one line of a tracking log: the event in it, as text by key, or the reason why it has none."""

from __future__ import annotations

import json
import re
from collections import deque
from itertools import islice
from typing import NamedTuple

import orjson

from edxorg.lib.tracking_log.event_time import utc_from_number, utc_from_text
from edxorg.lib.tracking_log.json_members import NotAnObjectError, top_level_members
from edxorg.lib.tracking_log.layout import MAX_KEYS, NULL, TIME, Events, read_quickly
from edxorg.lib.tracking_log.rejects import LineRejectReason, RejectedLineError

MAX_LINE_BYTES = 16 << 20
"""Limit of a line, in and out. Readers have limits too: DuckDB's is 16 MiB by default."""

_BOM = b"\xef\xbb\xbf"

_COLORS = rb"(?:\x1b\[[0-9;]{0,16}+m){0,4}+"
_CONTAINER = rb"[ \t]{0,64}+".join((_COLORS, rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}+", _COLORS, rb"\|", _COLORS, b""))
_POD = rb"\[[a-z]{1,16}+(?:/[a-z0-9.-]{1,253}+){1,2}+\][ ]"
# RFC 3164 and RFC 5424 alike: a time, then the host and the like up to the object.
_SYSLOG = (
    rb"(?:<[0-9]{1,3}>[0-9]{0,2}[ ]?)?"
    rb"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[ ]{1,2}[0-9]{1,2}[ ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[^ {]{0,16})"
    rb"[ ][^{]{0,1000}+"
)
_PREFIX = re.compile(rb"[ \t]*+(?:%b|%b)?(?:%b)?(?=\{)" % (_CONTAINER, _POD, _SYSLOG))
"""The prefix that Docker Compose (`lms_1 | `), kubectl (`[pod/lms-0/lms] `) or syslog puts before the object, or white
space."""


class ReadLine(NamedTuple):
    """The event of a line, and how it was read."""

    event: Events
    """A single event."""
    exact: bool = False
    """True if a JSON parser would have refused the line, or changed a value."""
    nul_bytes: bool = False
    """True if NUL bytes stood before the object."""
    syslog_prefix: bool = False
    """True if a syslog or container prefix stood before the object."""


def read_event(line: bytes) -> ReadLine:
    """Read any line, without its LF.

    White space around the object is dropped, and before it a byte order mark, NUL bytes, and a syslog or container
    prefix.

    Raises:
        RejectedLineError: The line has no event, or an unreadable time, or its output would be too long.
    """
    line = line.removeprefix(_BOM)
    content = line.lstrip(b"\0")
    nul_bytes = len(content) < len(line)
    prefix = _PREFIX.match(content)
    before = prefix[0].strip(b" \t") if prefix else b""
    if before and prefix:
        content = content[prefix.end() :]
    content = content.strip(b" \t\r")
    if not content.startswith(b"{"):
        # A line that begins otherwise is not worth a parser's time.
        raise RejectedLineError(LineRejectReason.NO_OBJECT if _is_utf8(content) else LineRejectReason.INVALID_UTF8)
    found = read_quickly([content + b"\n"])
    event = found[0] if found else _read_exactly(content)
    return ReadLine(event, exact=not found, nul_bytes=nul_bytes, syslog_prefix=bool(before))


def _read_exactly(line: bytes) -> Events:
    if not _is_utf8(line):
        raise RejectedLineError(LineRejectReason.INVALID_UTF8)
    try:
        found = top_level_members(line)
        # One more than can be is enough to see that there are too many; the rest must still be JSON.
        members = list(islice(found, MAX_KEYS + 1))
        deque(found, maxlen=0)
    except NotAnObjectError as error:
        raise RejectedLineError(LineRejectReason.NO_OBJECT) from error
    values: dict[str, str | None] = {}
    for key_text, text in members:
        key = _string(key_text)
        if key in values:
            raise RejectedLineError(LineRejectReason.REPEATED_KEY)
        quoted = text.startswith(b'"')
        value = _string(text) if quoted else text.decode()
        if key == TIME:
            time = utc_from_text(value) if quoted else utc_from_number(value)
            if time is None:
                raise RejectedLineError(LineRejectReason.UNREADABLE_TIME)
            value = time
        values[key] = None if text == NULL else value
    texts = list(map(orjson.dumps, values.values()))
    # Keys of other lines do not count, since a line's outcome must not depend on them.
    length = sum(len(orjson.dumps(key)) + len(":,") + len(text) for key, text in zip(values, texts, strict=True))
    if len("{}") + length - 1 > MAX_LINE_BYTES:
        raise RejectedLineError(LineRejectReason.TOO_LONG)
    return Events([0], tuple(values), [[text] for text in texts])


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _string(text: bytes) -> str:
    value: str = json.loads(text)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RejectedLineError(LineRejectReason.LONE_SURROGATE) from error
    return value
