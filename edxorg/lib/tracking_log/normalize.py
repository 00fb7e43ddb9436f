"""Normalizes a tracking log in one streaming pass; worker processes do the work on lines."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.tracking_log.log_blocks import BLOCK_BYTES, LineBlock, cut_lines
from edxorg.lib.tracking_log.log_output import GzipMember, bytes_of_nulls, with_late_keys
from edxorg.lib.tracking_log.log_rejects import LineRejectReason, OversizedLine
from edxorg.lib.tracking_log.log_report import LogReport, NotALogError, check_limits
from edxorg.lib.tracking_log.normalize_block import NormalizedBlock, normalize_block
from edxorg.lib.workers import MAX_UNANSWERED_TASKS, WorkerPool
from ol_orchestrate.lib.archives import ArchiveError, TrailingBytesError, gunzip, read_ahead
from ol_orchestrate.lib.errors import BadInputError, PipelineError
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass
class NormalizedLog:
    """The outputs and the report of one log.

    A truncated log must not replace a whole one, so it has no outputs but the report. A log without a good line has
    rejects only; a log with other bytes after its gzip data has all outputs. In each case `problem` says so, for
    the caller to raise when it has delivered the outputs.
    """

    output: Spool | None
    """Gzip of several members: one JSON object a line, every line with all of the day's keys."""
    rejects: Spool | None
    """Gzip of several members: the rejects, in the order of their lines; None if there are none."""
    oversized: list[OversizedLine]
    """The rejected lines that are too long for the rejects."""
    version: str
    """Lower-case hex SHA-256 of the output before compression; empty if the log is truncated."""
    report: LogReport
    problem: PipelineError | None = None

    @property
    def whole(self) -> bool:
        """True if the log could be read to its end, so that the outputs are complete."""
        return bool(self.version)

    def close(self) -> None:
        """Give memory and disk space back."""
        for spool in (self.output, self.rejects, *(line.record for line in self.oversized)):
            if spool is not None:
                spool.close()


Progress = Callable[[LogReport], None]
"""Called with the report as it grows, for every few megabytes."""


def normalize_log(blocks: Iterable[bytes], *, name: str, pool: WorkerPool, progress: Progress) -> NormalizedLog:
    """Normalize a tracking log.

    Args:
        blocks: The gzip file's own bytes in order, in blocks of any size, as a store streams them.
        name: The file's name in messages.
        pool: Does the work on lines; may be shared, since its state is not used.
        progress: See `Progress`.

    Returns:
        The outputs, to be closed by the caller; `NormalizedLog` tells which a broken file has.

    Raises:
        PipelineError: A worker died, or `blocks` raised it.
        OSError: The temporary folder is full.
    """
    log = _Assembly(pool)
    report = log.report
    damage: ArchiveError | None = None

    def pieces() -> Iterator[bytes]:
        nonlocal damage
        try:
            yield from gunzip(_counted(blocks, report))
        except ArchiveError as error:
            damage = error

    try:
        problem: PipelineError | None = _read(cut_lines(pieces()), log, name, progress)
        problem = problem or _broken_file(name, damage, report)
        if problem is not None:
            log.close()
            return NormalizedLog(None, None, [], "", report, problem)
        version = log.complete()
        progress(report)
    except BaseException:
        log.close()
        raise
    if not report.lines_out:
        problem = BadInputError(
            f"{name}: none of its {report.lines_in:,} lines holds an event ({report.blank:,} are blank, "
            f"{report.rejected_lines:,} were rejected). Look for the reasons in its rejects, and whether it is the "
            "right file"
        )
    elif damage is not None:
        problem = BadInputError(f"{name}: {damage}. All lines before are delivered; get the file from its source again")
    return NormalizedLog(_unless_empty(log.output), _unless_empty(log.rejects), log.oversized, version, report, problem)


def _unless_empty(spool: Spool) -> Spool | None:
    return spool if spool.size else None


def _counted(blocks: Iterable[bytes], report: LogReport) -> Iterator[bytes]:
    for block in blocks:
        report.bytes_in += len(block)
        yield block


def _read(
    items: Iterable[LineBlock | OversizedLine], log: _Assembly, name: str, progress: Progress
) -> BadInputError | None:
    """Read all of a log; return the reason if it was not read to its end."""
    try:
        for item in items:
            log.add(item)
            progress(log.report)
        log.take_all()
    except NotALogError as error:
        return BadInputError(
            f"{name}: {error}. It was not read any further, and nothing of it is delivered; look at the file, and "
            "whether it is the right one"
        )
    return None


def _broken_file(name: str, damage: ArchiveError | None, report: LogReport) -> BadInputError | None:
    if damage is None or isinstance(damage, TrailingBytesError):
        return None
    place = f", after line {report.lines_in:,} of its content" if report.lines_in else ""
    return BadInputError(
        f"{name}: {damage}{place}. Nothing of it is delivered; get the whole file from its source again"
    )


