"""One line of a tracking log: the event in it, as text by key, or the reason why it has none."""

from __future__ import annotations

import json
import re
from collections import deque
from itertools import compress, islice
from typing import TYPE_CHECKING, NamedTuple, cast

import orjson

from edxorg.lib.tracking_log.event_time import utc_from_number, utc_from_text
from edxorg.lib.tracking_log.json_members import NotAnObjectError, top_level_members
from edxorg.lib.tracking_log.rejects import Reason, RejectedLineError

if TYPE_CHECKING:
    from collections.abc import Callable

TIME = "time"

MAX_KEYS = 500
"""Distinct top-level keys of a day, and so of a line."""

QUICK_BYTES = 1 << 20
"""Longer lines are never handed to a parser: what it builds can take forty times the line's size."""

_BOM = b"\xef\xbb\xbf"

_SYSLOG_PREFIX = re.compile(
    rb"[ \t]*(?:<[0-9]{1,3}>[0-9]{0,2}[ ]?)?"
    rb"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[ ]{1,2}[0-9]{1,2}[ ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[^ {]{0,16})"
    rb"[ ][^{]{0,1000}(?=\{)"
)
"""RFC 3164 and RFC 5424 alike: a time, then the host and the like up to the object."""


def _others_finder() -> Callable[[bytes], list[bytes]]:
    """What gives, for each top-level member of an object, its value's text, or nothing if that is a string.

    For text that is known to be JSON. A value that is nested too deep for the pattern takes the rest of the line with
    it, and has no text.
    """
    deepest = 7
    # Twice as fast as looking at each character: a quote ends a string unless a backslash stands before it, and is
    # part of the string if that is a single one. Only before several backslashes must they be counted from the start.
    any_string = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    string = rb'(?:"[^"]*+"(?:(?<!\\")|(?:(?<=[^\\]\\")[^"]*+")++(?<!\\"))|' + any_string + rb")"
    between = rb'[^"\[\]{}]*+'
    nested = rb"[\[{]" + between + rb"(?:" + string + between + rb")*+[\]}]"
    for _ in range(deepest - 1):
        nested = rb"[\[{]" + between + rb"(?:(?:" + string + rb"|" + nested + rb")" + between + rb")*+[\]}]"
    key = string + rb"(?:: |[ \t\r]*+:[ \t\r]*+)"
    return re.compile(key + rb"(?:" + string + rb"|(" + nested + rb"|[-+.0-9A-Za-z]++)|.++)").findall


_find_others = _others_finder()


class Reading(NamedTuple):
    """An event, and what it took to read it."""

    values: dict[str, str]
    """By top-level key, in the line's order: a string as it is, anything else as its own JSON text, `null` too;
    `time` as `YYYY-MM-DD HH:MM:SS.ffffff` in UTC."""
    exact: bool
    """A JSON parser could not be used: it would have refused the line, or changed a value."""
    syslog_prefix: bool


def read_quickly(line: bytes) -> dict[str, str] | None:
    """Read a line with a parser, if that loses nothing.

    Returns:
        The values as in `Reading`, or None: such a line is for `read_event`.
    """
    if len(line) > QUICK_BYTES:
        return None
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if event.__class__ is not dict:
        return None
    others = _find_others(line)
    if len(others) != len(event):  # a repeated key
        return None
    if others and not others[-1] and next(reversed(event.values())).__class__ is not str:  # nested too deep
        return None
    time = event.get(TIME)
    for key, text in zip(compress(event, others), filter(None, others), strict=True):
        event[key] = text.decode()
    if TIME in event:
        event[TIME] = utc_from_text(time) if time.__class__ is str else utc_from_number(event[TIME])
        if event[TIME] is None:
            return None
    return cast("dict[str, str]", event)


def read_event(line: bytes) -> Reading:
    """Read any line, without its LF.

    A byte order mark and a syslog prefix before the object are dropped.

    Raises:
        RejectedLineError: There is no event in it, or not one whose time can be read.
    """
    line = line.removeprefix(_BOM)
    prefix = _SYSLOG_PREFIX.match(line)
    if prefix is not None:
        line = line[prefix.end() :]
    values = read_quickly(line)
    if values is not None:
        return Reading(values, exact=False, syslog_prefix=prefix is not None)
    return Reading(_read_exactly(line), exact=True, syslog_prefix=prefix is not None)


def _read_exactly(line: bytes) -> dict[str, str]:
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
    return values


def _string(text: bytes) -> str:
    value: str = json.loads(text)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RejectedLineError(Reason.LONE_SURROGATE) from error
    return value
