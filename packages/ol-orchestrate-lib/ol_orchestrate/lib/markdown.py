"""Markdown for the Dagster UI, made of untrusted text from archives, courses and services."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ol_orchestrate.lib.shortening import SHOWN, and_more

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LONGEST_CELL = 500
"""Characters shown of one text; a name in a tar may have a million."""

_WORD_JOINER = "&#8288;"

_LINK = re.compile(r"(?i)(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?<=@)")
"""The places where renderers would begin to make a link of plain text, after they have decoded it."""

_MARKUP = re.compile(r"[\\`*~|<>&\[\]$]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that can be markup in the middle of a line; an underscore between letters, as in names, is none."""


def escaped(text: str) -> str:
    """Escape a text for the middle of a line or a cell, so that Markdown shows it as it is.

    Control characters and other invisible ones, such as those that turn the direction of writing, show as escapes.
    """
    shown = text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
    shown = "".join(map(_visible, shown))
    # Some renderers ignore a backslash before a pipe; a character reference is no markup in any.
    return _WORD_JOINER.join(_MARKUP.sub(_reference, part) for part in _LINK.split(shown))


def table(
    columns: Mapping[str, type[str | int]], rows: Iterable[tuple[str | int, ...]], *, total: int | None = None
) -> str:
    """Return a table, with each text in it escaped.

    Args:
        columns: The type of each column's values, by its name.
        rows: The values of each row, in the order of the columns.
        total: The number of rows in the whole table, if `rows` is only its beginning; a last row says how many more.
    """
    lines = [[escaped(name) for name in columns], ["---:" if kind is int else "---" for kind in columns.values()]]
    shown = [[f"{value:,}" if isinstance(value, int) else escaped(value) for value in row] for row in rows]
    lines += shown
    if total is not None and total > len(shown):
        lines.append([and_more(total - len(shown)), *[""] * (len(columns) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listing(title: str, items: Sequence[str], total: int | None = None) -> str:
    """Return a table of one column with the first items.

    Args:
        title: The name of the column.
        items: All items, or the first of them.
        total: The number of all items, if these are only the first.
    """
    return table({title: str}, [(item,) for item in items[:SHOWN]], total=len(items) if total is None else total)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
