"""The report of an archive as one HTML file without any outside resource."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from edxorg.lib.archive_report import plots
from edxorg.lib.archive_report.summary import DERIVED
from edxorg.lib.archive_report.text import NOT_WHOLE, to_look_at
from ol_orchestrate.lib.shortening import and_more

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edxorg.lib.archive_report.summary import ArchiveSummary

_STYLE = """\
:root{--text:#1b1f24;--soft:#5d6672;--page:#fff;--line:#dfe3e8;--bar:#b9c7da;--now:#2f6fb5;--alert:#a3262b}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ed;--soft:#9aa4b1;--page:#15181c;--line:#333a43;--bar:#45566c;
--now:#6ea8e6;--alert:#ff8f8f}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem;font:16px/1.45 system-ui,sans-serif;color:var(--text);
background:var(--page);overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.soft,small,th{color:var(--soft)}.alert{color:var(--alert);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1rem 0}
.tile{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .75rem}
.tile b,.tile small{display:block;font-variant-numeric:tabular-nums}.tile b{font-size:1.35rem}
svg{display:block;width:100%;height:3.2rem;fill:var(--bar)}svg .now{fill:var(--now)}svg .before{fill:var(--text)}
svg .part{fill:var(--alert)}
svg.bar{height:.7rem;min-width:6rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:left;font-weight:400;vertical-align:top}
td:first-child{min-width:9rem;overflow-wrap:break-word}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{border-bottom:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer}
ul{margin:.4rem 0;padding-left:1.2rem}
"""

_TILES = (
    ("rows", "Rows"),
    ("courses", "Courses"),
    ("bytes", "Bytes that landed"),
    ("members", "Members"),
    ("rejected", "Rows set aside"),
)


def page(summary: ArchiveSummary) -> str:
    """Return the whole report. All that it names are files, tables and courses."""
    name = escape(summary.archive.archive)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style>\n<h1>{name}</h1>\n"
        f"{''.join(_body(summary))}</html>\n"
    )


def _body(summary: ArchiveSummary) -> Iterator[str]:
    if summary.problem:
        yield f"<p class=alert>{escape(summary.problem)}</p>\n<p>{NOT_WHOLE}</p>\n"
    yield f"<p class=soft>{escape(summary.source)}<br>{escape(summary.sum)}</p>\n"
    if summary.before:
        yield f"<p class=soft>Beside the numbers: the change since {escape(summary.before.archive)}.</p>\n"
    yield f"<div class=tiles>{''.join(_tiles(summary))}</div>\n"
    yield "<h2>To look at</h2>\n"
    found = list(to_look_at(summary))
    for title, number, things, unnamed in found:
        shown = [*things, and_more(unnamed)] if unnamed else things
        items = "".join(f"<li>{escape(thing)}" for thing in shown)
        yield f"<details><summary>{escape(title)} <small>({number:,})</small></summary><ul>{items}</ul>"
        yield "</details>\n"
    if not found:
        yield "<p>Nothing.</p>\n"
    yield "<h2>Tables</h2>\n"
    yield "<p class=soft>Tables and other members. What is derived from them lands too; its rows and bytes are in no "
    yield "total, and its rows that were set aside are.</p>\n"
    yield _table(["", *_NUMBERS, "rows (mark: before)"], _table_rows(summary))
    yield f"<h2>Courses</h2>\n<details><summary>All {len(summary.courses):,}</summary>"
    yield _table(["", "members", "rows", "MB"], _course_rows(summary))
    yield "</details>\n"


def _tiles(summary: ArchiveSummary) -> Iterator[str]:
    for name, title in _TILES:
        value = getattr(summary.archive, name)
        change = f"<small>{_change(value, getattr(summary.before, name))}</small>" if summary.before else ""
        values = [getattr(week, name) for week in summary.weeks]
        plot = plots.over_time(values, title, is_part=summary.problem is not None)
        yield f"<div class=tile>{title}<b>{value:,}</b>{change}{plot}</div>"


_NUMBERS = ("rows", "change", "MB", "set aside", "delivered", "unchanged", "failed")


def _table_rows(summary: ArchiveSummary) -> Iterator[list[str]]:
    by_rows = sorted(summary.tables.items(), key=lambda item: (item[0] in DERIVED, -item[1].rows))
    for name, table in by_rows:
        change = "new" if table.rows_before is None else _change(table.rows, table.rows_before)
        counts = (table.outcomes.get(outcome, 0) for outcome in ("delivered", "unchanged", "failed"))
        derived = " <small>(derived)</small>" if name in DERIVED else ""
        yield [
            f"<td>{escape(name).replace('_', '_<wbr>')}{derived}",
            *_numbers(table.rows, change, f"{table.bytes / 1e6:,.1f}", table.rejected, *counts),
            f"<td>{plots.bar(table.rows, table.rows_before)}",
        ]


def _change(now: int, before: int) -> str:
    return f"{now - before:+,}" if now != before else "±0"


def _course_rows(summary: ArchiveSummary) -> Iterator[list[str]]:
    by_rows = sorted(summary.courses.items(), key=lambda item: -item[1].rows)
    for name, course in [*by_rows, ("of no course", summary.of_no_course)]:
        yield [f"<td>{escape(name)}", *_numbers(course.members, course.rows, f"{course.bytes / 1e6:,.1f}")]


def _numbers(*values: int | str) -> Iterator[str]:
    return (f"<td class=n>{value if isinstance(value, str) else f'{value:,}'}" for value in values)


def _table(columns: Iterable[str], rows: Iterable[list[str]]) -> str:
    first, *rest = columns
    head = f"<th>{first}" + "".join(f"<th class=n>{name}" for name in rest)
    body = "".join(f"<tr>{''.join(row)}" for row in rows)
    return f"<div class=wide><table><tr>{head}{body}</table></div>\n"
