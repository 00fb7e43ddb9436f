from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from edxorg.lib.workers import MAX_WORKERS, Deferred, TruncatedStreamError, WorkerDiedError, WorkerPool
from edxorg.lib.workers import pool as worker_pool
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_state(offset: int) -> int:
    return offset


def broken_setup() -> None:
    message = "no such bucket"
    raise FileNotFoundError(message)


def add(state: int, number: int) -> int:
    return state + number


def count(state: int, blocks: Iterator[bytes], label: str) -> tuple[str, int]:
    try:
        return label, state + sum(map(len, blocks))
    except TruncatedStreamError:
        return label, -1


def first_block(_state: int, blocks: Iterator[bytes]) -> bytes:
    return next(blocks)


def die(_state: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def loaded_modules(_state: int) -> list[str]:
    return sorted(sys.modules)


class UnpicklableError(Exception):
    def __init__(self, name: str, *, why: str) -> None:
        super().__init__(f"{name}: {why}")


def fail(_state: int) -> None:
    raise UnpicklableError("x", why="y")


def test_tasks_see_the_state_and_their_arguments() -> None:
    with WorkerPool(make_state, 100, workers=2) as pool:
        results = [pool.submit(add, number) for number in range(50)]
        assert [result.result() for result in results] == list(range(100, 150))


@pytest.mark.parametrize(("processors", "started"), [(1, 1), (3, 3), (64, MAX_WORKERS)])
def test_a_worker_for_each_processor_but_no_more_than_memory_allows(
    processors: int, started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "available_processors", lambda: processors)
    with WorkerPool(make_state, 0) as pool:
        assert len(pool.process_ids()) == started


def heaps(_state: int) -> str | None:
    return os.environ.get("MALLOC_ARENA_MAX")


@pytest.mark.parametrize(("set_to", "used"), [(None, "1"), ("3", "3")])
def test_a_worker_has_one_heap_unless_the_environment_says_otherwise(
    set_to: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if set_to:
        monkeypatch.setenv("MALLOC_ARENA_MAX", set_to)
    with WorkerPool(make_state, 0, workers=1) as pool:
        assert pool.submit(heaps).result() == used


def test_a_stream_is_read_block_by_block() -> None:
    with WorkerPool(make_state, 0, workers=2) as pool:
        stream = pool.stream(count, "big")
        for _ in range(64):
            stream.send(bytes(1 << 20))
        stream.send(b"")
        assert stream.finish().result() == ("big", 64 << 20)


def test_an_aborted_stream_says_so_and_the_worker_goes_on() -> None:
    with WorkerPool(make_state, 0, workers=1) as pool:
        stream = pool.stream(count, "cut")
        stream.send(b"abc")
        assert stream.abort().result() == ("cut", -1)
        assert pool.submit(add, 1).result() == 1


def test_blocks_that_a_task_leaves_unread_do_not_reach_the_next_task() -> None:
    with WorkerPool(make_state, 0, workers=1) as pool:
        stream = pool.stream(first_block)
        stream.send(b"first")
        stream.send(b"second")
        assert stream.finish().result() == b"first"
        assert pool.submit(add, 1).result() == 1


def test_an_exception_comes_back_even_if_it_cannot_be_pickled() -> None:
    with WorkerPool(make_state, 0, workers=1) as pool:
        with pytest.raises(RuntimeError, match="UnpicklableError: x: y"):
            pool.submit(fail).result()
        assert pool.submit(add, 1).result() == 1


def test_a_state_that_cannot_be_made_fails_each_task_with_the_reason() -> None:
    with WorkerPool(broken_setup, workers=1) as pool, pytest.raises(FileNotFoundError, match="no such bucket"):
        pool.submit(add, 1).result()


def make_event(_: object) -> threading.Event:
    return threading.Event()


def wait_for_a_later_task(later: threading.Event) -> Deferred[bool]:
    return Deferred(lambda: later.wait(60))


def be_the_later_task(later: threading.Event) -> None:
    later.set()


def test_a_worker_goes_on_while_an_answer_is_deferred() -> None:
    with WorkerPool(make_event, 0, workers=1) as pool:
        waiting = pool.submit(wait_for_a_later_task)
        pool.submit(be_the_later_task)
        assert waiting.result()


def test_a_killed_worker_fails_its_task_with_advice() -> None:
    with WorkerPool(make_state, 0, workers=1) as pool, pytest.raises(WorkerDiedError, match="memory"):
        pool.submit(die).result()


class Unreadable:
    """Cannot be made again of its pickle, as where a module is not there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def test_a_worker_that_cannot_read_its_task_fails_it_and_nobody_waits_for_ever() -> None:
    with WorkerPool(make_state, 1, workers=1) as pool, pytest.raises(WorkerDiedError):
        pool.submit(add, cast("int", Unreadable())).result(timeout=60)


class EndlessObject(io.RawIOBase):
    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        time.sleep(0.01)
        buffer[:10_000] = bytes(10_000)
        return 10_000


def write_without_end(_state: int, url: str) -> Deferred[None]:
    writer = threading.Thread(target=open_store(url).write, args=("key", EndlessObject()))
    writer.start()
    return Deferred(writer.join)


def stop_while_it_writes(folder: Path, *, by_a_signal: bool) -> None:
    unfinished = folder / ".unfinished"
    with WorkerPool(make_state, 0, workers=1) as pool:
        pool.submit(write_without_end, f"file://{folder}")
        while not unfinished.exists() or not any(path.stat().st_size for path in unfinished.iterdir()):
            time.sleep(0.01)
        if by_a_signal:
            (process,) = pool.process_ids()
            os.kill(process, signal.SIGTERM)
            while _runs(process):
                time.sleep(0.01)
            assert list(unfinished.iterdir()) == []
        raise KeyboardInterrupt


@pytest.mark.parametrize("by_a_signal", [False, True])
def test_a_worker_that_is_stopped_leaves_nothing_unfinished_in_a_folder(tmp_path: Path, *, by_a_signal: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_while_it_writes(tmp_path, by_a_signal=by_a_signal)
    assert list(tmp_path.rglob("*")) == [tmp_path / ".unfinished"]


def sleep_without_seeing_signals(_state: int, told: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    Path(told).touch()
    time.sleep(600)


def stop_while_it_sleeps(told: Path) -> None:
    with WorkerPool(make_state, 0, workers=1) as pool:
        pool.submit(sleep_without_seeing_signals, str(told))
        while not told.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SECONDS_TO_STOP", 0.2)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stop_while_it_sleeps(tmp_path / "told")
    assert time.monotonic() - started < 60


def test_workers_import_no_dagster() -> None:
    with WorkerPool(make_state, 0, workers=1) as pool:
        modules = pool.submit(loaded_modules).result()
    assert "edxorg.lib.workers" in modules
    assert not [name for name in modules if name.split(".")[0] in {"dagster", "pandas", "boto3", "google"}]


def test_workers_end_with_a_killed_parent() -> None:
    program = (
        "import os, signal\n"
        "from edxorg.lib.workers import WorkerPool\n"
        "pool = WorkerPool(int, workers=2)\n"
        "print(*pool.process_ids(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    workers = [int(pid) for pid in result.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < deadline, f"of {workers}, some still run"
        time.sleep(0.05)


def wait_long(_: int) -> Deferred[None]:
    os.write(1, b"begun\n")
    return Deferred(lambda: time.sleep(60))


def test_workers_at_work_end_with_a_killed_parent_too() -> None:
    program = (
        "from edxorg.lib.workers import WorkerPool\n"
        "from edxorg_tests.lib.test_workers import wait_long\n"
        "pool = WorkerPool(int, workers=1)\n"
        "print(*pool.process_ids(), flush=True)\n"
        "pool.submit(wait_long).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert parent.stdout.readline() == "begun\n"
        parent.kill()
        deadline = time.monotonic() + 20
        while _runs(worker):
            assert time.monotonic() < deadline, "it goes on with its task"
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().split()[2] != "Z"
    except FileNotFoundError:
        return False
