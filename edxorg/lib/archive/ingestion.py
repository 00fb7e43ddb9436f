"""Reads an archive in order, and has its members delivered by worker processes.

One process unpacks, which is a fifth of the work, and keeps the report; it holds no large member whole.
"""

from __future__ import annotations

import sys
import tarfile
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edxorg.lib.archive.ingest_report import IngestReport, MemberOutcome, MemberResult
from edxorg.lib.archive.member_conversion import outputs_of
from edxorg.lib.archive.member_sender import MemberSender
from edxorg.lib.archive.member_writer import IngestOptions, MemberWriter
from edxorg.lib.archive.pending import PendingRecords, Place
from edxorg.lib.archive.reconciling import Reconciler
from edxorg.lib.members import Member, MemberKind, identify, is_selected, unmatched
from edxorg.lib.object_keys import raw_data_asset
from edxorg.lib.progress import Progress
from edxorg.lib.settings.file_names import is_of_preferences
from edxorg.lib.workers import MAX_WORKERS, WorkerPool
from ol_orchestrate.lib.archive_files import archive_entries, is_unverifiable
from ol_orchestrate.lib.archives import (
    ArchiveError,
    ContradictedEntryError,
    DamagedArchiveError,
    EntryError,
    TruncatedArchiveError,
)
from ol_orchestrate.lib.course_partition import CoursePartition
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PipelineError,
    ServiceError,
    SettingsError,
    SourceChangedError,
)
from ol_orchestrate.lib.openpgp import LazyKeyRing, no_keys
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.stores import shared_store
from ol_orchestrate.lib.versions import is_superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from edxorg.lib.archive.reconciling import Records
    from ol_orchestrate.lib.archives import ArchiveEntry
    from ol_orchestrate.lib.openpgp import PrivateKeys
    from ol_orchestrate.lib.stores import SharedStore, VerifiedReader
    from ol_orchestrate.lib.versions import Recorded

PARTS_AT_ONCE = 4
"""Parts of uploads, 5 MiB each, that all workers together send at one time: 300 MB/s where a part takes 60 ms, which is
more than they convert. For each part in flight, the next one may be in memory too."""

MAX_WORKERS_WITH_GCS = 2
"""Instead of `MAX_WORKERS` where they write to Google Cloud Storage, whose client takes more. Four took 626 MB."""

UNVERIFIED = (
    "the content of this archive was not verified, as its store has no checksum of it, and a tar has none of its "
    "members. Pack it with gzip (`gzip`, to .tar.gz), which has one"
)

FAILURES_IN_A_ROW = 20
"""The run gives up after so many members in a row that the landing zone refused."""

_NOT_DELIVERED = {MemberKind.MISSING_AT_SOURCE, MemberKind.UNRECOGNISED, MemberKind.IGNORED}


@dataclass
class Ingested:
    """An archive whose objects are written, and are to be recorded.

    Attributes:
        problem: The reason why the archive could not be read to its end, or cannot be trusted.
        is_refused: True if nothing of the archive may be recorded.
        taken_back: The number of a refused archive's objects that were deleted; `None` if they had to stay, since
            another run may be at work.
    """

    report: IngestReport
    problem: PipelineError | None
    is_refused: bool
    taken_back: int | None
    _to_record: PendingRecords
    _options: IngestOptions
    _records: Records
    _reconciler: Reconciler
    _overtaken: dict[str, Mapping[str, Recorded]] = field(default_factory=dict)

    def still_to_record(self, asset: str, results: Iterable[MemberResult]) -> Iterator[MemberResult]:
        """Yield the results of an asset that no other run has overtaken; none may record until they are recorded."""
        if self._records.changed(asset):
            self._overtaken[asset] = self._records.latest(asset)
            self._reconciler.was_overtaken()
        latest = self._overtaken.get(asset, {})
        for result in results:
            place = _place_of(result.member)
            recorded = latest.get(place.partition) if place else None
            date = self._options.archive_date
            if is_superseded(date, recorded, supersede=self._options.supersede):
                self.report.change(result, MemberOutcome.SUPERSEDED)
            elif recorded is not None and recorded.came_with(result.version, date):
                self.report.change(result, MemberOutcome.UNCHANGED)
            else:
                yield result

    def finish(self, assets: Iterable[str]) -> None:
        """End the run when all is recorded.

        Args:
            assets: Those that something was to be recorded for.

        Raises:
            PipelineError: The landing zone cannot be used, or a place cannot be settled.
        """
        if not self.is_refused:
            self._reconciler.finish(assets, _versions_ever_put(self._to_record))


