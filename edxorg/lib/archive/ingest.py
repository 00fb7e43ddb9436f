"""Reading an archive in order, and having its members delivered by worker processes.

One process unpacks, which is a fifth of the work. It collects small members into batches and hands large ones over
block by block, so nothing is ever held whole, and it keeps the account.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from edxorg.lib.archive.account import Account, Delivery, Fate
from edxorg.lib.archive.deliveries import Place
from edxorg.lib.archive.worker import BROKEN_OFF, Deliverer, Orders, deliver_batch, deliver_stream
from edxorg.lib.members import EDX_NAMING, Member, MemberKind, MemberNaming, identify
from edxorg.lib.object_keys import raw_data_asset
from edxorg.lib.progress import Progress
from edxorg.lib.workers import WorkerPool
from ol_orchestrate.lib.archives import ArchiveError, TruncatedArchiveError, gunzip, read_ahead
from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError
from ol_orchestrate.lib.tar import tar_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from datetime import date

    from edxorg.lib.archive.deliveries import Deliveries
    from ol_orchestrate.lib.delivery import Recorded
    from ol_orchestrate.lib.stores import VerifiedReader
    from ol_orchestrate.lib.tar import TarEntry

SMALL = 1 << 20
"""Bytes. A member up to this size is sent whole, with others; a larger one as a stream."""

BATCH_BYTES = 4 << 20
BATCH_MEMBERS = 64
"""A batch is sent when it has either. Each costs about a millisecond of its own, whatever is in it."""

FAILURES_IN_A_ROW = 20
"""Members that fail one after the other for a reason that lies in the landing zone, before the run gives up."""

_DELIVERED = {MemberKind.TABLE, MemberKind.COURSE_STRUCTURE, MemberKind.COURSE_XML, MemberKind.FORUM}

RecordedVersions: TypeAlias = "Callable[[str], Mapping[str, Recorded]]"
"""From an asset's name to the latest recorded version of each of its partitions."""


@dataclass
class Ingested:
    """What came of an archive.

    Attributes:
        account: Of every member.
        problem: Why the archive could not be read to its end, if so.
    """

    account: Account
    problem: PipelineError | None = None


def ingest_archive(
    source: VerifiedReader,
    orders: Orders,
    recorded: RecordedVersions,
    to_record: Deliveries,
    *,
    naming: MemberNaming = EDX_NAMING,
    progress: Callable[[Progress], None] = lambda _: None,
    workers: int | None = None,
) -> Ingested:
    """Deliver all members of a `tar.gz`.

    Args:
        source: The archive.
        orders: Where to, and how.
        recorded: Asked once for each asset that occurs.
        to_record: Gets what is to be recorded.
        naming: How the members are named.
        progress: Called now and then.
        workers: How many processes, if not as many as `WorkerPool` starts by itself.

    Returns:
        The account. A damaged archive gives what came before the damage; its bytes were then compared with what the
        store announced all the same.

    Raises:
        SourceChangedError: The archive's bytes are not those that its store announced; nothing may be recorded.
        PipelineError: The source or the landing zone cannot be used.
    """
    with WorkerPool(Deliverer, orders, workers=workers) as pool:
        ingestion = _Ingestion(pool, orders.archive_date, recorded, to_record, naming)
        problem: PipelineError | None = None
        try:
            with closing(read_ahead(gunzip(source))) as blocks:
                for entry in tar_entries(blocks):
                    ingestion.take(entry)
                    progress(ingestion.progress(source))
        except ArchiveError as error:
            after = f", after the member {ingestion.last}. What stands before was read" if ingestion.last else ""
            problem = type(error)(f"{source.info.url}: {error}{after}. Get the archive from its source again")
        source.drain()
        ingestion.finish()
        progress(ingestion.progress(source))
    account = ingestion.account
    if problem is None and not account.members:
        problem = TruncatedArchiveError(f"{source.info.url}: the archive is empty")
    account.problem = str(problem) if problem else None
    return Ingested(account, problem)


