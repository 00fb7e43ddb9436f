"""Converts one member in a worker process, decides whether its object is to be written, and writes it.

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
from typing import TYPE_CHECKING, Self, TypeAlias

from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.forum import ForumReport, PostsWriter
from edxorg.lib.members import Member, MemberKind, course_columns
from edxorg.lib.object_keys import raw_data_key, rejected_record_key, rejected_rows_key
from edxorg.lib.tables import (
    CONVERSION,
    ConvertedTable,
    CourseColumns,
    Dialect,
    Escapes,
    RowHash,
    TableOptions,
    convert_table,
)
from edxorg.lib.workers import Deferred, TruncatedStreamError
from ol_orchestrate.lib.archives import OPENPGP, START_BYTES, kind_of_file
from ol_orchestrate.lib.errors import BadInputError, PipelineError
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores import ObjectStore, SharedStore, StoreAccess
from ol_orchestrate.lib.versions import (
    Recorded,
    TableStats,
    VersionedObjects,
    VersionOutcome,
    decide,
    is_superseded,
    write_if_needed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import date, datetime

    from ol_orchestrate.lib.openpgp import Decryptor

HELD = 8 << 20
"""Bytes. A table up to this size is held whole, to be compared with the recorded version before it is converted."""

MADE_FROM_LENGTH = 40
"""Hex digits. Dagster's tags have 63 characters at most."""

AllRecorded: TypeAlias = "Sequence[Recorded | None]"
"""The recorded version of each output of a member."""

BROKEN_OFF = "the archive breaks off in the middle of this member"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options that apply to every member of an archive.

    Attributes:
        landing_zone: URL of the store to write to; `None` to write nothing and only report.
        access: Credentials and settings of that store.
        archive_date: The date in the archive's name.
        supersede: True to let this archive replace versions of later ones.
        escapes: Tells if the escapes in tables are undone.
        row_hash: Tells which fields the tables' row hash is made of.
        dialect: Dialects to be forced, by table name or by the path of a member; both can have wildcards.
        mark: The mark that the run leaves while it is not over.
        courses: Course ids to deliver, or patterns of them; all if there are none.
    """

    landing_zone: str | None
    access: StoreAccess = field(default_factory=StoreAccess)
    archive_date: date | None = None
    supersede: bool = False
    escapes: Escapes = Escapes.KEEP
    row_hash: RowHash = RowHash.RECORD
    dialect: Mapping[str, Dialect] = field(default_factory=dict)
    mark: RunMark = field(default_factory=RunMark)
    courses: Sequence[str] = ()

    def table_options(self, member: Member) -> TableOptions:
        """Return the options by which a table is read and written."""
        forced = (
            dialect
            for pattern, dialect in self.dialect.items()
            if fnmatchcase(member.table or "", pattern) or fnmatchcase(member.path, pattern)
        )
        return TableOptions(escapes=self.escapes, row_hash=self.row_hash, dialect=next(forced, None))


@dataclass(frozen=True, slots=True)
class Source:
    """A member's bytes, and a hash that tells if they were converted before.

    Most tables are the same from one week's archive to the next, and hashing them takes a tenth of the time of
    converting them.

    Attributes:
        blocks: The bytes, to be read once.
        made_from: A hash of a table's bytes and of all else that its rows depend on. `None` for other members, which
                are not converted, and for tables that are too large to be held whole.
    """

    blocks: Iterator[bytes]
    made_from: str | None

    @classmethod
    def begin(cls, member: Member, blocks: Iterable[bytes], options: IngestOptions) -> Self:
        """Read a table's bytes, or its first `HELD`."""
        if member.kind is not MemberKind.TABLE or member.course is None:
            return cls(iter(blocks), None)
        table_options = options.table_options(member)
        how = (
            CONVERSION,
            table_options.escapes,
            table_options.row_hash,
            table_options.dialect,
            course_columns(member.course),
        )
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


