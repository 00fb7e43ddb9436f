"""Reads one line of a tracking log: the event in it, as text by key, or the reason why it has none.

Parsers turn numbers into floats, merge repeated keys and need up to forty times the text's size in memory. This
reader finds the top-level members of an object as slices of its own text. It only finds the end of each value, so it
keeps every digit, and nothing but the stack of open brackets grows with the text.
"""

from __future__ import annotations

import json
import re
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import orjson

from edxorg.lib.tracking_log.event_time import utc_from_number, utc_from_text
from edxorg.lib.tracking_log.fast_path import MAX_KEYS, NULL, TIME, Events, read_quickly
from edxorg.lib.tracking_log.log_rejects import LineRejectReason, RejectedLineError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
_KEY = _SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":"

_OPEN = re.compile(_SPACE + rb"\{")
_FIRST_KEY = re.compile(_KEY)
_NEXT_KEY = re.compile(_SPACE + rb"," + _KEY)
_CLOSE = re.compile(_SPACE + rb"\}" + _SPACE)
_INDENT = re.compile(_SPACE)

# The groups tell which bracket a match leaves open: an array's, or that of an object whose first key was read.
_VALUE = re.compile(
    _SPACE
    + rb"(?:"
    + rb"|".join((_STRING, _NUMBER, rb"true|false|null", rb"\[" + _SPACE + rb"\]", rb"\{" + _SPACE + rb"\}"))
    + rb"|(\[)|(\{)"
    + _KEY.replace(b"(", b"(?:", 1)
    + rb")"
)
# A group takes part where another value follows.
_AFTER_VALUE = {
    1: re.compile(_SPACE + rb"(?:(,)|\])"),
    2: re.compile(_SPACE + rb"(?:(,)" + _KEY + rb"|\})"),
}


class NotAnObjectError(ValueError):
    """The text is not one JSON object."""


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
    if prefix:
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


def top_level_members(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read an object's members in order, repeated keys included.

    The whole grammar of JSON (RFC 8259) is checked, but not that the text is UTF-8.

    Args:
        text: One JSON object, with nothing but white space around it.

    Yields:
        The key's and the value's own text; the key's with its quotes, both with their escapes.

    Raises:
        NotAnObjectError: The text is something else. Members before the error may have been yielded by then.
    """
    opened = _OPEN.match(text)
    if opened is None:
        raise NotAnObjectError
    at = opened.end()
    key = _FIRST_KEY.match(text, at)
    while key is not None:
        start = key.end()
        at = _end_of_value(text, start)
        indent = _INDENT.match(text, start)
        yield key[1], text[indent.end() if indent else start : at]
        key = _NEXT_KEY.match(text, at)
    if not _CLOSE.fullmatch(text, at):
        raise NotAnObjectError


def _end_of_value(text: bytes, at: int) -> int:
    """Return the end of the value that starts at this place, perhaps after white space."""
    open_brackets = bytearray()
    while True:
        value = _VALUE.match(text, at)
        if value is None:
            raise NotAnObjectError
        at = value.end()
        if value.lastindex:
            open_brackets.append(value.lastindex)
            continue
        while open_brackets:
            after = _AFTER_VALUE[open_brackets[-1]].match(text, at)
            if after is None:
                raise NotAnObjectError
            at = after.end()
            if after.lastindex:
                break
            open_brackets.pop()
        else:
            return at
