"""What a worker process does with one member: convert it, decide what is to be done, and write.

Writing waits for a network or a disk, so it happens in threads, and a task's answer is deferred: the process goes on
with the next task meanwhile.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Self

from edxorg.lib.archive.account import Delivery, Fate
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.members import Member, MemberKind, course_columns
from edxorg.lib.object_keys import raw_data_key, rejected_record_key, rejected_rows_key
from edxorg.lib.tables import (
    CONVERSION,
    ConvertedTable,
    CourseColumns,
    Escapes,
    Reading,
    RowHash,
    TableOptions,
    convert_table,
)
from edxorg.lib.workers import Deferred, TruncatedStreamError
from ol_orchestrate.lib.delivery import Copies, Outcome, Recorded, Shape, decide, deliver, is_superseded
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, UploadBudget, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from datetime import date, datetime

HELD = 8 << 20
"""Bytes of a table that are held until it is known whether it is the same as before."""

MADE_FROM_LENGTH = 40
"""Hex digits; Dagster's tags have 63 characters at most."""

BROKEN_OFF = "the archive breaks off in the middle of this member"


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds for all members of an archive.

    Attributes:
        landing_zone: URL of the store to write to; `None` to write nothing, and only see what would be.
        access: How to get into it.
        archive_date: The date in the archive's name.
        supersede: Let this archive replace what a later one brought.
        escapes: Whether the tables' escapes are undone.
        row_hash: What the tables' row hash is made of.
        dialect: Readings to be forced, by table name or by the path of a member; both can have wildcards.
        mark: The mark that the run leaves while it is not over.
    """

    landing_zone: str | None
    access: StoreAccess = field(default_factory=StoreAccess)
    archive_date: date | None = None
    supersede: bool = False
    escapes: Escapes = Escapes.KEEP
    row_hash: RowHash = RowHash.RECORD
    dialect: Mapping[str, Reading] = field(default_factory=dict)
    mark: RunMark = field(default_factory=RunMark)

    def options_for(self, member: Member) -> TableOptions:
        """How a table is to be read and written."""
        forced = (
            reading
            for pattern, reading in self.dialect.items()
            if fnmatchcase(member.table or "", pattern) or fnmatchcase(member.path, pattern)
        )
        return TableOptions(escapes=self.escapes, row_hash=self.row_hash, dialect=next(forced, None))


@dataclass(frozen=True, slots=True)
class Source:
    """A member's bytes, and what tells them apart from others.

    Most tables are the same from one week's archive to the next, and finding that out takes a tenth of the time that
    converting them takes.

    Attributes:
        blocks: The bytes, to be read once.
        made_from: A hash of a table's bytes and of all else that its rows depend on. `None` for other members, which
            are not converted, and for tables too large to be held until all bytes are there.
    """

    blocks: Iterator[bytes]
    made_from: str | None

    @classmethod
    def begin(cls, member: Member, blocks: Iterable[bytes], orders: Orders) -> Self:
        """Read a table's bytes, or its first `HELD`."""
        if member.kind is not MemberKind.TABLE or member.course is None:
            return cls(iter(blocks), None)
        options = orders.options_for(member)
        how = (CONVERSION, options.escapes, options.row_hash, options.dialect, course_columns(member.course))
        digest = sha256(repr(how).encode())
        held: deque[bytes] = deque()
        size = 0
        rest = iter(blocks)
        for block in rest:
            held.append(block)
            size += len(block)
            if size > HELD:
                return cls(chain(_emptying(held), rest), None)
            digest.update(block)
        return cls(_emptying(held), digest.hexdigest()[:MADE_FROM_LENGTH])


def _emptying(blocks: deque[bytes]) -> Iterator[bytes]:
    while blocks:
        yield blocks.popleft()


