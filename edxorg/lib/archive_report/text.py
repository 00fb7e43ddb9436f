"""The report of an archive in Markdown, short enough for a page of Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ol_orchestrate.lib import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.archive_report.summary import ArchiveSummary


NOT_WHOLE = (
    "The archive was not read whole: its numbers are those of a part of it, this report does not say which courses and "
    "tables are not in it any more, and later archives are not compared with it."
)


def text(summary: ArchiveSummary) -> str:
    """Return the counts, against those of the archive before, and the things to look at."""
    return "\n\n".join(_parts(summary))


def _parts(summary: ArchiveSummary) -> Iterator[str]:
    if summary.problem:
        yield f"**{markdown.escaped(summary.problem)}**"
        yield NOT_WHOLE
    now, before = summary.archive, summary.before
    names = ("courses", "rows", "bytes", "members", "rejected")
    if before is None:
        yield markdown.table({"": str, "this archive": int}, [(name, getattr(now, name)) for name in names])
    else:
        columns = {"": str, "this archive": int, before.archive: int, "change": int}
        rows = [(name, getattr(now, name), getattr(before, name)) for name in names]
        yield markdown.table(columns, [(name, new, old, new - old) for name, new, old in rows])
    yield markdown.escaped(summary.sum)
    for finding in to_look_at(summary):
        total = len(finding.things) + finding.unnamed
        yield markdown.listing(f"{finding.title} ({finding.number:,})", finding.things, total)


class Finding(NamedTuple):
    """Things of one kind that an operator may have to act on.

    Attributes:
        number: The number in its title.
        things: Those that are named.
        unnamed: The number of the others.
    """

    title: str
    number: int
    things: list[str]
    unnamed: int


def to_look_at(summary: ArchiveSummary) -> Iterator[Finding]:
    """Yield all that an operator may have to act on."""
    for outcome, members in summary.listed.items():
        named = [f"{each.member}: {each.reason}" if each.reason else each.member for each in members]
        # Outputs beside a member can fail too; they are named, and no outcome counts them.
        yield _finding(outcome.capitalize(), max(summary.outcomes[outcome], len(named)), named)
    for title, things in (
        ("Courses that are not in it any more", summary.vanished_courses),
        ("Tables that are not in it any more", summary.vanished_tables),
        ("Courses without tables that they had before", summary.vanished_of_courses),
        ("Courses that are new", summary.new_courses),
        ("Tables with less than half their rows", summary.shrunken),
        ("Tables with other columns", summary.other_columns),
        ("Courses with more than one reading", summary.ambiguous),
        ("Members whose place was taken", summary.claimed_twice),
    ):
        if things.total:
            yield _finding(title, things.total, things.first)
    if summary.rejected:
        reasons = [f"{reason}: {count:,}" for reason, count in sorted(summary.rejected.items())]
        yield Finding("Rows set aside", sum(summary.rejected.values()), reasons, 0)


def _finding(title: str, total: int, named: list[str]) -> Finding:
    return Finding(title, total, named, total - len(named))
