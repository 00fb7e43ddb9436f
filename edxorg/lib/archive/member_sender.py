"""Sends the members of an archive to worker processes: small ones in batches, large ones block by block."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.member_writer import BROKEN_OFF, AllRecorded, deliver_batch, deliver_stream
from ol_orchestrate.lib.archives import ArchiveError, EntryError
from ol_orchestrate.lib.errors import SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from edxorg.lib.members import Member
    from edxorg.lib.workers import WorkerPool
    from ol_orchestrate.lib.archives import ArchiveEntry
    from ol_orchestrate.lib.openpgp import Decryptor, LazyKeyRing

SMALL = 1 << 20
"""Bytes. A member up to this size is sent whole, with others; a larger one as a stream."""

BATCH_BYTES = 1 << 20
BATCH_MEMBERS = 64
"""A batch is sent when it has reached either limit. Each costs about a millisecond, whatever it holds."""


class MemberSender:
    """Members on their way to workers, and results on their way back."""

    def __init__(self, pool: WorkerPool, ring: LazyKeyRing, account_for: Callable[[MemberResult], None]) -> None:
        """Send nothing yet.

        Args:
            pool: The workers, each with a `MemberWriter`.
            ring: Has the decryptor for encrypted members.
            account_for: Called with each result, in this thread and in the order of the members that were sent.
        """
        self._pool = pool
        self._ring = ring
        self._account_for = account_for
        self._batch: list[tuple[Member, AllRecorded, bytes]] = []
        self._batch_bytes = 0
        self._sent: deque[tuple[Future[list[MemberResult]], str | None]] = deque()
        """Answers to come, each with the reason for which the member's content broke off, if it did."""

    def send(self, entry: ArchiveEntry, member: Member, recorded: AllRecorded) -> None:
        """Read a member and have it delivered, sooner or later; account for the results that have come.

        Raises:
            ArchiveError, SourceChangedError: The archive cannot be read on.
        """
        if entry.size <= SMALL:
            self._collect(entry, member, recorded)
        else:
            self._send_stream(entry, member, recorded)
        self._take_in(wait=False)

    def finish(self) -> None:
        """Wait for all that was sent, and account for it."""
        self._send_batch()
        self._take_in(wait=True)

    def _collect(self, entry: ArchiveEntry, member: Member, recorded: AllRecorded) -> None:
        try:
            content = b"".join(entry.blocks)
        except EntryError as error:
            self._account_for(MemberResult.failed(member, error))
            return
        except (ArchiveError, SourceChangedError):
            self._account_for(MemberResult(member, MemberOutcome.FAILED, problem=BROKEN_OFF))
            raise
        self._batch.append((member, recorded, content))
        self._batch_bytes += len(content)
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_MEMBERS:
            self._send_batch()

    def _send_batch(self) -> None:
        if self._batch:
            decryptor = self._decryptor_for(member for member, _, _ in self._batch)
            self._sent.append((self._pool.submit(deliver_batch, self._batch, decryptor), None))
            self._batch, self._batch_bytes = [], 0

    def _send_stream(self, entry: ArchiveEntry, member: Member, recorded: AllRecorded) -> None:
        self._send_batch()
        stream = self._pool.stream(deliver_stream, member, recorded, self._decryptor_for([member]))
        try:
            for block in entry.blocks:
                stream.send(block)
        except EntryError as error:
            self._sent.append((stream.abort(), str(error)))
            return
        except BaseException:
            self._sent.append((stream.abort(), None))
            raise
        self._sent.append((stream.finish(), None))

    def _decryptor_for(self, members: Iterable[Member]) -> Decryptor | None:
        return self._ring.decryptor() if any(member.is_encrypted for member in members) else None

    def _take_in(self, *, wait: bool) -> None:
        """Account for the answers that have arrived; with `wait`, for all."""
        while self._sent and (wait or self._sent[0][0].done()):
            answer, problem = self._sent.popleft()
            for result in answer.result():
                self._account_for(replace(result, problem=problem) if problem else result)