class Deliverer:
    """A worker's state: its store and its threads."""

    def __init__(self, orders: Orders, budget: UploadBudget | None = None) -> None:
        """Made once in each process; `budget` is the run's."""
        self.orders = orders
        self.store = open_store(orders.landing_zone, orders.access, budget=budget) if orders.landing_zone else None
        at_once = self.store.writes_at_once if self.store else 1
        self.threads = ThreadPoolExecutor(at_once, thread_name_prefix="write")
        self._began: datetime | None = None
        self._beginning = Lock()

    def begin(self) -> datetime:
        """Leave the run's mark, once, before anything is written; tells that moment by the store's clock."""
        if self.store is None:
            raise ValueError("nothing is written without a landing zone")
        with self._beginning:
            if self._began is None:
                self._began = self.orders.mark.leave_in(self.store)
            return self._began

    def deliver(self, member: Member, recorded: Recorded | None, blocks: Iterable[bytes]) -> Future[Delivery]:
        """Convert a member now, unless it is known what becomes of it, and write it soon."""
        try:
            source = Source.begin(member, blocks, self.orders)
            if recorded is not None and source.made_from is not None and recorded.made_from == source.made_from:
                return self.threads.submit(self._unless_there, member, recorded, source)
            return self.threads.submit(self._made(member, recorded, source))
        except TruncatedStreamError:
            return self.threads.submit(_failed, member, BROKEN_OFF, may_pass=False)

    def _made(self, member: Member, recorded: Recorded | None, source: Source) -> Callable[[], Delivery]:
        """Convert a member; what is returned writes it."""
        try:
            converted = _convert(member, source, self.orders)
        except PipelineError as error:
            return partial(_failed, member, str(error), may_pass=error.may_pass)
        except OSError as error:
            problem = f"its temporary file cannot be written ({error}): make room in the folder that TMPDIR names"
            return partial(_failed, member, problem, may_pass=True)
        return partial(_write, self, converted, recorded)

    def _unless_there(self, member: Member, recorded: Recorded, source: Source) -> Delivery:
        """What was recorded was made from the same bytes in the same way: only its object may be missing."""
        delivery = Delivery(member, Fate.UNCHANGED, version=recorded.version, shape=recorded.shape)
        if self.store is None:
            return delivery
        try:
            there = _copies(self.store, member).there()
        except PipelineError as error:
            return _unwritable(delivery, error)
        orders = self.orders
        decision = decide(
            recorded.version, orders.archive_date, recorded=recorded, there=there, supersede=orders.supersede
        )
        if decision.write:
            return self._made(member, recorded, source)()
        delivery = replace(delivery, fate=_FATES[decision.outcome], settle=decision.settle is not None)
        if decision.outcome is Outcome.SUPERSEDED:
            return delivery
        return replace(
            delivery, object_key=raw_data_key(member, recorded.version), size=there.objects[recorded.version].size
        )


def _copies(store: ObjectStore, member: Member) -> Copies:
    return Copies(store, partial(raw_data_key, member), by_content=True)


def deliver_batch(state: Deliverer, batch: list[tuple[Member, Recorded | None, bytes]]) -> Deferred[list[Delivery]]:
    """Deliver small members, each held whole."""
    written = [state.deliver(member, recorded, [content]) for member, recorded, content in batch]
    return Deferred(lambda: [each.result() for each in written])


def deliver_stream(
    state: Deliverer, blocks: Iterator[bytes], member: Member, recorded: Recorded | None
) -> Deferred[list[Delivery]]:
    """Deliver a large member as it comes."""
    written = state.deliver(member, recorded, blocks)
    return Deferred(lambda: [written.result()])


@dataclass(frozen=True, slots=True)
class _Converted:
    """A member's objects, ready to be written."""

    member: Member
    content: Spool | None
    rejects: Spool | None = None
    records: tuple[Spool, ...] = ()
    table: ConvertedTable | None = None
    problem: str | None = None
    made_from: str | None = None

    def close(self) -> None:
        for spool in (self.content, self.rejects, *self.records):
            if spool is not None:
                spool.close()


