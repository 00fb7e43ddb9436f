"""Events in the layouts that most lines of a day share: the same keys, in the same order, spelled by the same writer.

A parser that builds nothing finds the values' own texts. Lines with the same keys are then looked at together, and
their values column by column: most columns hold strings without escapes, which are the same text in the output, and
those that do not are turned into strings by one call for all. All put together again in their layout must be the
lines, byte by byte, or else the parser dropped something: a repeated key, or white space where no writer puts it.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import orjson

from edxorg.lib.tracking_log.event_time import utc_from_json

if TYPE_CHECKING:
    from collections.abc import Sequence, ValuesView

TIME = "time"

MAX_KEYS = 500
"""Distinct top-level keys of a day, and so of a line."""

QUICK_BYTES = 1 << 20
"""Longer lines are never handed to a parser that holds the whole of them."""

JSONString = bytes | msgspec.Raw
"""The text of a string in JSON: with quotes, and with no more escapes than there must be."""

_QUOTE, _BACKSLASH, _SPACE = b'"\\ '

_OTHER_BEHIND = re.compile(rb'\n(?!")')
_STRING_BEHIND = re.compile(rb'\n(?=")')

_texts_by_key = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Event(NamedTuple):
    """The members of an event, as text, in the line's order.

    A string is as it is, anything else has become a string of its own JSON text, `null` too; `time` is
    `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
    """

    keys: tuple[str, ...]
    values: Sequence[JSONString]


_Texts: TypeAlias = "list[ValuesView[msgspec.Raw]]"
"""The values' own texts, line by line."""


def read_quickly(lines: Sequence[bytes]) -> list[Event | None]:
    """Read lines that have nothing in them that a parser refuses or changes.

    Returns:
        The event of each line, or None: such a line is to be read exactly.
    """
    events: list[Event | None] = [None] * len(lines)
    alike: dict[tuple[tuple[str, ...], bool], tuple[list[int], _Texts]] = {}
    for place, line in enumerate(lines):
        if len(line) > QUICK_BYTES:
            continue
        try:
            if not line.isascii():
                line.decode()  # the parser does not look into strings
            members = _texts_by_key(line)
        except (ValueError, RecursionError):
            continue
        if not 0 < len(members) <= MAX_KEYS:
            continue
        keys = tuple(members)
        spelling = keys, line[len(keys[0]) + len('{"":')] == _SPACE
        group = alike.get(spelling)
        if group is None:
            group = alike[spelling] = ([], [])
        group[0].append(place)
        group[1].append(members.values())
    for (keys, spaced), (places, texts) in alike.items():
        layout = _Layout(keys, spaced=spaced)
        for place, values in zip(places, layout.values([lines[place] for place in places], texts), strict=True):
            events[place] = None if values is None else Event(keys, values)
    return events


class _Layout:
    """Keys, and how they are set off."""

    def __init__(self, keys: tuple[str, ...], *, spaced: bool) -> None:
        comma, colon = (b", ", b": ") if spaced else (b",", b":")
        self._keys = keys
        self._around = [part for name in _dumped(list(keys)) for part in (comma + name + colon, b"")]
        self._around[0] = b"}\n{" + self._around[0].removeprefix(comma)

    def values(self, lines: list[bytes], texts: _Texts) -> list[Sequence[JSONString] | None]:
        """What is written of lines; None for those that have to be read exactly."""
        try:
            if self._put_together(texts) == b"\n".join(lines):
                return self._written(texts)
        except ValueError:
            pass  # there is a lone surrogate in one of them
        if len(lines) == 1:
            return [None]
        middle = len(lines) // 2
        return self.values(lines[:middle], texts[:middle]) + self.values(lines[middle:], texts[middle:])

    def _put_together(self, texts: _Texts) -> bytes:
        """The lines that have these members and nothing else, with LFs between."""
        pieces: list[JSONString] = [*self._around * len(texts), b"}"]
        pieces[0] = self._around[0].removeprefix(b"}\n")
        pieces[1::2] = chain.from_iterable(texts)
        return b"".join(pieces)

    def _written(self, texts: _Texts) -> list[Sequence[JSONString] | None]:
        columns: list[Sequence[JSONString]] = []
        times: list[bytes] = []
        for key, column in zip(self._keys, zip(*texts, strict=True), strict=True):
            if key == TIME:
                times = utc_from_json(b"%b\n" % b"\n".join(column))
                columns.append(times)
            else:
                columns.append(_strings(column))
        rows = zip(*columns, strict=True)
        return list(rows) if all(times) else [row if time else None for row, time in zip(rows, times, strict=True)]


def _strings(column: Sequence[JSONString]) -> Sequence[JSONString]:
    """Make strings of the values of one key.

    Raises:
        ValueError: A string has a lone surrogate.
    """
    # No value has a raw LF, and only strings begin with a quote.
    text = b"\n".join(column)
    if text[0] == _QUOTE and _BACKSLASH not in text and _OTHER_BEHIND.search(text) is None:
        return column
    if text[0] != _QUOTE and _STRING_BEHIND.search(text) is None:
        return _dumped(text.decode().split("\n"))
    values = text.split(b"\n")
    others = [place for place, value in enumerate(values) if value[0] != _QUOTE]
    escaped = [place for place, value in enumerate(values) if value[0] == _QUOTE and _BACKSLASH in value]
    strings = [values[place].decode() for place in others]
    strings += orjson.loads(b"[%b]" % b",".join([values[place] for place in escaped]))
    for place, string in zip(others + escaped, _dumped(strings), strict=True):
        values[place] = string
    return values


def _dumped(strings: list[str]) -> list[bytes]:
    """Strings as JSON, by one call: a call takes longer than most strings do."""
    # White space between them holds the only raw LFs.
    return orjson.dumps(strings, option=orjson.OPT_INDENT_2)[4:-2].split(b",\n  ") if strings else []