def ingest_archive(
    source: VerifiedReader,
    options: IngestOptions,
    records: Records,
    to_record: PendingRecords,
    *,
    keys: Callable[[], PrivateKeys] = no_keys,
    progress: Callable[[Progress], None] = lambda _: None,
    workers: int | None = None,
    pool_class: type[WorkerPool] = WorkerPool,
) -> Ingested:
    """Deliver all members of an archive.

    Args:
        records: The records of earlier runs; the latest versions are read once for each asset that occurs.
        to_record: Receives the results that are to be recorded.
        keys: Reads the private keys, if anything is encrypted.
        progress: Called now and then.
        workers: Number of processes; by default the pool decides.

    Returns:
        The report, and what is left to do. All whole members of a truncated archive are delivered. A damaged archive,
        or one whose bytes are not those that its store announced, is refused: its objects are deleted again.

    Raises:
        PipelineError: The source or the landing zone cannot be used.
    """
    reconciler = Reconciler(options, records)
    with PendingRecords() as to_settle:
        with (
            _landing_zone(options) as store,
            LazyKeyRing(keys) as ring,
            pool_class(
                MemberWriter,
                options,
                store,
                workers=workers,
                most=MAX_WORKERS_WITH_GCS if store and store.url.startswith("gs://") else MAX_WORKERS,
                descriptors=store.descriptors if store else (),
            ) as pool,
        ):
            ingestion = _Ingestion(pool, options, records, to_record, to_settle, ring)
            problem = _read(source, ring, ingestion, progress)
            ingestion.report.unchecked_signers = ring.unchecked_signers()
        if ingestion.has_unwritable:
            reconciler.keep_mark()
        is_refused, taken_back = isinstance(problem, (DamagedArchiveError, SourceChangedError)), None
        if is_refused:
            taken_back = ingestion.refuse(reconciler)
        else:
            ingestion.settle(reconciler)
    report = ingestion.report
    report.problem = str(problem) if problem else None
    if problem is None:
        report.warning = "\n".join(_warnings(source, options, report)) or None
    return Ingested(report, problem, is_refused, taken_back, to_record, options, records, reconciler)


def _warnings(source: VerifiedReader, options: IngestOptions, report: IngestReport) -> Iterator[str]:
    if is_unverifiable(source):
        yield f"{source.info.url}: {UNVERIFIED}"
    course_ids = dict.fromkeys(CoursePartition.parse(key).course_id for key in report.courses)
    if course_ids and (missed := list(unmatched(options.courses, course_ids))):
        shown = ", ".join(first_and_more(missed))
        yield f"{source.info.url}: it has no course of these names or patterns: {shown}"


def _landing_zone(options: IngestOptions) -> AbstractContextManager[SharedStore | None]:
    if options.landing_zone is None:
        return nullcontext()
    return shared_store(options.landing_zone, options.access, parts=PARTS_AT_ONCE)