class _Part(NamedTuple):
    """The output of one block in the spool."""

    size: int
    width: int
    """Number of the day's keys that its lines have: the first ones."""


class _Piece(NamedTuple):
    """A piece of the output, with all keys."""

    part: int
    packed: bytes
    """The unchanged part."""
    is_changed: bool
    """True if keys were added to the part's lines."""
    text: bytes


def _hashed(pieces: Iterable[_Piece], digest: hashlib._Hash) -> Iterator[_Piece]:
    for piece in pieces:
        digest.update(piece.text)
        yield piece


class _Pending(NamedTuple):
    """A block in the hands of a worker."""

    block: LineBlock
    width: int
    """Number of keys that were known when it was submitted."""
    result: Future[NormalizedBlock]


class _Assembly:
    """Puts a log together from its blocks, in the order of the file."""

    def __init__(self, pool: WorkerPool) -> None:
        self.report = LogReport()
        self.output, self.rejects = Spool(), Spool()
        self.oversized: list[OversizedLine] = []
        self._pool = pool
        self._in_flight = MAX_UNANSWERED_TASKS * len(pool.process_ids())
        self._pending: deque[_Pending] = deque()
        self._parts: list[_Part] = []

    def add(self, item: LineBlock | OversizedLine) -> None:
        """Submit the next part of the log."""
        if isinstance(item, OversizedLine):
            self._add_oversized(item)
            return
        # Two very long lines at a time would take too much memory.
        alone = len(item.data) > BLOCK_BYTES
        # Blocks without the first block's keys would all have to be normalized again.
        if alone or not self.report.columns:
            self.take_all()
        self._pending.append(self._submit(item))
        while len(self._pending) > (0 if alone else self._in_flight):
            self._take()

    def take_all(self) -> None:
        """Wait for all blocks that were submitted."""
        while self._pending:
            self._take()

    def complete(self) -> str:
        """Give every line all keys, and return the version of the output.

        All keys are known only now, so only now can the output be hashed. One thread unpacks and adds keys, one
        hashes, and this one packs.
        """
        parts, self.output = self.output, Spool()
        digest = hashlib.sha256()
        self.report.bytes_normalized = 0
        with (
            closing(parts),
            closing(read_ahead(self._with_all_keys(parts))) as pieces,
            closing(read_ahead(_hashed(pieces, digest))) as hashed,
        ):
            for _, of_a_part in groupby(hashed, key=lambda piece: piece.part):
                member = GzipMember()
                for piece in of_a_part:
                    self.report.bytes_normalized += len(piece.text)
                    if piece.is_changed:
                        member.write(piece.text)
                        self.output.write(member.take())
                self.output.write(member.finish() or piece.packed)
        self.report.bytes_out = self.output.size
        return digest.hexdigest()

    def _with_all_keys(self, parts: Spool) -> Iterator[_Piece]:
        reader = parts.reader()
        for number, (size, width) in enumerate(self._parts):
            packed = reader.read(size)
            late = self.report.columns[width:]
            for text in with_late_keys(packed, late, width):
                yield _Piece(number, packed, bool(late), text)

    def close(self) -> None:
        """Give memory and disk space back."""
        for spool in (self.output, self.rejects, *(line.record for line in self.oversized)):
            spool.close()

    def _add_oversized(self, line: OversizedLine) -> None:
        self.take_all()
        self.oversized.append(line)
        self.report.lines_in += 1
        self.report.bytes_unpacked += line.left_out + line.length + 1
        self.report.rejected[LineRejectReason.TOO_LONG] += 1
        member = GzipMember()
        member.write(line.reject_row())
        self.rejects.write(member.finish())
        check_limits(self.report, len(self.oversized))

    def _submit(self, block: LineBlock) -> _Pending:
        columns = tuple(self.report.columns)
        task = self._pool.stream(normalize_block, block.first_line, columns)
        task.send(block.data)
        return _Pending(block, len(columns), task.finish())

    def _take(self) -> None:
        pending = self._pending.popleft()
        block = pending.result.result()
        if block.new_columns and pending.width < len(self.report.columns):
            # It found keys without knowing those of the blocks before it.
            self._pending.appendleft(self._submit(pending.block))
            return
        if block.is_too_much:
            self._pending.extendleft(map(self._submit, reversed(pending.block.halves())))
            return
        report = self.report
        report.lines_in += pending.block.lines
        report.bytes_unpacked += pending.block.size
        late = report.columns[pending.width :]
        report.bytes_normalized += block.bytes_normalized + block.lines_out * bytes_of_nulls(late)
        report.bytes_normalized += report.lines_out * bytes_of_nulls(block.new_columns)
        report.columns += block.new_columns
        report.count(block)
        self.rejects.write(block.rejects)
        if block.output:
            self._parts.append(_Part(len(block.output), pending.width + len(block.new_columns)))
            self.output.write(block.output)
            report.bytes_out = self.output.size
        check_limits(report, len(self.oversized))
