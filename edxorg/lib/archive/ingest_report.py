"""The outcome of every member of an archive; the counts add up, or the report says that they do not."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from edxorg.lib.members import Member, MemberKind
from ol_orchestrate.lib.versions import NO_STATS, TableStats

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from ol_orchestrate.lib.course_partition import CoursePartition
    from ol_orchestrate.lib.errors import PipelineError

LISTED = 200
"""Members of one kind that are listed by name; the others are counted."""


class MemberOutcome(StrEnum):
    """Each member has exactly one outcome."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    EMPTY = "empty"
    MISSING_AT_SOURCE = "missing at the source"
    UNRECOGNISED = "unrecognised"
    IGNORED = "ignored"
    FAILED = "failed"
    LEFT_OUT = "left out on request"


_LANDED = {MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED}


@dataclass(frozen=True, slots=True)
class MemberResult:
    """A worker's report of one member.

    Attributes:
        version: Data version: the SHA-256 of the object. `None` if there is no object.
        object_key: Key of the object below the landing zone.
        size: Bytes of the object.
        record: True if the version is to be recorded as a materialization.
        wrote: True if this run wrote the object.
        settle: True if the object that is to be current exists, and is not known to be the newest of its folder.
        problem: The reason of a failure.
        is_transient: True if running again can succeed.
        awaits_operator: True if the failure lasts until an operator mends a setting, a credential, a permission or a
            missing object.
        unwritable: True if the landing zone caused the failure.
        stats: The number of rows in a table's object, and the table's own columns.
        before: The stats of the version that this one replaces, or has replaced.
        column_changes: The columns that came or went since then, in words, as far as they are known.
        rejected: Records set aside, by reason.
        rejects_key: Key of the object with the rejected records.
        new_rejects: Keys of the objects of rejects that this run wrote where there were none.
        made_from: A hash of a table's bytes and of the options it was converted with; see `member_conversion.Source`.
        facts: Further findings of the converter, by name.
    """

    member: Member
    outcome: MemberOutcome
    version: str | None = None
    object_key: str | None = None
    size: int = 0
    record: bool = False
    wrote: bool = False
    settle: bool = False
    problem: str | None = None
    is_transient: bool = False
    awaits_operator: bool = False
    unwritable: bool = False
    stats: TableStats = NO_STATS
    before: TableStats = NO_STATS
    column_changes: str = ""
    rejected: Mapping[str, int] = field(default_factory=dict)
    rejects_key: str | None = None
    new_rejects: tuple[str, ...] = ()
    made_from: str | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)

    @classmethod
    def failed(cls, member: Member, error: PipelineError) -> MemberResult:
        """Return the result of a member that an error kept from being converted."""
        return cls(
            member,
            MemberOutcome.FAILED,
            problem=str(error),
            is_transient=error.is_transient,
            awaits_operator=error.awaits_operator,
        )


