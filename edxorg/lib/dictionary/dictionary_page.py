"""Writes the dictionary as a page: the second part of `docs/data.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.dictionary import ARCHIVE, ASSESSMENTS, CATALOGUE, COURSE_CONTENT, STAYS, TABLES, TRACKING_LOG
from edxorg.lib.dictionary.described_tables import ADDED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ol_orchestrate.lib.dictionary import Column, Output

_MARK = "<!-- Written from edxorg/lib/dictionary by `uv run python -m edxorg.lib.dictionary`: change that. -->\n"
"""The line between the part of the page that is written by hand and the part that comes from the dictionary."""


def markdown() -> str:
    """Return the outputs, one subject a section."""
    parts = [
        *_section("Tables", f"{STAYS}\n\nEach table also has these columns, at its end:", TABLES, common=ADDED_COLUMNS),
        *_section(
            "Tables of open response assessments",
            "They have the same columns at their end.",
            ASSESSMENTS,
            common=ADDED_COLUMNS,
            shown=False,
        ),
        *_section("Other files of an archive", "", ARCHIVE),
        *_section("Course content", "Made of a course's structure, or of its export in OLX.", COURSE_CONTENT),
        *_section(
            "Tracking logs",
            "Each line has all keys of its day, in order of appearance. All values are text or `null`; what was no "
            "text is the input's own JSON.",
            [TRACKING_LOG],
        ),
        *_section(
            "The edX catalogue", "Course outputs have such names too; in SQL these begin with `api_`.", CATALOGUE
        ),
    ]
    return "".join(parts)


def write(folder: Path) -> None:
    """Write it into the page of a checkout."""
    page = folder / "docs/data.md"
    by_people, _, _ = page.read_text().partition(_MARK)
    page.write_text(f"{by_people}{_MARK}{markdown()}")


def _section(
    title: str, text: str, outputs: Iterable[Output], *, common: Sequence[Column] = (), shown: bool = True
) -> Iterator[str]:
    yield f"\n## {title}\n"
    if text:
        yield f"\n{text}\n"
    if common and shown:
        yield from _columns(common)
    for output in outputs:
        yield from _output(output, output.columns[: len(output.columns) - len(common)])


def _output(output: Output, columns: Sequence[Column]) -> Iterator[str]:
    yield f"\n### {output.name}\n\n{output.row}\n\n`{output.asset}/…`, {output.format}"
    if output.view:
        yield f"; in SQL `{output.view}`"
    if output.key:
        yield f". Rows differ in {_listed(output.key)}"
    sources = {column.source for column in columns}
    yield f". Source: {sources.pop()}.\n" if len(sources) == 1 else ".\n"
    if columns:
        yield from _columns(columns)


def _columns(columns: Sequence[Column]) -> Iterator[str]:
    one_source = len({column.source for column in columns}) == 1
    yield "\n| column | type | meaning |" + ("\n" if one_source else " source |\n")
    yield "| --- | --- | --- |" + ("\n" if one_source else " --- |\n")
    for name, kind, meaning, source in columns:
        cells = [f"`{name}`", kind, meaning] if one_source else [f"`{name}`", kind, meaning, source]
        yield f"| {' | '.join(cells)} |\n"


def _listed(names: Sequence[str]) -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} and {last}" if first else last
