"""Has one member converted in a worker process, decides whether its object is to be written, and writes it.

Writing waits for a network or a disk, so it happens in threads, and a task's answer is deferred: the process goes on
with the next task meanwhile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain, starmap
from threading import Lock
from traceback import walk_tb
from typing import TYPE_CHECKING, TypeAlias

from edxorg.lib.archive.column_changes import column_changes
from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.archive.member_conversion import Converted, Source, convert, outputs_of, result_of
from edxorg.lib.object_keys import raw_data_key
from edxorg.lib.tables import Dialect, Escapes, RowHash, TableOptions
from edxorg.lib.workers import Deferred, TruncatedStreamError
from ol_orchestrate.lib.archives import OPENPGP, START_BYTES, kind_of_file
from ol_orchestrate.lib.errors import BadInputError, PipelineError
from ol_orchestrate.lib.stores import ObjectStore, SharedStore, StoreAccess
from ol_orchestrate.lib.versions import (
    Recorded,
    VersionedObjects,
    VersionOutcome,
    decide,
    is_superseded,
    write_if_needed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import date, datetime

    from edxorg.lib.members import Member
    from ol_orchestrate.lib.openpgp import Decryptor

AllRecorded: TypeAlias = "Sequence[Recorded | None]"
"""The recorded version of each output of a member."""

BROKEN_OFF = "the archive breaks off in the middle of this member"


def _known_columns() -> Mapping[str, frozenset[str]]:
    from edxorg.lib.dictionary import KNOWN_COLUMNS  # noqa: PLC0415 - 5 MB, which a worker need not load

    return KNOWN_COLUMNS


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
        known_columns: The columns of the tables that are known.
        empty_before: The course and the name of each output that was empty in the archive before.
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
    known_columns: Mapping[str, frozenset[str]] = field(default_factory=_known_columns)
    empty_before: Container[tuple[str, str]] = frozenset()

    def table_options(self, member: Member) -> TableOptions:
        """Return the options by which a table is read and written."""
        forced = (
            dialect
            for pattern, dialect in self.dialect.items()
            if fnmatchcase(member.table or "", pattern) or fnmatchcase(member.path, pattern)
        )
        return TableOptions(
            escapes=self.escapes,
            row_hash=self.row_hash,
            dialect=next(forced, None),
            known_columns=self.known_columns.get(member.table or "", frozenset()),
        )


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
            source = Source.begin(member, content, self.options.table_options(member))
            known = [each for each in recorded if each is not None and each.made_from == source.made_from]
            if source.made_from is not None and len(known) == len(recorded):
                return self.threads.submit(self._unless_there, member, known, source)
            return self.threads.submit(self._made(member, recorded, source))
        except BadInputError as error:
            return self.threads.submit(_refused, member, error)
        except TruncatedStreamError:
            return self.threads.submit(_failed, member, BROKEN_OFF, is_transient=False)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the whole archive
            return self.threads.submit(_failed, member, _unexpected(error), is_transient=False)

    def _made(self, member: Member, recorded: AllRecorded, source: Source) -> Callable[[], list[MemberResult]]:
        """Convert a member, and return the function that writes it."""
        try:
            converted = convert(member, source)
        except PipelineError as error:
            return partial(_refused, member, error)
        except OSError as error:
            problem = f"its temporary file cannot be written ({error}): make room in the folder that TMPDIR names"
            return partial(_failed, member, problem, is_transient=True)
        except TruncatedStreamError:
            raise
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the whole archive
            return partial(_failed, member, _unexpected(error), is_transient=False)
        return partial(_write_all, self, converted, recorded)

    def _unless_there(self, member: Member, recorded: Sequence[Recorded], source: Source) -> list[MemberResult]:
        """Handle a member whose recorded versions came from the same bytes in the same way: an object may be gone."""
        results = list(starmap(self._result_if_there, zip(outputs_of(member), recorded, strict=True)))
        kept = [result for result in results if result is not None]
        return kept if len(kept) == len(results) else self._made(member, recorded, source)()

    def _result_if_there(self, member: Member, recorded: Recorded) -> MemberResult | None:
        """Return the result of an output that is recorded; `None` if it is to be written again."""
        result = MemberResult(member, MemberOutcome.UNCHANGED, version=recorded.version, stats=recorded.stats)
        if self.store is None:
            return result
        try:
            stored = _versions_of(self.store, member).stored()
        except PipelineError as error:
            return _unwritable(result, error)
        options = self.options
        decision = decide(
            recorded.version, options.archive_date, recorded=recorded, stored=stored, supersede=options.supersede
        )
        if decision.write:
            return None
        result = replace(result, outcome=_OUTCOMES[decision.outcome], settle=decision.settle is not None)
        if decision.outcome is VersionOutcome.SUPERSEDED:
            return result
        size = stored.objects[recorded.version].size
        result = replace(result, object_key=raw_data_key(member, recorded.version), size=size)
        return self.with_column_changes(result, recorded)

    def with_column_changes(self, result: MemberResult, recorded: Recorded | None) -> MemberResult:
        """Name the columns of a table that came or went, if the landing zone can be read."""
        if self.store is None or recorded is None or result.version is None:
            return result
        before = recorded.replaced_by(result.version, self.options.archive_date)
        if not result.stats.has_other_columns_than(before):
            return result
        try:
            return replace(
                result, column_changes=column_changes(_versions_of(self.store, result.member), result.version, before)
            )
        except PipelineError:
            return result


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


def _write_all(state: MemberWriter, converted: list[Converted], recorded: AllRecorded) -> list[MemberResult]:
    return [_write(state, each, latest) for each, latest in zip(converted, recorded, strict=True)]


def _write(state: MemberWriter, converted: Converted, recorded: Recorded | None) -> MemberResult:
    result, store, options = result_of(converted), state.store, state.options
    try:
        if store is None:
            return result
        has_content = result.version is not None and converted.content is not None
        if is_superseded(options.archive_date, recorded, supersede=options.supersede):
            if not has_content:
                return replace(result, outcome=MemberOutcome.SUPERSEDED)
        else:
            # Rejects come first: a table is recorded with the count of its rejected rows, so their object must exist.
            for spool, key in converted.rejected_objects():
                found = store.find(key)
                if found is None:  # noted first: a store that answers with an error may have written it all the same
                    result = replace(result, new_rejects=(*result.new_rejects, key))
                if found is None or found.size != spool.size:
                    state.begin()
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
        result = replace(
            result,
            outcome=_OUTCOMES[decision.outcome],
            record=decision.record,
            wrote=decision.write,
            settle=decision.settle is not None,
        )
        return state.with_column_changes(result, recorded)
    except PipelineError as error:
        return _unwritable(result, error)
    finally:
        converted.close()


_OUTCOMES = {
    VersionOutcome.DELIVERED: MemberOutcome.DELIVERED,
    VersionOutcome.UNCHANGED: MemberOutcome.UNCHANGED,
    VersionOutcome.SUPERSEDED: MemberOutcome.SUPERSEDED,
}


def _unwritable(result: MemberResult, error: PipelineError) -> MemberResult:
    return replace(
        result,
        outcome=MemberOutcome.FAILED,
        problem=str(error),
        is_transient=error.is_transient,
        awaits_operator=error.awaits_operator,
        unwritable=True,
    )


def _unexpected(error: Exception) -> str:
    """Describe an error by its class and place only: its text could have data of learners."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    place = f"{frame.f_globals.get('__name__')}, line {line}"
    return f"its conversion ended in an unexpected {type(error).__name__} ({place}): report this as a bug of edxorg"


def _refused(member: Member, error: PipelineError) -> list[MemberResult]:
    return [MemberResult.failed(member, error)]


def _failed(member: Member, problem: str, *, is_transient: bool) -> list[MemberResult]:
    return [MemberResult(member, MemberOutcome.FAILED, problem=problem, is_transient=is_transient)]