class MemberWriter:
    """A worker's state: its store and its threads. Made once in each process."""

    def __init__(self, options: IngestOptions, store: SharedStore | None = None) -> None:
        self.options = options
        self.store = store.open() if store else None
        at_once = self.store.writes_at_once if self.store else 1
        self.threads = ThreadPoolExecutor(at_once, thread_name_prefix="write")
        self._began: datetime | PipelineError | None = None
        self._beginning = Lock()

    def begin(self) -> datetime:
        """Leave the run's mark, once, before anything is written, and return that moment by the store's clock.

        Raises:
            PipelineError: The mark was not written. A final failure is not tried again for other members.
        """
        if self.store is None:
            raise ValueError("nothing is written without a landing zone")
        with self._beginning:
            if self._began is None:
                try:
                    self._began = self.options.mark.leave_in(self.store)
                except PipelineError as error:
                    if error.is_transient:
                        raise
                    self._began = error
            if isinstance(self._began, PipelineError):
                raise type(self._began)(str(self._began))
            return self._began

    def deliver(
        self, member: Member, recorded: AllRecorded, blocks: Iterable[bytes], decryptor: Decryptor | None
    ) -> Future[list[MemberResult]]:
        """Convert a member now, unless its recorded version was made from the same bytes, and write it soon."""
        try:
            content = decryptor.decrypt(blocks) if member.is_encrypted and decryptor else _no_message(blocks)
            source = Source.begin(member, content, self.options)
            latest = recorded[0]
            if latest is not None and source.made_from is not None and latest.made_from == source.made_from:
                return self.threads.submit(self._unless_there, member, latest, source)
            return self.threads.submit(self._made(member, recorded, source))
        except BadInputError as error:
            return self.threads.submit(_failed, member, str(error), is_transient=False)
        except TruncatedStreamError:
            return self.threads.submit(_failed, member, BROKEN_OFF, is_transient=False)

    def _made(self, member: Member, recorded: AllRecorded, source: Source) -> Callable[[], list[MemberResult]]:
        """Convert a member, and return the function that writes it."""
        try:
            converted = _convert(member, source, self.options)
        except PipelineError as error:
            return partial(_failed, member, str(error), is_transient=error.is_transient)
        except OSError as error:
            problem = f"its temporary file cannot be written ({error}): make room in the folder that TMPDIR names"
            return partial(_failed, member, problem, is_transient=True)
        return partial(_write_all, self, converted, recorded)

    def _unless_there(self, member: Member, recorded: Recorded, source: Source) -> list[MemberResult]:
        """Handle a member whose recorded version came from the same bytes in the same way: its object may be gone."""
        result = MemberResult(member, MemberOutcome.UNCHANGED, version=recorded.version, stats=recorded.stats)
        if self.store is None:
            return [result]
        try:
            stored = _versions_of(self.store, member).stored()
        except PipelineError as error:
            return [_unwritable(result, error)]
        options = self.options
        decision = decide(
            recorded.version, options.archive_date, recorded=recorded, stored=stored, supersede=options.supersede
        )
        if decision.write:
            return self._made(member, [recorded], source)()
        result = replace(result, outcome=_OUTCOMES[decision.outcome], settle=decision.settle is not None)
        if decision.outcome is VersionOutcome.SUPERSEDED:
            return [result]
        size = stored.objects[recorded.version].size
        return [replace(result, object_key=raw_data_key(member, recorded.version), size=size)]