class _Ingestion:
    """The state of one archive's ingestion."""

    def __init__(
        self,
        pool: WorkerPool,
        archive_date: date | None,
        recorded: RecordedVersions,
        to_record: Deliveries,
        naming: MemberNaming,
    ) -> None:
        self.account = Account()
        self.last = ""
        self._pool = pool
        self._archive_date = archive_date
        self._recorded = recorded
        self._to_record = to_record
        self._naming = naming
        self._known: dict[str, Mapping[str, Recorded]] = {}
        self._batch: list[tuple[Member, Recorded | None, bytes]] = []
        self._batch_bytes = 0
        self._sizes: dict[str, int] = {}
        self._claimed: set[Place] = set()
        self._sent: deque[Future[list[Delivery]]] = deque()
        self._failures = 0

    def take(self, entry: TarEntry) -> None:
        """Have one member delivered, sooner or later."""
        member = identify(entry.name, entry=entry.type, naming=self._naming)
        self.last = member.label
        self.account.note(member)
        place = _place_of(member)
        if place is None:
            self.account.add_unread(member, entry.size)
            return
        if place in self._claimed:
            # The earlier one must be written before the later one asks what is there.
            self._send_batch()
            self._settle(wait=True)
            self.account.claimed_twice.append(member.label)
        self._claimed.add(place)
        recorded = self._versions_of(place.asset).get(place.partition)
        self._sizes[member.path] = entry.size
        if entry.size <= SMALL:
            self._collect(entry, member, recorded)
        else:
            self._send_stream(entry, member, recorded)
        self._settle(wait=False)

    def finish(self) -> None:
        """Wait for all that was sent."""
        self._send_batch()
        self._settle(wait=True)

    def progress(self, source: VerifiedReader) -> Progress:
        """How far it is."""
        account = self.account
        return Progress(source.position, source.info.size, account.members, account.rows_delivered)

    def _versions_of(self, asset: str) -> Mapping[str, Recorded]:
        if asset not in self._known:
            self._known[asset] = self._recorded(asset)
        return self._known[asset]

    def _collect(self, entry: TarEntry, member: Member, recorded: Recorded | None) -> None:
        try:
            content = b"".join(entry.blocks)
        except ArchiveError:
            self._account_for(Delivery(member, Fate.FAILED, problem=BROKEN_OFF))
            raise
        self._batch.append((member, recorded, content))
        self._batch_bytes += len(content)
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_MEMBERS:
            self._send_batch()

    def _send_batch(self) -> None:
        if self._batch:
            self._sent.append(self._pool.submit(deliver_batch, self._batch))
            self._batch, self._batch_bytes = [], 0

    def _send_stream(self, entry: TarEntry, member: Member, recorded: Recorded | None) -> None:
        self._send_batch()
        stream = self._pool.stream(deliver_stream, member, recorded)
        try:
            for block in entry.blocks:
                stream.send(block)
        except BaseException:
            self._sent.append(stream.abort())
            raise
        self._sent.append(stream.finish())

    def _settle(self, *, wait: bool) -> None:
        """Take in the answers that are there; with `wait`, all."""
        while self._sent and (wait or self._sent[0].done()):
            for delivery in self._sent.popleft().result():
                self._account_for(delivery)

    def _account_for(self, delivery: Delivery) -> None:
        member = delivery.member
        place = _place_of(member)
        is_new = delivery.record
        if place and (recorded := self._versions_of(place.asset).get(place.partition)):
            # Where a run is repeated, what it brought the first time is told of again.
            is_new = is_new or recorded.came_with(delivery.version, self._archive_date)
            delivery = replace(delivery, before=recorded.replaced_by(delivery.version, self._archive_date))
        self.account.add(delivery, self._sizes.pop(member.path, 0), is_new=is_new)
        # The last member that claims a place decides, whatever became of it.
        if place and delivery.record:
            self._to_record.put(place, delivery)
        elif place:
            self._to_record.drop(place)
        self._failures = self._failures + 1 if delivery.unwritable else 0
        if self._failures >= FAILURES_IN_A_ROW:
            kind = ServiceError if delivery.may_pass else AccessRefusedError
            raise kind(
                f"{self._failures} members in a row could not be written. The last one, {member.label}: "
                f"{delivery.problem}. Nothing of this run is recorded; the next one finds what was written"
            )


def _place_of(member: Member) -> Place | None:
    """What a member claims; `None` for one that is not delivered."""
    if member.course is None or member.kind not in _DELIVERED:
        return None
    return Place(raw_data_asset(member.kind, member.table), member.course.key())
