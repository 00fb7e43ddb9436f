"""Reads together the lines that share a layout: the same keys, in the same order, spelled by the same writer.

A parser that builds nothing finds the values' own texts. Lines with the same keys are then read together, column by
column: most columns hold strings without escapes, which are the same text in the output, and all values of another
column are turned into strings by one call. Put together again in their layout, the values must give the lines byte by
byte; otherwise the parser dropped a repeated key, or white space where no writer puts it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import orjson

from edxorg.lib.tracking_log.event_time import utc_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIME = "time"

MAX_KEYS = 500
"""Limit of the distinct top-level keys of a day, and so of a line."""

MAX_ODD_LINES = 64
"""Limit of the lines that are searched for because they are not like the others with the same keys."""

QUICK_BYTES = 1 << 20
"""Longer lines are never given to a parser that holds them whole."""

_QUOTE, _BACKSLASH, _SPACE = b'"\\ '

NULL = b"null"
"""The text of null in JSON, in and out."""

_AS_THEY_ARE = b'"n'
_OTHER_BEHIND = re.compile(rb'\n(?!["n])')
"""A value that is neither a string nor `null`, the only value that begins with that letter."""

_texts_by_key = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


JSONText: TypeAlias = bytes | msgspec.Raw
"""The text of a value: bytes of its own, or a part of the line that it was found in."""


class Frame:
    """The text around the values of a line."""

    def __init__(self, around: Sequence[bytes]) -> None:
        """Take the n + 1 texts before, between and behind the n values of a line, without a LF."""
        first, *between = around
        self._first, self._last = first, around[-1] + b"\n"
        self._pieces = [piece for text in [self._last + first, *between] for piece in (text, b"")][:-2]

    def lines(self, columns: Sequence[Sequence[JSONText]]) -> bytes:
        """Return the lines that have these values, each with its LF.

        Args:
            columns: For each value of the frame, its texts in all lines; a frame without values makes one line.
        """
        if not columns:
            return self._last
        # One join of all pieces takes a third of the time that a join for each line takes.
        pieces: list[JSONText] = [*self._pieces * len(columns[0]), self._last]
        pieces[0] = self._first
        for number, column in enumerate(columns):
            pieces[2 * number + 1 :: len(self._pieces)] = column
        return b"".join(pieces)


class Events(NamedTuple):
    """Events that have the same keys in the same order."""

    places: Sequence[int]
    """Numbers of the events' lines among all lines that were read."""
    keys: tuple[str, ...]
    columns: Sequence[Sequence[JSONText]]
    """For each key, the values of all events as strings in JSON, with only the necessary escapes.

        A string and `null` stay the same, any other value has become a string of its own JSON text; `time` is
        `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
    """

    def one_by_one(self) -> Iterator[Events]:
        """Yield each event by itself."""
        for number, place in enumerate(self.places):
            yield Events([place], self.keys, [[column[number]] for column in self.columns])


def read_quickly(lines: Sequence[bytes]) -> list[Events]:
    """Read the lines that a parser neither refuses nor changes.

    Args:
        lines: Lines with their LFs, and no other white space around the object.

    Returns:
        Their events, grouped by layout. A line that is not among their places is to be read exactly.
    """
    alike: dict[tuple[str, ...], tuple[list[int], list[msgspec.Raw]]] = {}
    for place, line in enumerate(lines):
        if len(line) > QUICK_BYTES:
            continue
        try:
            members = _texts_by_key(line)
        except (ValueError, RecursionError):
            continue
        keys = tuple(members)
        group = alike.get(keys)
        if group is None:
            group = alike[keys] = ([], [])
        group[0].append(place)
        group[1].extend(members.values())
    found: list[Events] = []
    for keys, (places, texts) in alike.items():
        if 0 < len(keys) <= MAX_KEYS:
            found += _read_alike(lines, keys, places, texts)
    return found