def _no_message(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Refuse what is encrypted and not named so."""
    rest = iter(blocks)
    start = next(rest, b"")
    if kind_of_file(start[:START_BYTES]) == OPENPGP:
        raise BadInputError("it is an OpenPGP message, and its name does not end in .gpg")
    return chain([start], rest)


def _versions_of(store: ObjectStore, member: Member) -> VersionedObjects:
    return VersionedObjects(store, partial(raw_data_key, member), by_content=True)


def deliver_batch(
    state: MemberWriter, batch: list[tuple[Member, AllRecorded, bytes]], decryptor: Decryptor | None
) -> Deferred[list[MemberResult]]:
    """Deliver small members, each held whole."""
    written = [state.deliver(member, recorded, [content], decryptor) for member, recorded, content in batch]
    return Deferred(lambda: [result for each in written for result in each.result()])


def deliver_stream(
    state: MemberWriter,
    blocks: Iterator[bytes],
    member: Member,
    recorded: AllRecorded,
    decryptor: Decryptor | None,
) -> Deferred[list[MemberResult]]:
    """Deliver a large member block by block."""
    written = state.deliver(member, recorded, blocks, decryptor)
    return Deferred(written.result)


@dataclass(frozen=True, slots=True)
class _Converted:
    """A member's objects, ready to be written."""

    member: Member
    content: Spool | None
    rejects: Spool | None = None
    records: tuple[Spool, ...] = ()
    table: ConvertedTable | None = None
    forum: ForumReport | None = None
    problem: str | None = None
    made_from: str | None = None

    def close(self) -> None:
        for spool in (self.content, self.rejects, *self.records):
            if spool is not None:
                spool.close()


def outputs_of(member: Member) -> list[Member]:
    """Return what a member becomes: itself, and a forum's rows as well."""
    return [member, replace(member, kind=MemberKind.FORUM_POSTS)] if member.kind is MemberKind.FORUM else [member]


def _convert(member: Member, source: Source, options: IngestOptions) -> list[_Converted]:
    """Return the outputs of a member, in the order of `outputs_of`."""
    if member.kind is MemberKind.TABLE and member.course is not None:
        columns = CourseColumns(*course_columns(member.course).values())
        table = convert_table(source.blocks, course=columns, options=options.table_options(member))
        _read_to_the_end(source, table)
        # A table with rejects is converted each time: its rejects are counted, and their object must exist too.
        made_from = source.made_from if table.rejects is None else None
        return [
            _Converted(
                member,
                table.rows,
                table.rejects,
                tuple(table.oversized),
                table,
                problem=table.problem,
                made_from=made_from,
            )
        ]
    content = Spool()
    if member.kind is not MemberKind.FORUM:
        for block in source.blocks:
            content.write(block)
        return [_Converted(member, _unless_empty(content))]
    posts = PostsWriter()
    for block in posts.through(source.blocks):
        content.write(block)
    rows, rejects = _unless_empty(posts.rows), _unless_empty(posts.rejects)
    outputs = outputs_of(member)
    return [_Converted(outputs[0], _unless_empty(content)), _Converted(outputs[1], rows, rejects, forum=posts.report)]


def _unless_empty(spool: Spool) -> Spool | None:
    return spool if spool.size else None


def _read_to_the_end(source: Source, table: ConvertedTable) -> None:
    """Read what the conversion left: the end of an encrypted member proves that all of it is as it was written."""
    try:
        for _ in source.blocks:
            pass
    except BaseException:
        for spool in (table.rows, table.rejects, *table.oversized):
            if spool is not None:
                spool.close()
        raise


def _write_all(state: MemberWriter, converted: list[_Converted], recorded: AllRecorded) -> list[MemberResult]:
    return [_write(state, each, latest) for each, latest in zip(converted, recorded, strict=True)]


def _write(state: MemberWriter, converted: _Converted, recorded: Recorded | None) -> MemberResult:
    result, store, options = _accounted(converted), state.store, state.options
    try:
        if store is None:
            return result
        has_content = result.version is not None and converted.content is not None
        if is_superseded(options.archive_date, recorded, supersede=options.supersede):
            if not has_content:
                return replace(result, outcome=MemberOutcome.SUPERSEDED)
        else:
            # Rejects come first: a table is recorded with the count of its rejected rows, so their object must exist.
            for spool, key in _rejected_objects(converted):
                if store.find(key) is None:
                    store.write(key, spool.reader())
        if result.version is None or converted.content is None:
            return result
        decision = write_if_needed(
            result.version,
            converted.content.reader(),
            to=_versions_of(store, converted.member),
            recorded=recorded,
            source_date=options.archive_date,
            supersede=options.supersede,
            begin=state.begin,
        )
        return replace(
            result,
            outcome=_OUTCOMES[decision.outcome],
            record=decision.record,
            wrote=decision.write,
            settle=decision.settle is not None,
        )
    except PipelineError as error:
        return _unwritable(result, error)
    finally:
        converted.close()


_OUTCOMES = {
    VersionOutcome.DELIVERED: MemberOutcome.DELIVERED,
    VersionOutcome.UNCHANGED: MemberOutcome.UNCHANGED,
    VersionOutcome.SUPERSEDED: MemberOutcome.SUPERSEDED,
}


def _rejected_objects(converted: _Converted) -> Iterator[tuple[Spool, str]]:
    for record in converted.records:
        yield record, rejected_record_key(converted.member, record.sha256)
    if converted.rejects is not None:
        yield converted.rejects, rejected_rows_key(converted.member, converted.rejects.sha256)


def _accounted(converted: _Converted) -> MemberResult:
    """Return the result of a member before the store is asked; it counts as delivered unless its conversion failed."""
    member, problem = converted.member, converted.problem
    content = None if problem else converted.content
    result = MemberResult(
        member,
        MemberOutcome.FAILED if problem else MemberOutcome.DELIVERED if content else MemberOutcome.EMPTY,
        version=content.sha256 if content else None,
        object_key=raw_data_key(member, content.sha256) if content else None,
        size=content.size if content else 0,
        problem=problem,
        rejects_key=rejected_rows_key(member, converted.rejects.sha256) if converted.rejects else None,
    )
    if converted.forum is not None:
        forum = converted.forum
        rejected = {reason.value: count for reason, count in forum.rejected.items()}
        return replace(result, stats=TableStats(forum.rows), rejected=rejected)
    if converted.table is None:
        return result
    report = converted.table.report
    facts: dict[str, str | int] = {
        "reading": report.dialect.value if report.dialect else "none",
        "quoted_records": report.rfc4180_records,
        "records_with_other_quotes": report.rfc4180_violations,
        "ambiguous": report.ambiguous,
        "large_rows": report.large_rows,
    }
    return replace(
        result,
        stats=TableStats.from_columns(report.rows_out if content else 0, report.columns or None),
        rejected={reason.value: count for reason, count in report.rejected.items()},
        made_from=converted.made_from,
        facts=facts,
    )


def _unwritable(result: MemberResult, error: PipelineError) -> MemberResult:
    return replace(
        result, outcome=MemberOutcome.FAILED, problem=str(error), is_transient=error.is_transient, unwritable=True
    )


def _failed(member: Member, problem: str, *, is_transient: bool) -> list[MemberResult]:
    return [MemberResult(member, MemberOutcome.FAILED, problem=problem, is_transient=is_transient)]
