"""The numbers of an archive, beside those of the archive before; it is recorded, and reports are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from edxorg.lib.archive.ingest_report import LISTED, MemberOutcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edxorg.lib.archive.ingest_report import IngestReport, NamedItems
    from ol_orchestrate.lib.stores import SourceInfo

WEEKS = 52
"""Archives that the plots go back."""


class NamedThings(BaseModel):
    """Things of which the first are named."""

    total: int = 0
    first: list[str] = []


class Totals(BaseModel):
    """An archive, as the plots show it."""

    archive: str
    members: int
    courses: int
    rows: int
    bytes: int
    rejected: int


class TableSummary(BaseModel):
    """A table, or another kind of member, over all courses."""

    outcomes: dict[str, int]
    rows: int
    bytes: int
    rejected: int
    rows_before: int | None


class CourseSummary(BaseModel):
    """A course on a site."""

    members: int
    rows: int
    bytes: int


class ListedMember(BaseModel):
    """A member that an operator must look at."""

    member: str
    size: int
    reason: str


class ArchiveSummary(BaseModel):
    """All that is told of an archive.

    Attributes:
        weeks: The archives before and this one, which is the last; the earliest first.
        problem: The reason why it was not read whole. Then nothing is said of what is not in it any more.
    """

    source: str
    version: str
    sum: str
    outcomes: dict[str, int]
    weeks: list[Totals]
    tables: dict[str, TableSummary]
    courses: dict[str, CourseSummary]
    new_courses: NamedThings
    vanished_courses: NamedThings
    rejected: dict[str, int]
    listed: dict[str, list[ListedMember]]
    ambiguous: NamedThings
    claimed_twice: NamedThings
    shrunken: NamedThings
    other_columns: NamedThings
    problem: str | None

    @property
    def archive(self) -> Totals:
        """The totals of this archive."""
        return self.weeks[-1]

    @property
    def before(self) -> Totals | None:
        """The totals of the archive before."""
        return self.weeks[-2] if len(self.weeks) > 1 else None


def summarize(
    report: IngestReport, archive: str, source: SourceInfo, *, before: ArchiveSummary | None = None
) -> ArchiveSummary:
    """Summarize an archive that was read.

    Args:
        report: Of its members.
        archive: Its name: the key of its partition.
        source: What its store says of it.
        before: The summary of the last archive before that was read whole.
    """
    totals = Totals(
        archive=archive,
        members=report.members,
        courses=len(report.courses),
        rows=sum(each.rows for each in report.courses.values()),
        bytes=sum(each.bytes for each in report.courses.values()),
        rejected=report.rows_rejected.total(),
    )
    earlier: Collection[str] = before.courses if before else report.courses
    went = set() if report.problem else set(earlier) - report.courses.keys()
    return ArchiveSummary(
        source=source.url,
        version=source.version,
        sum=report.sum_of_outcomes(),
        outcomes={outcome.value: report.outcomes[outcome] for outcome in MemberOutcome},
        weeks=[*(before.weeks if before else ()), totals][-WEEKS:],
        tables=_tables(report, before.tables if before else {}),
        courses={
            name: CourseSummary(members=each.members, rows=each.rows, bytes=each.bytes)
            for name, each in sorted(report.courses.items())
        },
        new_courses=_named(report.courses.keys() - set(earlier)),
        vanished_courses=_named(went),
        rejected=dict(report.rows_rejected),
        listed={
            outcome.value: [ListedMember(member=path, size=size, reason=why) for path, size, why in listed]
            for outcome, listed in report.listed.items()
        },
        ambiguous=_named(report.ambiguous),
        claimed_twice=_things(report.claimed_twice),
        shrunken=_things(report.shrunken),
        other_columns=_things(report.other_columns),
        problem=report.problem,
    )


def _tables(report: IngestReport, before: Mapping[str, TableSummary]) -> dict[str, TableSummary]:
    return {
        name: TableSummary(
            outcomes={outcome.value: count for outcome, count in each.outcomes.items() if count},
            rows=each.rows,
            bytes=each.bytes,
            rejected=each.rejected.total(),
            rows_before=before[name].rows if name in before else None,
        )
        for name, each in sorted(report.tables.items())
    }


def _named(names: Collection[str]) -> NamedThings:
    return NamedThings(total=len(names), first=sorted(names)[:LISTED])


def _things(items: NamedItems) -> NamedThings:
    return NamedThings(total=items.total, first=items.first)