def _convert(member: Member, source: Source, orders: Orders) -> _Converted:
    if member.kind is MemberKind.TABLE and member.course is not None:
        columns = CourseColumns(*course_columns(member.course).values())
        table = convert_table(source.blocks, course=columns, options=orders.options_for(member))
        # A table with rejects is converted each time: they are counted, and must be there, too.
        made_from = source.made_from if table.rejects is None else None
        return _Converted(member, table.rows, table.rejects, tuple(table.oversized), table, table.problem, made_from)
    content = Spool()
    for block in source.blocks:
        content.write(block)
    return _Converted(member, content if content.size else None)


def _write(state: Deliverer, converted: _Converted, recorded: Recorded | None) -> Delivery:
    delivery, store, orders = _accounted(converted), state.store, state.orders
    try:
        if store is None:
            return delivery
        has_content = delivery.version is not None and converted.content is not None
        if is_superseded(orders.archive_date, recorded, supersede=orders.supersede):
            if not has_content:
                return replace(delivery, fate=Fate.SUPERSEDED)
        else:
            # The rejects first: a table is recorded with the count of its rejected rows, so they must be there.
            for spool, key in _rejected_objects(converted):
                if store.find(key) is None:
                    store.write(key, spool.reader())
        if delivery.version is None or converted.content is None:
            return delivery
        decision = deliver(
            delivery.version,
            converted.content.reader(),
            to=_copies(store, converted.member),
            recorded=recorded,
            source_date=orders.archive_date,
            supersede=orders.supersede,
            begin=state.begin,
        )
        return replace(
            delivery,
            fate=_FATES[decision.outcome],
            record=decision.record,
            wrote=decision.write,
            settle=decision.settle is not None,
        )
    except PipelineError as error:
        return _unwritable(delivery, error)
    finally:
        converted.close()


_FATES = {
    Outcome.DELIVERED: Fate.DELIVERED,
    Outcome.UNCHANGED: Fate.UNCHANGED,
    Outcome.SUPERSEDED: Fate.SUPERSEDED,
}


def _rejected_objects(converted: _Converted) -> Iterator[tuple[Spool, str]]:
    for record in converted.records:
        yield record, rejected_record_key(converted.member, record.sha256)
    if converted.rejects is not None:
        yield converted.rejects, rejected_rows_key(converted.member, converted.rejects.sha256)


def _accounted(converted: _Converted) -> Delivery:
    """What can be said of a member before the store is asked; it counts as delivered if nothing speaks against it."""
    member, problem = converted.member, converted.problem
    content = None if problem else converted.content
    delivery = Delivery(
        member,
        Fate.FAILED if problem else Fate.DELIVERED if content else Fate.EMPTY,
        version=content.sha256 if content else None,
        object_key=raw_data_key(member, content.sha256) if content else None,
        size=content.size if content else 0,
        problem=problem,
        rejects_key=rejected_rows_key(member, converted.rejects.sha256) if converted.rejects else None,
    )
    if converted.table is None:
        return delivery
    report = converted.table.report
    facts: dict[str, str | int] = {
        "reading": report.reading.value if report.reading else "none",
        "quoted_records": report.a,
        "records_with_other_quotes": report.b,
        "ambiguous": report.ambiguous,
        "large_rows": report.large_rows,
    }
    return replace(
        delivery,
        shape=Shape.of(report.rows_out if content else 0, report.columns or None),
        rejected={reason.value: count for reason, count in report.rejected.items()},
        made_from=converted.made_from,
        facts=facts,
    )


def _unwritable(delivery: Delivery, error: PipelineError) -> Delivery:
    return replace(delivery, fate=Fate.FAILED, problem=str(error), may_pass=error.may_pass, unwritable=True)


def _failed(member: Member, problem: str, *, may_pass: bool) -> Delivery:
    return Delivery(member, Fate.FAILED, problem=problem, may_pass=may_pass)