def _read_alike(
    lines: Sequence[bytes], keys: tuple[str, ...], places: list[int], texts: list[msgspec.Raw]
) -> list[Events]:
    """Read the lines that have the same keys, except those that have to be read exactly.

    Another writer's lines are set apart, then halving finds the odd ones. The search ends after `MAX_ODD_LINES` of
    them: if all lines were odd, each would be read as often as the lines can be halved.

    Args:
        lines: All lines of the block.
        keys: The keys of the lines at `places`.
        places: The numbers of these lines.
        texts: The values that the parser found in them: all values of the first line, and so on.
    """
    width = len(keys)
    found: list[Events] = []
    odd = 0
    waiting = [(places, texts)]
    while waiting and odd < MAX_ODD_LINES:
        places, texts = waiting.pop()
        events = _read_if_alike(lines, keys, places, texts)
        if events is not None:
            found.append(events)
        elif len(places) == 1:
            odd += 1
        else:
            waiting += [
                (
                    [places[number] for number in part],
                    [text for number in part for text in texts[number * width : (number + 1) * width]],
                )
                for part in reversed(_parts(lines, keys, places))
            ]
    return found


def _read_if_alike(
    lines: Sequence[bytes], keys: tuple[str, ...], places: list[int], texts: list[msgspec.Raw]
) -> Events | None:
    width = len(keys)
    columns = [texts[number::width] for number in range(width)]
    text = b"".join([lines[place] for place in places])
    try:
        if _layout(keys, spaced=_is_spaced(lines[places[0]], keys)).lines(columns) == text:
            if not text.isascii():
                text.decode()  # the parser does not look into strings
            return Events(places, keys, list(map(_written, keys, columns)))
    except ValueError:
        pass  # there is a byte that is no UTF-8, a lone surrogate or no time in one of them
    return None


def _parts(lines: Sequence[bytes], keys: tuple[str, ...], places: list[int]) -> list[Sequence[int]]:
    """Split lines that are not all alike by their writers, or else in halves; return the indexes of their places."""
    styles = [_is_spaced(lines[place], keys) for place in places]
    parts: list[Sequence[int]] = [
        [number for number, style in enumerate(styles) if style == one] for one in dict.fromkeys(styles)
    ]
    if len(parts) == 1:
        middle = len(places) // 2
        parts = [range(middle), range(middle, len(places))]
    return parts


def _is_spaced(line: bytes, keys: tuple[str, ...]) -> bool:
    """Return True if a line's writer puts spaces between its members."""
    return line[len(keys[0]) + len('{"":')] == _SPACE


@lru_cache(maxsize=8)
def _layout(keys: tuple[str, ...], *, spaced: bool) -> Frame:
    """Return the frame of lines with these keys. Few are cached, as a hostile key may have a megabyte."""
    comma, colon = (b", ", b": ") if spaced else (b",", b":")
    first, *more = _dumped(list(keys))
    return Frame([b"{" + first + colon, *[comma + key + colon for key in more], b"}"])


def _written(key: str, column: Sequence[msgspec.Raw]) -> Sequence[JSONText]:
    """Return the values of one key as they are in `Events`.

    Raises:
        ValueError: A string has a lone surrogate, or a value of `time` is no time.
    """
    return utc_from_json(b"%b\n" % b"\n".join(column)) if key == TIME else _strings(column)


def _strings(column: Sequence[msgspec.Raw]) -> Sequence[JSONText]:
    # No value has a raw LF, and only strings begin with a quote.
    text = b"\n".join(column)
    if text[0] in _AS_THEY_ARE and _BACKSLASH not in text and _OTHER_BEHIND.search(text) is None:
        return column
    if text[0] != _QUOTE:
        strings = text.decode().split("\n")
        if '"' not in {string[0] for string in strings}:
            dumped = _dumped(strings)
            return [NULL if value == b'"null"' else value for value in dumped] if "null" in strings else dumped
    values = text.split(b"\n")
    others = [place for place, value in enumerate(values) if value[0] != _QUOTE and value != NULL]
    escaped = [place for place, value in enumerate(values) if value[0] == _QUOTE and _BACKSLASH in value]
    strings = [values[place].decode() for place in others]
    strings += orjson.loads(b"[%b]" % b",".join([values[place] for place in escaped]))
    for place, string in zip(others + escaped, _dumped(strings), strict=True):
        values[place] = string
    return values


def _dumped(strings: list[str]) -> list[bytes]:
    """Write strings as JSON by one call: a call takes longer than most strings do."""
    # White space between them holds the only raw LFs.
    return orjson.dumps(strings, option=orjson.OPT_INDENT_2)[4:-2].split(b",\n  ") if strings else []
