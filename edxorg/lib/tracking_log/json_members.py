"""Finds the top-level members of a JSON object as slices of its own text.

Parsers turn numbers into floats, merge repeated keys and need up to forty times the text's size in memory. This
reader only finds the end of each value, so it keeps every digit, and nothing but the stack of open brackets grows
with the text. It checks the whole of the JSON grammar (RFC 8259), but not that the text is UTF-8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    2: re.compile(_SPACE + rb"(?:(,)" + _KEY.replace(b"(", b"(?:", 1) + rb"|\})"),
}


class NotAnObjectError(ValueError):
    """The text is not one JSON object."""


def top_level_members(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read an object's members in order, repeated keys included.

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
