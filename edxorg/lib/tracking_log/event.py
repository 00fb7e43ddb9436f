"""One line of a tracking log: the event in it, as text by key, or the reason why it has none."""

from __future__ import annotations

import json
import re
from collections import deque
from itertools import islice
from typing import NamedTuple

import orjson

from edxorg.lib.tracking_log.event_time import utc_from_number, utc_from_text
from edxorg.lib.tracking_log.json_members import NotAnObjectError, top_level_members
from edxorg.lib.tracking_log.layout import MAX_KEYS, TIME, Events, read_quickly
from edxorg.lib.tracking_log.rejects import Reason, RejectedLineError

MAX_LINE_BYTES = 16 << 20
"""Of a line, in and out. Readers have limits too: DuckDB's is 16 MiB unless told otherwise."""

_BOM = b"\xef\xbb\xbf"

_SYSLOG_PREFIX = re.compile(
    rb"[ \t]*(?:<[0-9]{1,3}>[0-9]{0,2}[ ]?)?"
    rb"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[ ]{1,2}[0-9]{1,2}[ ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[^ {]{0,16})"
    rb"[ ][^{]{0,1000}(?=\{)"
)
"""RFC 3164 and RFC 5424 alike: a time, then the host and the like up to the object."""


class Reading(NamedTuple):
    """An event, and what it took to read it."""

    event: Events
    """One."""
    exact: bool = False
    """A JSON parser could not be used: it would have refused the line, or changed a value."""
    syslog_prefix: bool = False


def read_event(line: bytes) -> Reading:
    """Read any line, without its LF.

    White space around the object is dropped, and a byte order mark and a syslog prefix before it.

    Raises:
        RejectedLineError: There is no event in it, or its time cannot be read, or it would be too long.
    """
    line = line.removeprefix(_BOM)
    prefix = _SYSLOG_PREFIX.match(line)
    if prefix is not None:
        line = line[prefix.end() :]
    found = read_quickly([line.strip(b" \t\r") + b"\n"])
    event = found[0] if found else _read_exactly(line)
    return Reading(event, exact=not found, syslog_prefix=prefix is not None)


def _read_exactly(line: bytes) -> Events:
    try:
        line.decode()
        found = top_level_members(line)
        # One more than can be is enough to see that there are too many; the rest must still be JSON.
        members = list(islice(found, MAX_KEYS + 1))
        deque(found, maxlen=0)
    except UnicodeDecodeError as error:
        raise RejectedLineError(Reason.INVALID_UTF8) from error
    except NotAnObjectError as error:
        raise RejectedLineError(Reason.NO_OBJECT) from error
    values: dict[str, str] = {}
    for key_text, text in members:
        key = _string(key_text)
        if key in values:
            raise RejectedLineError(Reason.REPEATED_KEY)
        quoted = text.startswith(b'"')
        value = _string(text) if quoted else text.decode()
        if key == TIME:
            time = utc_from_text(value) if quoted else utc_from_number(value)
            if time is None:
                raise RejectedLineError(Reason.UNREADABLE_TIME)
            value = time
        values[key] = value
    texts = list(map(orjson.dumps, values.values()))
    # Without the keys of others, on which a line's fate must not hang.
    length = sum(len(orjson.dumps(key)) + len(":,") + len(text) for key, text in zip(values, texts, strict=True))
    if len("{}") + length - 1 > MAX_LINE_BYTES:
        raise RejectedLineError(Reason.TOO_LONG)
    return Events([0], tuple(values), [[text] for text in texts])


def _string(text: bytes) -> str:
    value: str = json.loads(text)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RejectedLineError(Reason.LONE_SURROGATE) from error
    return value
