"""What became of every member of an archive; the numbers add up, or the account says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from edxorg.lib.members import Member, MemberKind
from ol_orchestrate.lib.delivery import NO_TABLE, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ol_orchestrate.lib.errors import PipelineError

LISTED = 200
"""Members of one kind that are listed by name; the others are counted."""


class Fate(StrEnum):
    """What can become of a member. Each member has exactly one."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    EMPTY = "empty"
    MISSING_AT_SOURCE = "missing at the source"
    UNRECOGNISED = "unrecognised"
    IGNORED = "ignored"
    FAILED = "failed"


_LANDED = {Fate.DELIVERED, Fate.UNCHANGED}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a worker made of one member.

    Attributes:
        member: Which one.
        fate: What became of it.
        version: Data version of what landed: the SHA-256 of the object. `None` if there is no object.
        object_key: Where that is, below the landing zone.
        size: Bytes of the object.
        record: Whether this is to be recorded as a materialization.
        wrote: Whether this run wrote the object.
        settle: Whether the object that is to be current is there, and not known to be the newest of its folder.
        problem: Why it failed.
        may_pass: Whether running again can help it.
        unwritable: Whether it failed because the landing zone did.
        shape: Of a table: the rows in the object, and its own columns.
        before: The shape of the version that this one replaces, or has replaced.
        rejected: Records set aside, by reason.
        rejects_key: Where the rejected records are.
        made_from: Tells apart the bytes that a table was made from, and how; see `worker.Source`.
        facts: What else the converter found out, by name.
    """

    member: Member
    fate: Fate
    version: str | None = None
    object_key: str | None = None
    size: int = 0
    record: bool = False
    wrote: bool = False
    settle: bool = False
    problem: str | None = None
    may_pass: bool = False
    unwritable: bool = False
    shape: Shape = NO_TABLE
    before: Shape = NO_TABLE
    rejected: Mapping[str, int] = field(default_factory=dict)
    rejects_key: str | None = None
    made_from: str | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass
class Listing:
    """Things that people must look at: the first ones by name, the others counted."""

    total: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.total += 1
        if len(self.first) < LISTED:
            self.first.append(name)


@dataclass
class Account:
    """The account of one archive, as it grows."""

    members: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    rows_delivered: int = 0
    rows_rejected: Counter[str] = field(default_factory=Counter)
    tables: dict[str, TableAccount] = field(default_factory=dict)
    listed: dict[Fate, list[tuple[str, int, str]]] = field(default_factory=dict)
    """Path, size in the archive and reason of those that people must look at."""
    ambiguous: dict[str, None] = field(default_factory=dict)
    """Course ids with more than one reading, in order of appearance."""
    claimed_twice: Listing = field(default_factory=Listing)
    """Paths that an earlier member of the archive had claimed the place of."""
    new_with_rejects: Listing = field(default_factory=Listing)
    """Tables of which this archive brought another version, with rejected records."""
    shrunken: Listing = field(default_factory=Listing)
    """Tables of a course with less than half the rows of their last version."""
    other_columns: Listing = field(default_factory=Listing)
    """Tables of a course with other columns than their last version."""
    failed_for_now: int = 0
    """How many of those that failed may succeed in another run."""
    problem: str | None = None
    """What is wrong with the archive itself."""

    def add_unread(self, member: Member, size: int) -> None:
        """Count a member that nothing is read from."""
        fate = {
            MemberKind.MISSING_AT_SOURCE: Fate.MISSING_AT_SOURCE,
            MemberKind.UNRECOGNISED: Fate.UNRECOGNISED,
            MemberKind.IGNORED: Fate.IGNORED,
        }[member.kind]
        self.fates[fate] += 1
        if fate is not Fate.IGNORED:
            self._list(fate, member, size, member.reason or "")

    def add(self, delivery: Delivery, size: int, *, is_new: bool) -> None:
        """Count what a worker made of a member, and compare it with the version before."""
        self.fates[delivery.fate] += 1
        self.rows_rejected.update(delivery.rejected)
        if delivery.fate is Fate.DELIVERED:
            self.rows_delivered += delivery.shape.rows or 0
        if delivery.fate is Fate.FAILED:
            self.failed_for_now += delivery.may_pass
            self._list(Fate.FAILED, delivery.member, size, delivery.problem or "")
        self._table(delivery).add(delivery)
        if is_new and delivery.rejected:
            self.new_with_rejects.add(f"{delivery.member.label}: {sum(delivery.rejected.values()):,}")
        if delivery.fate in {Fate.DELIVERED, Fate.UNCHANGED, Fate.EMPTY}:
            self._compare(delivery)

    def change(self, delivery: Delivery, fate: Fate, *, problem: PipelineError | None = None) -> None:
        """Count a member otherwise than it was counted before.

        Args:
            delivery: As it was added.
            fate: What became of it in the end.
            problem: Why it failed, if it is to be listed as failed.
        """
        self.fates = self.fates + Counter({fate: 1}) - Counter({delivery.fate: 1})
        self._table(delivery).change(delivery, fate)
        if delivery.fate is Fate.DELIVERED:
            self.rows_delivered -= delivery.shape.rows or 0
        if problem is not None:
            self.failed_for_now += problem.may_pass
            self._list(Fate.FAILED, delivery.member, delivery.size, str(problem))

    def _table(self, delivery: Delivery) -> TableAccount:
        name = delivery.member.table or delivery.member.kind.value
        return self.tables.setdefault(name, TableAccount())

    def _compare(self, delivery: Delivery) -> None:
        before, now = delivery.before, delivery.shape
        if before.rows is not None and now.rows is not None and 2 * now.rows < before.rows:
            self.shrunken.add(f"{delivery.member.label}: {before.rows:,} rows before, {now.rows:,} now")
        if before.columns is not None and now.columns is not None and now.columns != before.columns:
            self.other_columns.add(delivery.member.label)

    def note(self, member: Member) -> None:
        """Count a member when its name is read."""
        self.members += 1
        if member.ambiguous and member.course is not None:
            self.ambiguous[member.course.course_id] = None

    def _list(self, fate: Fate, member: Member, size: int, reason: str) -> None:
        listed = self.listed.setdefault(fate, [])
        if len(listed) < LISTED:
            listed.append((member.label, size, reason))

    @property
    def failed(self) -> int:
        """Members that failed."""
        return self.fates[Fate.FAILED]

    def sum_of_fates(self) -> str:
        """For people: the sum that must equal the number of members."""
        parts = " + ".join(f"{self.fates[fate]:,} {fate}" for fate in Fate)
        total = sum(self.fates.values())
        sign = "=" if total == self.members else "≠"
        return f"{self.members:,} members {sign} {parts}"

    def as_json(self) -> dict[str, object]:
        """The account for programs."""
        return {
            "members": self.members,
            **{fate.name.lower(): self.fates[fate] for fate in Fate},
            "rows": self.rows_delivered,
            "rows_rejected": dict(self.rows_rejected),
            "ambiguous": list(self.ambiguous),
            "claimed_twice": self.claimed_twice.first,
            "listed": {
                fate.name.lower(): [{"member": path, "size": size, "reason": why} for path, size, why in listed]
                for fate, listed in self.listed.items()
            },
            "tables": {name: table.as_json() for name, table in sorted(self.tables.items())},
            "problem": self.problem,
        }


@dataclass
class TableAccount:
    """The account of one table, or one other kind of member, over all courses."""

    fates: Counter[Fate] = field(default_factory=Counter)
    rows: int = 0
    bytes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, delivery: Delivery) -> None:
        """Count what a worker made of one member."""
        self.fates[delivery.fate] += 1
        self.rejected.update(delivery.rejected)
        if delivery.fate in _LANDED:
            self.rows += delivery.shape.rows or 0
            self.bytes += delivery.size

    def change(self, delivery: Delivery, fate: Fate) -> None:
        """Count a member otherwise than it was counted before."""
        self.fates = self.fates + Counter({fate: 1}) - Counter({delivery.fate: 1})
        if delivery.fate in _LANDED and fate not in _LANDED:
            self.rows -= delivery.shape.rows or 0
            self.bytes -= delivery.size

    def as_json(self) -> dict[str, object]:
        """The account for programs."""
        fates = {fate.name.lower(): count for fate, count in self.fates.items()}
        return {**fates, "rows": self.rows, "bytes": self.bytes, "rejected": dict(self.rejected)}
