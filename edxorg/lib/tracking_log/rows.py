"""Events as lines of the output: one JSON object each, with all keys known by then, `null` where the event has none."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

import orjson

from edxorg.lib.tracking_log.layout import MAX_KEYS
from edxorg.lib.tracking_log.rejects import Reason, RejectedLineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edxorg.lib.tracking_log.layout import Event, JSONString

MAX_KEY_BYTES = 256
"""Of a top-level key: every line of the day repeats it, and downstream it names a column."""

MAX_LINE_BYTES = 16 << 20
"""Of a line, in and out. Readers have limits too: DuckDB's is 16 MiB unless told otherwise."""

_MAX_TEMPLATES = 256


class Rows:
    """Writes events; the keys that they bring are added to those known."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Start with the keys known so far, in order of first appearance."""
        self.columns = list(columns)
        self._templates: dict[tuple[str, ...], _Template] = {}

    def write(self, event: Event) -> bytes:
        """The line, with its LF.

        Raises:
            RejectedLineError: It, or a key that it brings, is too long, or it brings too many.
        """
        template = self._templates.get(event.keys)
        if template is not None:
            return template.line(event)
        brought = [key for key in event.keys if key not in self.columns]
        self._check_keys(brought)
        template = _Template(event.keys, [*self.columns, *brought])
        line = template.line(event)
        if brought or len(self._templates) == _MAX_TEMPLATES:
            self._templates.clear()
        self.columns += brought
        self._templates[event.keys] = template
        return line

    def _check_keys(self, brought: list[str]) -> None:
        if len(self.columns) + len(brought) > MAX_KEYS:
            raise RejectedLineError(Reason.TOO_MANY_KEYS)
        if any(len(key.encode()) > MAX_KEY_BYTES for key in brought):
            raise RejectedLineError(Reason.KEY_TOO_LONG)


class _Template:
    """What stands around the values of events with the same keys."""

    def __init__(self, keys: Sequence[str], columns: Sequence[str]) -> None:
        places = {key: place for place, key in enumerate(keys)}
        order: list[int] = []
        self._around = [b"{"]
        for number, column in enumerate(columns):
            self._around[-1] += (b"," if number else b"") + orjson.dumps(column) + b":"
            place = places.get(column)
            if place is None:
                self._around[-1] += b"null"
            else:
                order.append(place)
                self._around += [b"", b""]
        self._around[-1] += b"}\n"
        self._in_order: Callable[[Sequence[JSONString]], Sequence[JSONString]] | None
        self._in_order = None if order == sorted(order) else itemgetter(*order)

    def line(self, event: Event) -> bytes:
        pieces: list[JSONString] = [*self._around]
        pieces[1::2] = event.values if self._in_order is None else self._in_order(event.values)
        line = b"".join(pieces)
        if len(line) > MAX_LINE_BYTES:
            _check_length(event)
        return line


def _check_length(event: Event) -> None:
    """A line's fate must not hang on the keys of others, so those that it lacks do not count."""
    alone = b"".join(event.values)
    if len(alone) + sum(len(orjson.dumps(key)) + len(":,") for key in event.keys) + len("{}") - 1 > MAX_LINE_BYTES:
        raise RejectedLineError(Reason.TOO_LONG)
