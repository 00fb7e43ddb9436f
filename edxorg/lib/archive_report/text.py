"""The report of an archive in Markdown, short enough for a page of Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ol_orchestrate.lib import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.archive_report.summary import ArchiveSummary


def text(summary: ArchiveSummary) -> str:
    """Return the counts, against those of the archive before, and the things to look at."""
    return "\n\n".join(_parts(summary))


def _parts(summary: ArchiveSummary) -> Iterator[str]:
    if summary.problem:
        yield f"**{markdown.escaped(summary.problem)}**"
    now, before = summary.archive, summary.before
    names = ("courses", "rows", "bytes", "members", "rejected")
    if before is None:
        yield markdown.table({"": str, "this archive": int}, [(name, getattr(now, name)) for name in names])
    else:
        columns = {"": str, "this archive": int, before.archive: int, "change": int}
        rows = [(name, getattr(now, name), getattr(before, name)) for name in names]
        yield markdown.table(columns, [(name, new, old, new - old) for name, new, old in rows])
    yield markdown.escaped(summary.sum)
    for title, things in to_look_at(summary):
        yield markdown.listing(f"{title} ({len(things):,})", things)


def to_look_at(summary: ArchiveSummary) -> Iterator[tuple[str, list[str]]]:
    """Yield the things that an operator may have to act on, by title; a number stands for unnamed ones."""
    for outcome, members in summary.listed.items():
        named = [f"{each.member}: {each.reason}" if each.reason else each.member for each in members]
        yield outcome.capitalize(), [*named, *_unnamed(summary.outcomes[outcome] - len(named))]
    for title, things in (
        ("Courses that are not in it any more", summary.vanished_courses),
        ("Courses that are new", summary.new_courses),
        ("Tables with less than half their rows", summary.shrunken),
        ("Tables with other columns", summary.other_columns),
        ("Courses with more than one reading", summary.ambiguous),
        ("Members whose place was taken", summary.claimed_twice),
    ):
        if things.total:
            yield title, [*things.first, *_unnamed(things.total - len(things.first))]
    if summary.rejected:
        yield "Rows set aside", [f"{reason}: {count:,}" for reason, count in sorted(summary.rejected.items())]


def _unnamed(more: int) -> list[str]:
    return [f"and {more:,} more"] if more > 0 else []
