"""Writes events as lines of the output: JSON objects with all keys known by then, `null` if the event has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from edxorg.lib.tracking_log.frame import Frame
from edxorg.lib.tracking_log.layout import MAX_KEYS
from edxorg.lib.tracking_log.rejects import LineRejectReason, RejectedLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.tracking_log.layout import Events

MAX_KEY_BYTES = 256
"""Limit of a top-level key: every line of the day repeats it, and downstream it names a column."""

_MAX_TEMPLATES = 256


class Rows:
    """Writes events; the keys that they bring are added to those known."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Start with the keys known so far, in order of first appearance."""
        self.columns = list(columns)
        self._templates: dict[tuple[str, ...], _Template] = {}

    @property
    def least_bytes(self) -> int:
        """Return about the bytes of a line with all known keys, more than 0."""
        return len("{}\n") + sum(len(key) + len('"":null,') for key in self.columns)

    def brought_by(self, events: Events) -> list[str]:
        """Return the keys of events that are not known yet."""
        return [] if events.keys in self._templates else [key for key in events.keys if key not in self.columns]

    def write(self, events: Events) -> bytes:
        """Return the lines, each with its LF. Keys that they bring are in all of them, and in all lines after them.

        Raises:
            RejectedLineError: A new key is too long, or there are too many.
        """
        template = self._templates.get(events.keys)
        if template is None:
            brought = self.brought_by(events)
            self._check_keys(brought)
            if brought or len(self._templates) == _MAX_TEMPLATES:
                self._templates.clear()
            self.columns += brought
            template = self._templates[events.keys] = _template(events.keys, self.columns)
        return template.frame.lines([events.columns[place] for place in template.order])

    def _check_keys(self, brought: list[str]) -> None:
        if len(self.columns) + len(brought) > MAX_KEYS:
            raise RejectedLineError(LineRejectReason.TOO_MANY_KEYS)
        if any(len(key.encode()) > MAX_KEY_BYTES for key in brought):
            raise RejectedLineError(LineRejectReason.KEY_TOO_LONG)


class _Template(NamedTuple):
    """The frame of events with the same keys."""

    order: list[int]
    """The order of their values."""
    frame: Frame


def _template(keys: Sequence[str], columns: Sequence[str]) -> _Template:
    places = {key: place for place, key in enumerate(keys)}
    order: list[int] = []
    around = [b"{"]
    for number, column in enumerate(columns):
        around[-1] += (b"," if number else b"") + orjson.dumps(column) + b":"
        if column in places:
            order.append(places[column])
            around.append(b"")
        else:
            around[-1] += b"null"
    around[-1] += b"}"
    return _Template(order, Frame(around))
