"""Archive runs in this process, over records in memory: fast enough for thousands, and they can die anywhere."""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from edxorg.lib.archive.ingestion import Ingested, ingest_archive
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.object_keys import raw_data_asset, versioned_raw_data_key
from edxorg.lib.workers import Deferred, TruncatedStreamError, WorkerPool
from edxorg_tests.support.archives import table_name, write_archive
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.stores import StoreAccess, open_store
from ol_orchestrate.lib.versions import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import date
    from pathlib import Path

    import pytest

    from edxorg.lib.archive.ingest_report import IngestReport
    from ol_orchestrate.lib.stores import ObjectStore

EMPTY, BAD, RAGGED, REJECTED = "empty", "bad", "ragged", "rejected"
CONTENTS = {
    EMPTY: b"id\tname\n",
    BAD: b"id\tid\n1\t2\n",
    RAGGED: b"id\tname\n1\ta\n2\tb\n3\tc\td\n",
    REJECTED: b"id\tname\n1\ta\tb\n",
    **{name: b"id\tname\n1\t%s\n" % name.encode() for name in "abc"},
}


class Died(BaseException):
    """The end of a process, as far as a test can have that."""


@dataclass
class Life:
    """How many changes to the landing zone a process lives to make; it makes the last one, or dies just before it.

    Or, where `loses_answers`, it lives, and never learns that its tables were written.
    """

    changes: int | None = None
    before_the_last: bool = False
    loses_answers: bool = False

    def change(self, function: Callable[..., None], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        if self.loses_answers and arguments[1].endswith(".tsv"):
            function(*arguments, **options)
            raise ServiceError("the answer is lost")
        if self.changes is None:
            return function(*arguments, **options)
        self.changes -= 1
        if self.changes > 0 or (self.changes == 0 and not self.before_the_last):
            function(*arguments, **options)
        if self.changes <= 0:
            raise Died
        return None


LIFE = Life()


def let_processes_die(patch: pytest.MonkeyPatch, store_class: type[ObjectStore]) -> None:
    """Have all changes that stores make count for `LIFE`."""
    for name in ("write", "delete"):
        whole = getattr(store_class, name)

        def change(*arguments: Any, _whole: Callable[..., None] = whole, **options: Any) -> None:  # noqa: ANN401
            LIFE.change(_whole, *arguments, **options)

        patch.setattr(store_class, name, change)


@contextmanager
def dying_after(changes: int | None, *, before_the_last: bool = False) -> Iterator[None]:
    """Die at a change of the landing zone; swallows the death."""
    LIFE.changes, LIFE.before_the_last = changes, before_the_last
    try:
        yield
    except Died:
        pass
    finally:
        LIFE.changes = None


@contextmanager
def losing_answers() -> Iterator[None]:
    """Have the store write tables, and answer with an error."""
    LIFE.loses_answers = True
    try:
        yield
    finally:
        LIFE.loses_answers = False


class InThisProcess(WorkerPool):
    """A pool of one worker, which is this process."""

    def __init__(
        self,
        setup: Callable[..., Any],
        *args: object,
        workers: int | None = None,
        most: int = 1,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        del workers, most, descriptors
        self._state = setup(*args)

    def submit(self, function: Callable[..., Any], /, *args: object, **_: object) -> Future[Any]:
        future: Future[Any] = Future()
        value = function(self._state, *args)
        future.set_result(value.result() if isinstance(value, Deferred) else value)
        return future

    def stream(self, function: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - like a `BlockStream`
        return _Stream(lambda blocks: self.submit(function, blocks, *args))

    def __exit__(self, *_: object) -> None:
        self._state.threads.shutdown(cancel_futures=True)


@dataclass
class _Stream:
    """Holds the blocks of a task, which begins when all are there."""

    begin: Callable[[Iterator[bytes]], Future[Any]]
    blocks: list[bytes] = field(default_factory=list)

    def send(self, block: bytes) -> None:
        self.blocks.append(block)

    def finish(self) -> Future[Any]:
        return self.begin(iter(self.blocks))

    def abort(self) -> Future[Any]:
        return self.begin(self._truncated())

    def _truncated(self) -> Iterator[bytes]:
        yield from self.blocks
        raise TruncatedStreamError


class Event(NamedTuple):
    """A materialization."""

    run: str
    asset: str
    partition: str
    recorded: Recorded


@dataclass
class Events:
    """All that was ever recorded, and the runs that are over."""

    events: list[Event] = field(default_factory=list)
    over: set[str] = field(default_factory=set)

    def current(self) -> dict[tuple[str, str], Recorded]:
        return {(event.asset, event.partition): event.recorded for event in self.events}


class RunView:
    """The records, as one run sees them."""

    def __init__(self, events: Events, run: str) -> None:
        self._all = events
        self._run = run
        self._seen: dict[str, int] = {}

    def latest(self, asset: str) -> Mapping[str, Recorded]:
        self._seen[asset] = len(self._all.events)
        return {event.partition: event.recorded for event in self._all.events if event.asset == asset}

    def recorded_among(self, asset: str, versions: AbstractSet[tuple[str, str]]) -> AbstractSet[tuple[str, str]]:
        ever = {(event.partition, event.recorded.version) for event in self._all.events if event.asset == asset}
        return versions & ever

    def changed(self, asset: str) -> bool:
        since = self._all.events[self._seen.get(asset, 0) :]
        return any(event.asset == asset and event.run != self._run for event in since)

    def assets(self) -> Iterable[str]:
        return sorted({event.asset for event in self._all.events})

    def is_over(self, run: str) -> bool:
        return run in self._all.over


@dataclass
class Lake:
    """A landing zone, its records, and the runs over it."""

    url: str
    folder: Path
    access: StoreAccess = field(default_factory=StoreAccess)
    events: Events = field(default_factory=Events)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def store(self) -> ObjectStore:
        return open_store(self.url, self.access)

    def run(self, members: Sequence[tuple[str, str]], day: date, *, damaged: bool = False, cut: bool = False) -> Run:
        run = Run(self, f"run{next(self.numbers)}", day)
        archive = write_archive(
            self.folder / f"{run.name}.tar.gz",
            [(table_name(course=course), CONTENTS[what]) for course, what in members],
        )
        data = bytearray(archive.read_bytes())
        data[-6] ^= damaged
        archive.write_bytes(data[:-9] if cut else data)
        return run

    def objects(self) -> dict[str, tuple[object, int]]:
        return {each.key: (each.modified, each.size) for each in self.store.list()}

    def ever_recorded(self) -> set[str]:
        """The keys of all objects that any run has recorded."""
        return {
            versioned_raw_data_key(each.asset, each.partition, each.recorded.version) for each in self.events.events
        }

    def recorded_keys(self, course: str) -> set[str]:
        return {key for key in self.ever_recorded() if f"/{course}/" in key}

    def without_any_record(self) -> set[str]:
        """Whole objects in folders of which nothing was ever recorded: readers would take them for current."""
        recorded = {key.rpartition("/")[0] for key in self.ever_recorded()}
        whole = {key for key, (_, size) in self.objects().items() if size and key.endswith(".tsv")}
        return {key for key in whole if key.rpartition("/")[0] not in recorded}

    def not_newest(self) -> list[str]:
        """The recorded objects that are there, and that are not strictly the newest of their folders."""
        there = {each.key: each for each in self.store.list() if each.key.endswith(".tsv")}
        wrong = []
        for (asset, partition), recorded in self.events.current().items():
            key = versioned_raw_data_key(asset, partition, recorded.version)
            folder = key.rpartition("/")[0]
            rivals = [each for name, each in there.items() if name.rpartition("/")[0] == folder and name != key]
            if key in there and there[key].size and any(each.modified >= there[key].modified for each in rivals):
                wrong.append(key)
        return wrong


@dataclass
class Run:
    """A run of the archive job, step by step."""

    lake: Lake
    name: str
    day: date
    pending: PendingRecords = field(default_factory=PendingRecords)
    result: Ingested | None = None

    def ingest(self, *, supersede: bool = False) -> IngestReport:
        lake = self.lake
        options = IngestOptions(
            lake.url, lake.access, archive_date=self.day, supersede=supersede, mark=RunMark(self.name)
        )
        source = open_store(f"file://{lake.folder}").read(f"{self.name}.tar.gz")
        view = RunView(lake.events, self.name)
        self.result = ingest_archive(source, options, view, self.pending, pool_class=InThisProcess)
        return self.result.report

    def record(self, most: int | None = None) -> None:
        assert self.result is not None
        for asset, pending in self.pending.by_asset().items():
            for number, result in enumerate(self.result.still_to_record(asset, pending)):
                if number == most:
                    return
                member = result.member
                assert result.version is not None
                assert member.course is not None
                recorded = Recorded(result.version, self.day, made_from=result.made_from)
                place = raw_data_asset(member.kind, member.table), member.course.key()
                self.lake.events.events.append(Event(self.name, *place, recorded))

    def finish(self) -> None:
        assert self.result is not None
        self.result.finish(self.pending.by_asset())
        self.end()

    def end(self) -> None:
        """Be over, whether it succeeded or died."""
        self.lake.events.over.add(self.name)
        self.pending.__exit__(None, None, None)

    def whole(self, *, supersede: bool = False) -> IngestReport:
        account = self.ingest(supersede=supersede)
        self.record()
        self.finish()
        assert sum(account.outcomes.values()) == account.members, account.sum_of_outcomes()
        return account


def memory_folder() -> str | None:
    """Where temporary folders need no disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
