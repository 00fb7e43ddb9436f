"""Markdown for the Dagster UI, made of text that archives, courses and services bring and may have forged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ol_orchestrate.lib.shortening import and_more

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_CELL = 500
"""Characters of a text that are shown; a name in a tar may have a million."""

_WORD_JOINER = "&#8288;"

_LINK = re.compile(r"(?i)(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?<=@)")
"""Where renderers would begin to make a link of plain text, after they have decoded it."""

_MARKUP = re.compile(r"[\\`*~|<>&\[\]$]|(?<![^\W_])_|_(?![^\W_])")
"""What can be markup in the middle of a line. An underscore is none between letters, as in most names of tables."""


def escaped(text: str) -> str:
    """Markdown for the middle of a line that shows a text as it is: no markup, HTML, link or end of a cell is in it.

    Control characters and other invisible ones, such as those that turn the direction of writing, show as escapes.
    """
    shown = text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
    shown = "".join(map(_visible, shown))
    # A backslash would do for most, but not before a pipe in every renderer; a reference is no markup anywhere.
    return _WORD_JOINER.join(_MARKUP.sub(_reference, part) for part in _LINK.split(shown))


def table(
    columns: Mapping[str, type[str | int]], rows: Iterable[tuple[str | int, ...]], *, total: int | None = None
) -> str:
    """A table, with each text in it escaped.

    Args:
        columns: Their names, and whether they hold texts or numbers.
        rows: Their values.
        total: The number of rows in the whole table, where `rows` are only the first; a last row counts the others.
    """
    lines = [[escaped(name) for name in columns], ["---:" if kind is int else "---" for kind in columns.values()]]
    shown = [[f"{value:,}" if isinstance(value, int) else escaped(value) for value in row] for row in rows]
    lines += shown
    if total is not None and total > len(shown):
        lines.append([and_more(total - len(shown)), *[""] * (len(columns) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