@dataclass
class NamedItems:
    """Things that an operator must look at: the first ones by name, the others counted."""

    total: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count an item, and keep its name while there is room."""
        self.total += 1
        if len(self.first) < LISTED:
            self.first.append(name)


@dataclass
class IngestReport:
    """The report of one archive, as it grows."""

    empty_before: Container[tuple[str, str]] = frozenset()
    """The course and the name of each output that was empty in the archive before already."""
    members: int = 0
    outcomes: Counter[MemberOutcome] = field(default_factory=Counter)
    rows_delivered: int = 0
    rows_rejected: Counter[str] = field(default_factory=Counter)
    tables: dict[str, TableCounts] = field(default_factory=dict)
    courses: dict[str, CourseCounts] = field(default_factory=dict)
    """The counts by partition, also of those without a delivery."""
    listed: dict[MemberOutcome, list[tuple[str, int, str]]] = field(default_factory=dict)
    """Path, size in the archive and reason of the members that an operator must look at."""
    ambiguous: dict[str, None] = field(default_factory=dict)
    """Course ids with more than one reading, in order of appearance."""
    claimed_twice: NamedItems = field(default_factory=NamedItems)
    """Paths of members whose place an earlier member of the archive had claimed."""
    new_with_rejects: NamedItems = field(default_factory=NamedItems)
    """Tables whose version of this archive is new and has rejected records."""
    shrunken: NamedItems = field(default_factory=NamedItems)
    """Tables of a course with less than half the rows of their last version."""
    other_columns: NamedItems = field(default_factory=NamedItems)
    """Tables of a course with other columns than their last version."""
    failed_outputs: int = 0
    """Number of outputs beside the member itself that could not be delivered: the rows of forums."""
    failed_for_now: int = 0
    """Number of failed members that may succeed in another run."""
    failed_until_mended: int = 0
    """Number of failed members that may succeed once an operator has mended what `awaits_operator` means."""
    unchecked_signers: Counter[str] = field(default_factory=Counter)
    """Signatures that could not be checked, by the ids of keys that are not among the operator's."""
    problem: str | None = None
    """The defect of the archive itself, if it has one."""
    warning: str | None = None
    """The reason why its content cannot be relied on, although nothing is known to be wrong."""

    def add_unread(self, member: Member, size: int) -> None:
        """Count a member that nothing is read from."""
        outcome = {
            MemberKind.MISSING_AT_SOURCE: MemberOutcome.MISSING_AT_SOURCE,
            MemberKind.UNRECOGNISED: MemberOutcome.UNRECOGNISED,
            MemberKind.IGNORED: MemberOutcome.IGNORED,
        }[member.kind]
        self.outcomes[outcome] += 1
        if outcome is not MemberOutcome.IGNORED:
            self._list(outcome, member, size, member.reason or "")

    def add(self, result: MemberResult, size: int, *, is_new: bool) -> None:
        """Count a member, and compare its rows and columns with those of the version before."""
        is_member = result.member.kind is not MemberKind.FORUM_POSTS
        if is_member:
            self.outcomes[result.outcome] += 1
        else:
            self.failed_outputs += result.outcome is MemberOutcome.FAILED
        self.rows_rejected.update(result.rejected)
        if is_member and result.outcome is MemberOutcome.DELIVERED:
            self.rows_delivered += result.stats.rows or 0
        if result.outcome is MemberOutcome.FAILED:
            self.failed_for_now += result.is_transient
            self.failed_until_mended += result.awaits_operator
            self._list(MemberOutcome.FAILED, result.member, size, result.problem or "")
        self._table(result).add(result)
        if result.member.course is not None and result.outcome is MemberOutcome.EMPTY:
            self._course(result.member.course).empty.add(sys.intern(result.member.output))
        if is_member and result.member.course is not None and result.outcome in _LANDED:
            self._course(result.member.course).add(result, 1)
        if is_new and result.rejected:
            self.new_with_rejects.add(f"{result.member.label}: {sum(result.rejected.values()):,}")
        if result.outcome in {MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED, MemberOutcome.EMPTY}:
            self._compare(result)

    def change(self, result: MemberResult, outcome: MemberOutcome, *, problem: PipelineError | None = None) -> None:
        """Count a member anew, with its final outcome.

        Args:
            result: The result that was added before.
            outcome: The outcome in the end.
            problem: The reason of a failure, if the member is to be listed as failed.
        """
        is_member = result.member.kind is not MemberKind.FORUM_POSTS
        if is_member:
            self.outcomes = self.outcomes + Counter({outcome: 1}) - Counter({result.outcome: 1})
        else:
            self.failed_outputs += outcome is MemberOutcome.FAILED
        self._table(result).change(result, outcome)
        if is_member and result.member.course is not None and result.outcome in _LANDED and outcome not in _LANDED:
            self._course(result.member.course).add(result, -1)
        if is_member and result.outcome is MemberOutcome.DELIVERED:
            self.rows_delivered -= result.stats.rows or 0
        if problem is not None:
            self.failed_for_now += problem.is_transient
            self.failed_until_mended += problem.awaits_operator
            self._list(MemberOutcome.FAILED, result.member, result.size, str(problem))

    def _table(self, result: MemberResult) -> TableCounts:
        return self.tables.setdefault(result.member.output, TableCounts())

    def _course(self, course: CoursePartition) -> CourseCounts:
        return self.courses.setdefault(course.key(), CourseCounts())

    def _compare(self, result: MemberResult) -> None:
        before, now = result.before, result.stats
        place = (result.member.partition or "", result.member.output)
        if result.outcome is MemberOutcome.EMPTY and place in self.empty_before:
            return  # Its last version, which has rows, stays the recorded one.
        if before.rows is not None and now.rows is not None and 2 * now.rows < before.rows:
            self.shrunken.add(f"{result.member.label}: {before.rows:,} rows before, {now.rows:,} now")
        if now.has_other_columns_than(before):
            changes = f": {result.column_changes}" if result.column_changes else ""
            self.other_columns.add(f"{result.member.label}{changes}")

    def note(self, member: Member) -> None:
        """Count a member when its name is read."""
        self.members += 1
        if member.course is not None:
            course = self._course(member.course)
            course.members += 1
            if member.table or member.kind is not MemberKind.MISSING_AT_SOURCE:
                course.outputs.add(sys.intern(member.output))  # each is an output of many courses
        if member.ambiguous and member.course is not None:
            self.ambiguous[member.course.course_id] = None

    def _list(self, outcome: MemberOutcome, member: Member, size: int, reason: str) -> None:
        listed = self.listed.setdefault(outcome, [])
        if len(listed) < LISTED:
            listed.append((member.label, size, reason))

    @property
    def failed(self) -> int:
        """Members that failed, and outputs beside them."""
        return self.outcomes[MemberOutcome.FAILED] + self.failed_outputs

    def sum_of_outcomes(self) -> str:
        """Write out the sum of all outcomes, which must equal the number of members."""
        shown = [each for each in MemberOutcome if each is not MemberOutcome.LEFT_OUT or self.outcomes[each]]
        parts = " + ".join(f"{self.outcomes[outcome]:,} {outcome}" for outcome in shown)
        total = sum(self.outcomes.values())
        sign = "=" if total == self.members else "≠"
        return f"{self.members:,} members {sign} {parts}"

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "members": self.members,
            **{outcome.name.lower(): self.outcomes[outcome] for outcome in MemberOutcome},
            "rows": self.rows_delivered,
            "rows_rejected": dict(self.rows_rejected),
            "ambiguous": list(self.ambiguous),
            "claimed_twice": self.claimed_twice.first,
            "unchecked_signers": dict(self.unchecked_signers),
            "listed": {
                outcome.name.lower(): [{"member": path, "size": size, "reason": why} for path, size, why in listed]
                for outcome, listed in self.listed.items()
            },
            "tables": {name: table.as_json() for name, table in sorted(self.tables.items())},
            "problem": self.problem,
            "warning": self.warning,
        }


