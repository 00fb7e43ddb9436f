"""Events in the layouts that most lines of a day share: the same keys, in the same order, spelled by the same writer.

A parser that builds nothing finds the values' own texts. Put together again in their layout they must be the line,
byte by byte, or else the parser dropped something: a repeated key, or white space where no writer puts it. Most
values are then strings without escapes, and are the same text in the output; which ones are not is remembered.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson

from edxorg.lib.tracking_log.event_time import utc_from_json

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME = "time"

MAX_KEYS = 500
"""Distinct top-level keys of a day, and so of a line."""

QUICK_BYTES = 1 << 20
"""Longer lines are never handed to a parser that holds the whole of them."""

JSONString = bytes | msgspec.Raw
"""The text of a string in JSON: with quotes, and with no more escapes than there must be."""

_MAX_LAYOUTS = 256
_MAX_LAYOUT_BYTES = 32 << 10
_QUOTE, _BACKSLASH = b'"\\'

_texts_by_key = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Event(NamedTuple):
    """The members of an event, as text, in the line's order.

    A string is as it is, anything else has become a string of its own JSON text, `null` too; `time` is
    `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
    """

    keys: tuple[str, ...]
    values: Sequence[JSONString]


def read_quickly(line: bytes) -> Event | None:
    """Read a line that has one of the usual layouts, and nothing in it that a parser refuses or changes.

    Returns:
        The event, or None: such a line is to be read exactly.
    """
    if len(line) > QUICK_BYTES:
        return None
    try:
        if not line.isascii():
            line.decode()  # the parser does not look into strings
        texts = _texts_by_key(line)
        if len(texts) > MAX_KEYS:
            return None
        keys = tuple(texts)
        layout = _layouts.get(keys) or _new_layout(keys)
        values = layout.values(line, list(texts.values()))
    except (ValueError, RecursionError):
        return None
    return None if values is None else Event(keys, values)


class _Layout:
    """What stands around the values of objects with the same keys, and what is to be done with the values."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._around = _around_values(keys, comma=b", ", colon=b": ")
        self._otherwise = _around_values(keys, comma=b",", colon=b":")
        self._time = keys.index(TIME) if TIME in keys else None
        self._width = len(keys)
        self._set_special(set())
        self.size = sum(map(len, self._around))

    def values(self, line: bytes, texts: list[JSONString]) -> list[JSONString] | None:
        """Turn the values' own texts into what is written; None if the line is not what the parser says.

        Raises:
            ValueError: A string has a lone surrogate.
        """
        if not self._is_put_together(line, texts):
            return None
        if self._plain is not None:
            # No value has a raw LF, and only strings begin and end with a quote: these all are, if two quotes stand at
            # each LF.
            plain = b"\n".join(self._plain(texts))
            if _BACKSLASH in plain or plain.count(b'"\n"') != self._joints:
                self._set_special({*self._special, *_places_of_others(texts)})
        for place in self._special:
            text = bytes(texts[place])
            if text[0] != _QUOTE:
                texts[place] = orjson.dumps(text.decode())
            elif _BACKSLASH in text:
                texts[place] = orjson.dumps(orjson.loads(text))
        if self._time is not None:
            time = utc_from_json(bytes(texts[self._time]))
            if time is None:
                return None
            texts[self._time] = time
        return texts

    def _is_put_together(self, line: bytes, texts: list[JSONString]) -> bool:
        if _filled(self._around, texts) == line:
            return True
        if _filled(self._otherwise, texts) != line:
            return False
        self._around, self._otherwise = self._otherwise, self._around
        return True

    def _set_special(self, places: set[int]) -> None:
        """Remember which values may need work, beside the time."""
        plain = [place for place in range(self._width) if place not in places and place != self._time]
        if len(plain) == 1:  # of which `itemgetter` makes no tuple
            places.add(plain.pop())
        self._special = sorted(places - {self._time})
        self._plain = itemgetter(*plain) if plain else None
        self._joints = len(plain) - 1


_layouts: dict[tuple[str, ...], _Layout] = {}


def _new_layout(keys: tuple[str, ...]) -> _Layout:
    layout = _Layout(keys)
    if len(_layouts) == _MAX_LAYOUTS:
        _layouts.clear()
    if layout.size <= _MAX_LAYOUT_BYTES:
        _layouts[keys] = layout
    return layout


def _around_values(keys: tuple[str, ...], *, comma: bytes, colon: bytes) -> list[bytes]:
    """The pieces of an object's text, with an empty one in the place of each value."""
    pieces = []
    for number, key in enumerate(keys):
        pieces += [(comma if number else b"{") + orjson.dumps(key) + colon, b""]
    return [*pieces, b"}" if keys else b"{}"]


def _filled(around: list[bytes], texts: list[JSONString]) -> bytes:
    pieces: list[JSONString] = [*around]
    pieces[1::2] = texts
    return b"".join(pieces)


def _places_of_others(texts: list[JSONString]) -> list[int]:
    """Where the values are that are no strings, or strings with escapes."""
    return [place for place, text in enumerate(map(bytes, texts)) if text[0] != _QUOTE or _BACKSLASH in text]
