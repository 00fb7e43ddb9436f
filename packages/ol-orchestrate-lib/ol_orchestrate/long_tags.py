"""Values of any length in the tags of a run.

Dagster keeps the values of tags in an index, and Postgres refuses an entry of more than 2,704 bytes. So a long value
has several tags: `name`, `name.2`, `name.3` and so on, each with a piece of its JSON.
"""

from __future__ import annotations

import json
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

MAX_BYTES = 2000
"""Bytes of a value that fit into the index, with the name and with what Postgres adds."""


def split(name: str, value: object, *, earlier: Iterable[str] = ()) -> dict[str, str]:
    """Return the tags of a value.

    Args:
        name: The name of the first of the tags.
        value: What can be written as JSON.
        earlier: The names of the tags that the run has. Tags cannot be taken away, so those of an earlier value that
            was longer become empty.
    """
    text = json.dumps(value)
    pieces = (text[start : start + MAX_BYTES] for start in range(0, len(text), MAX_BYTES))
    return {**emptied(name, earlier), **dict(zip(_names(name), pieces, strict=False))}


def emptied(name: str, earlier: Iterable[str]) -> dict[str, str]:
    """Return tags without a value, in place of those that hold one."""
    return dict.fromkeys(_used(name, set(earlier)), "")


def joined(name: str, tags: Mapping[str, str]) -> Any:  # noqa: ANN401 - as `json.loads` returns it
    """Return the value that tags hold; `None` if there is none."""
    text = "".join(tags[each] for each in _used(name, tags))
    return json.loads(text) if text else None


def shortened(text: str) -> str:
    """Return a text as it is, or as much of its beginning as fits into one tag."""
    data = text.encode(errors="replace")
    return text if len(data) <= MAX_BYTES else f"{data[: MAX_BYTES - 3].decode(errors='ignore')}…"


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _used(name: str, known: Container[str]) -> Iterator[str]:
    return takewhile(known.__contains__, _names(name))