@dataclass(slots=True)
class CourseCounts:
    """The counts of one course: its members, and the rows and bytes that it has in the landing zone.

    Attributes:
        outputs: Names of its tables and other members, also of tables that edX could not export.
        empty: Names of its outputs that have no rows or no bytes.
    """

    members: int = 0
    rows: int = 0
    bytes: int = 0
    outputs: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)

    def add(self, result: MemberResult, times: int) -> None:
        """Count an object that landed; with -1, take it out again."""
        self.rows += times * (result.stats.rows or 0)
        self.bytes += times * result.size


@dataclass
class TableCounts:
    """Counts of one table, or of one other kind of member, over all courses."""

    outcomes: Counter[MemberOutcome] = field(default_factory=Counter)
    rows: int = 0
    bytes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, result: MemberResult) -> None:
        """Count one member."""
        self.outcomes[result.outcome] += 1
        self.rejected.update(result.rejected)
        if result.outcome in _LANDED:
            self.rows += result.stats.rows or 0
            self.bytes += result.size

    def change(self, result: MemberResult, outcome: MemberOutcome) -> None:
        """Count a member anew, with its final outcome."""
        self.outcomes = self.outcomes + Counter({outcome: 1}) - Counter({result.outcome: 1})
        if result.outcome in _LANDED and outcome not in _LANDED:
            self.rows -= result.stats.rows or 0
            self.bytes -= result.size

    @property
    def must_be_looked_at(self) -> bool:
        """True if rows were set aside, or members failed."""
        return bool(self.rejected or self.outcomes[MemberOutcome.FAILED])

    def __add__(self, other: TableCounts) -> TableCounts:
        return TableCounts(
            self.outcomes + other.outcomes,
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.rejected + other.rejected,
        )

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        outcomes = {outcome.name.lower(): count for outcome, count in self.outcomes.items()}
        return {**outcomes, "rows": self.rows, "bytes": self.bytes, "rejected": dict(self.rejected)}