def _read(
    source: VerifiedReader, ring: LazyKeyRing, ingestion: _Ingestion, progress: Callable[[Progress], None]
) -> PipelineError | None:
    """Have all members delivered, and return the defect of the archive, if it has one."""
    problem: PipelineError | None = None
    try:
        try:
            with closing(archive_entries(source, ring.decryptor)) as entries:
                for entry in entries:
                    ingestion.take(entry)
                    progress(ingestion.progress(source))
        except ArchiveError as error:
            after = f", after the member {ingestion.last}. What stands before was read" if ingestion.last else ""
            problem = type(error)(f"{source.info.url}: {error}{after}. Get the archive from its source again")
        source.drain()
    except SourceChangedError as error:
        problem = error
    ingestion.finish()
    progress(ingestion.progress(source))
    # edX ships an empty package of preferences if no learner has chosen any.
    may_be_empty = is_of_preferences(source.info.url.rpartition("/")[2])
    if problem is None and not ingestion.report.members and not may_be_empty:
        problem = TruncatedArchiveError(f"{source.info.url}: the archive is empty")
    return problem


class _Ingestion:
    """The state of one archive's ingestion."""

    def __init__(
        self,
        pool: WorkerPool,
        options: IngestOptions,
        records: Records,
        to_record: PendingRecords,
        to_settle: PendingRecords,
        ring: LazyKeyRing,
    ) -> None:
        self.report = IngestReport(empty_before=options.empty_before)
        self.last = ""
        self._archive_date = options.archive_date
        self._courses = options.courses
        self._records = records
        self._to_record = to_record
        self._to_settle = to_settle
        self._ring = ring
        self._sender = MemberSender(pool, ring, self._account_for)
        self._known: dict[str, Mapping[str, Recorded]] = {}
        self._sizes: dict[str, int] = {}
        self._claimed: set[Place] = set()
        self._claimed_twice: set[Place] = set()
        self._new_rejects: list[str] = []
        self._failures = 0
        self.has_unwritable = False

    def take(self, entry: ArchiveEntry) -> None:
        """Have one member delivered, sooner or later."""
        member = identify(entry.name, entry=entry.type)
        self.last = member.label
        self.report.note(member)
        is_left_out = member.course is not None and not is_selected(member.course.course_id, self._courses)
        places = [place for output in outputs_of(member) if (place := _place_of(output))]
        if is_left_out or not places:
            self._pass_over(entry, member, is_left_out=is_left_out)
            return
        if places[0] in self._claimed:
            self._claimed_twice.update(places)
            self.report.claimed_twice.add(member.label)
        self._claimed.update(places)
        self._sizes[member.path] = entry.size
        if member.is_encrypted:
            try:
                self._ring.decryptor()
            except SettingsError as error:
                self._account_for(MemberResult.failed(member, error))
                return
        recorded = [self._versions_of(place.asset).get(place.partition) for place in places]
        self._sender.send(entry, member, recorded)

    def _pass_over(self, entry: ArchiveEntry, member: Member, *, is_left_out: bool) -> None:
        """Count a member that its name or type keeps out, unless the archive contradicts itself about that."""
        problem = _LINK if _could_be_a_file(entry) else None
        try:
            next(entry.blocks, b"")
        except ContradictedEntryError as error:
            problem = str(error)
        except EntryError:
            pass  # nobody wants its content
        finally:
            # The archive may break off here, and this member is counted among its members already.
            if problem:
                self._sizes[member.path] = entry.size
                self._account_for(MemberResult(member, MemberOutcome.FAILED, problem=problem))
            elif is_left_out:
                self.report.outcomes[MemberOutcome.LEFT_OUT] += 1
            else:
                self.report.add_unread(member, entry.size)

    def finish(self) -> None:
        """Wait for all that was sent."""
        self._sender.finish()

    def settle(self, reconciler: Reconciler) -> None:
        """Make each version that is recorded, or is to be, the newest object of its place, where it may not be."""
        versions = self._versions_to_settle()
        for place, problem in reconciler.settle(versions):
            result = self._to_record.get(place)
            self._to_record.drop(place)
            if result is None and isinstance(problem, MissingObjectError):
                continue  # It was recorded, and then deleted by another program: nothing here can bring it back.
            reconciler.keep_mark()
            if result := result or self._to_settle.get(place):
                self.report.change(result, MemberOutcome.FAILED, problem=problem)

    def _versions_to_settle(self) -> Iterator[tuple[Place, str]]:
        for place in self._to_settle.places():
            to_record, recorded = self._to_record.get(place), self._versions_of(place.asset).get(place.partition)
            version = to_record.version if to_record else recorded.version if recorded else None
            if version is not None:
                yield place, version

    def refuse(self, reconciler: Reconciler) -> int | None:
        """Count the members as failed that were to be recorded, and delete their objects; see `take_back`."""
        for result, is_kept in self._to_record.ever_put():
            if is_kept or result.wrote:
                self.report.change(result, MemberOutcome.FAILED)
        taken_back = reconciler.take_back(
            _versions_ever_put(self._to_record, written=True),
            _versions_ever_put(self._to_record, written=False),
            self._new_rejects,
        )
        self._to_record.clear()
        return taken_back

    def progress(self, source: VerifiedReader) -> Progress:
        """Return the counts so far."""
        report = self.report
        return Progress(source.position, source.info.size, report.members, report.rows_delivered)

    def _versions_of(self, asset: str) -> Mapping[str, Recorded]:
        if asset not in self._known:
            self._known[asset] = self._records.latest(asset)
        return self._known[asset]

    def _account_for(self, result: MemberResult) -> None:
        member = result.member
        place = _place_of(member)
        is_new = result.record
        if place and (recorded := self._versions_of(place.asset).get(place.partition)):
            # A repeated run reports again what its first attempt brought.
            is_new = is_new or recorded.came_with(result.version, self._archive_date)
            result = replace(result, before=recorded.replaced_by(result.version, self._archive_date))
        self.report.add(result, self._sizes.pop(member.path, 0), is_new=is_new)
        if place and result.version is not None and result.outcome is not MemberOutcome.FAILED:
            self._keep(place, result)
        self._new_rejects += result.new_rejects
        self.has_unwritable |= result.unwritable
        self._failures = self._failures + 1 if result.unwritable else 0
        if self._failures >= FAILURES_IN_A_ROW:
            kind = ServiceError if result.is_transient else AccessRefusedError
            raise kind(
                f"{self._failures} members in a row could not be written. The last one, {member.label}: "
                f"{result.problem}. Nothing of this run is recorded; the next one finds what was written"
            )

    def _keep(self, place: Place, result: MemberResult) -> None:
        """Keep the last member with content: it decides what is recorded of a place."""
        earlier = self._to_record.get(place) if place in self._claimed_twice else None
        if earlier is not None and not earlier.wrote:
            self.report.change(earlier, MemberOutcome.UNCHANGED)
        if result.record:
            self._to_record.put(place, result)
        else:
            self._to_record.drop(place)
        if result.settle or place in self._claimed_twice:
            self._to_settle.put(place, result)


def _versions_ever_put(results: PendingRecords, *, written: bool | None = None) -> Iterator[tuple[Place, str]]:
    for result, _ in results.ever_put():
        place = _place_of(result.member)
        if place and result.version and (written is None or result.wrote is written):
            yield place, result.version


_LINK = "the archive says that it is a link, and its name is that of a file with data"


def _could_be_a_file(entry: ArchiveEntry) -> bool:
    """True for a link that its name would have delivered: in a zip's directory, one bit makes a link of a file."""
    return entry.type == tarfile.SYMTYPE and _place_of(identify(entry.name)) is not None


def _place_of(member: Member) -> Place | None:
    """Return the place that a member claims; `None` for one that is not delivered."""
    if member.partition is None or member.kind in _NOT_DELIVERED:
        return None
    # Of a million members many have the same names, and their places are kept to the end.
    return Place(sys.intern(raw_data_asset(member.kind, member.table)), sys.intern(member.partition))
