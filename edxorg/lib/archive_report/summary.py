"""The numbers of an archive, beside those of the archive before; it is recorded, and reports are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from edxorg.lib.archive.ingest_report import LISTED, MemberOutcome
from edxorg.lib.members import MemberKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from edxorg.lib.archive.ingest_report import IngestReport, NamedItems
    from ol_orchestrate.lib.stores import SourceInfo

WEEKS = 52
"""Archives that the plots go back."""


DERIVED = frozenset({MemberKind.FORUM_POSTS.value})
"""Outputs that are made of members which land as well. No total has their rows and bytes."""


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
    """A course on a site.

    Attributes:
        outputs: Its tables and other members: a hexadecimal number with a bit for each name in `ArchiveSummary.names`,
            since 437 courses with the names of 45 tables each would make the record large.
        empty: Those without content, in the same way.
    """

    members: int
    rows: int
    bytes: int
    outputs: str = "0"
    empty: str = "0"


class ListedMember(BaseModel):
    """A member that an operator must look at."""

    member: str
    size: int
    reason: str


class ArchiveSummary(BaseModel):
    """All that is told of an archive.

    Attributes:
        weeks: The archives before and this one, which is the last; the earliest first.
        names: Names of all that its courses have.
        vanished_of_courses: Courses that have not all tables any more that they had, with these tables.
        landing_zone: Where it landed; nothing in records of earlier versions.
        problem: The reason why it was not read whole. Then nothing is said of what is not in it any more.
    """

    source: str
    version: str
    landing_zone: str = ""
    sum: str
    outcomes: dict[str, int]
    weeks: list[Totals]
    tables: dict[str, TableSummary]
    courses: dict[str, CourseSummary]
    names: list[str] = []
    new_courses: NamedThings
    vanished_courses: NamedThings
    vanished_tables: NamedThings = NamedThings()
    vanished_of_courses: NamedThings = NamedThings()
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

    @property
    def of_no_course(self) -> CourseSummary:
        """The members of no course: preferences of e-mail, and members whose names tell no course."""
        courses = self.courses.values()
        return CourseSummary(
            members=self.archive.members - sum(each.members for each in courses),
            rows=self.archive.rows - sum(each.rows for each in courses),
            bytes=self.archive.bytes - sum(each.bytes for each in courses),
        )

    def outputs(self) -> dict[str, set[str]]:
        """The names of the tables and other members of each course."""
        return {course: _of_bits(each.outputs, self.names) for course, each in self.courses.items()}

    def empty(self) -> set[tuple[str, str]]:
        """The course and the name of each output without content."""
        return {(course, name) for course, each in self.courses.items() for name in _of_bits(each.empty, self.names)}


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
    of_members = [each for name, each in report.tables.items() if name not in DERIVED]
    totals = Totals(
        archive=archive,
        members=report.members,
        courses=len(report.courses),
        rows=sum(each.rows for each in of_members),
        bytes=sum(each.bytes for each in of_members),
        rejected=report.rows_rejected.total(),
    )
    earlier: Collection[str] = before.courses if before else report.courses
    went = set() if report.problem else set(earlier) - report.courses.keys()
    vanished, of_courses = _vanished(report, before.outputs() if before and not report.problem else {})
    names = sorted({name for each in report.courses.values() for name in each.outputs | each.empty})
    return ArchiveSummary(
        source=source.url,
        version=source.version,
        sum=report.sum_of_outcomes(),
        outcomes={outcome.value: report.outcomes[outcome] for outcome in MemberOutcome},
        weeks=[*(before.weeks if before else ()), totals][-WEEKS:],
        tables=_tables(report, before.tables if before else {}),
        courses={
            name: CourseSummary(
                members=each.members,
                rows=each.rows,
                bytes=each.bytes,
                outputs=_bits(each.outputs, names),
                empty=_bits(each.empty, names),
            )
            for name, each in sorted(report.courses.items())
        },
        names=names,
        new_courses=_named(report.courses.keys() - set(earlier)),
        vanished_courses=_named(went),
        vanished_tables=_named(vanished),
        vanished_of_courses=_named(of_courses),
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


def _vanished(report: IngestReport, before: Mapping[str, set[str]]) -> tuple[set[str], list[str]]:
    """Return the tables that no course has any more, and the courses that have lost others."""
    now = {course: each.outputs for course, each in report.courses.items()}
    vanished = set[str]().union(*before.values()).difference(*now.values())
    lost = {course: names - now[course] - vanished for course, names in before.items() if course in now}
    return vanished, [f"{course}: {', '.join(sorted(names))}" for course, names in lost.items() if names]


def _bits(chosen: Collection[str], names: Sequence[str]) -> str:
    return f"{sum(1 << place for place, name in enumerate(names) if name in chosen):x}"


def _of_bits(bits: str, names: Sequence[str]) -> set[str]:
    number = int(bits, 16)
    return {name for place, name in enumerate(names) if number >> place & 1}


def _named(names: Collection[str]) -> NamedThings:
    return NamedThings(total=len(names), first=sorted(names)[:LISTED])


def _things(items: NamedItems) -> NamedThings:
    return NamedThings(total=items.total, first=items.first)
