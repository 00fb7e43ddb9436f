"""Starts worker processes, gives them tasks and receives their answers."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from edxorg.lib.processors import available_processors
from edxorg.lib.workers.frames import ABORT, Frames
from ol_orchestrate.lib.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from edxorg.lib.workers.serving import Deferred

P = ParamSpec("P")
T = TypeVar("T")

MAX_UNANSWERED_TASKS = 3
"""Per worker: one running, one queued, one whose result is deferred."""

SECONDS_TO_STOP = 5.0
"""Time for a worker to end before its work is done; it stops as soon as its interpreter looks for signals."""

MAX_WORKERS = 4
"""Limit on any machine: each takes 45 to 60 MB, and a large machine's container may have little memory."""

_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc gives each thread a heap, and keeps larger and larger freed blocks in it: twice as much memory, and no time
saved. A fixed threshold gives each block of a member's size back to the system."""

_START = "import sys; sys.path[:] = {path!r}; from edxorg.lib.workers.serving import serve; serve({descriptor})"


class WorkerDiedError(PipelineError):
    """A worker process ended in the middle of a task: killed from outside, most often for lack of memory."""

    is_transient = True


class BlockStream:
    """The parent's end of a task that reads blocks of bytes as they come.

    `send` waits while the worker is busy and the pipe full, so a fast reader cannot fill the memory.
    """

    def __init__(self, worker: _Worker, result: Future[Any]) -> None:
        self._worker = worker
        self._result = result

    def send(self, block: bytes) -> None:
        """Hand over the next block. An empty one means nothing and is not sent."""
        if block:
            self._worker.send_bytes(block)

    def finish(self) -> Future[Any]:
        """Tell the task that there are no more blocks."""
        self._worker.send_bytes(b"")
        return self._result

    def abort(self) -> Future[Any]:
        """Tell the task that the other blocks cannot be read: its iterator raises `TruncatedStreamError`."""
        self._worker.send_bytes(ABORT)
        return self._result


class _Worker:
    """A subprocess, a thread that waits for its answers, and the answers it owes."""

    def __init__(
        self,
        setup: Callable[..., Any],
        args: tuple[object, ...],
        changed: threading.Condition,
        descriptors: tuple[int, ...],
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs, _blocked_interrupts():
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-P", "-c", _START.format(path=sys.path, descriptor=theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *descriptors],
                env=_MALLOC | os.environ,
            )
        self._connection = Frames(ours)
        self._changed = changed
        self.waiting = 0
        self._owed: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._receive, daemon=True, name=f"worker-{self.process.pid}")
        self._reader.start()
        self.send_bytes(pickle.dumps((setup, args), protocol=5))

    def send_bytes(self, data: bytes) -> None:
        """Send one frame. A worker that died is noticed by the reader, which fails what it owed."""
        with suppress(OSError):
            self._connection.send(data)

    def begin(self, function: Callable[..., Any], args: tuple[object, ...], *, streams: bool) -> Future[Any]:
        future: Future[Any] = Future()
        self._owed.put(future)
        self.send_bytes(pickle.dumps((function, args, streams), protocol=5))
        return future

    def _receive(self) -> None:
        while (future := self._owed.get()) is not None:
            try:
                succeeded, value = pickle.loads(self._connection.receive())  # noqa: S301 - our own child
            except (EOFError, OSError):
                status = self.process.wait()
                succeeded = False
                value = WorkerDiedError(
                    f"A worker process ended unexpectedly (exit status {status}); -9 most often means that "
                    "the machine ran out of memory. Run again; if it happens again, give the run more memory"
                )
            with self._changed:
                self.waiting -= 1
                self._changed.notify()
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)

    def close(self) -> None:
        self._owed.put(None)
        with suppress(OSError):
            self._connection.send(b"")
        self._reader.join()
        self._connection.close()
        self.process.wait()

    def stop(self) -> None:
        """Wait a little for a worker that was asked to end, and no longer."""
        try:
            self.process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.close()


class WorkerPool:
    """A few worker processes, each with a state of its own that `setup` makes once.

    Functions must be importable by name; arguments and results are pickled. A task's function is called with the
    worker's state first.
    """

    def __init__(
        self,
        setup: Callable[..., Any],
        *args: object,
        workers: int | None = None,
        most: int = MAX_WORKERS,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        """Start the processes.

        Args:
            setup: Makes a worker's state from `args`.
            args: Arguments of `setup`.
            workers: By default one for each processor that this process may use, up to `most`.
            most: Limit where `workers` is not given.
            descriptors: Open files that `args` refer to.
        """
        self._changed = threading.Condition()
        count = workers or min(available_processors(), most)
        self._workers = [_Worker(setup, args, self._changed, descriptors) for _ in range(count)]

    @overload
    def submit(
        self, function: Callable[Concatenate[Any, P], Deferred[T]], /, *args: P.args, **_: P.kwargs
    ) -> Future[T]: ...

    @overload
    def submit(self, function: Callable[Concatenate[Any, P], T], /, *args: P.args, **_: P.kwargs) -> Future[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: object, **_: object) -> Future[Any]:
        """Have `function(state, *args)` run in the least busy worker; waits while all of them are full."""
        return self._free_worker().begin(function, args, streams=False)

    def stream(self, function: Callable[..., T], *args: object) -> BlockStream:
        """Have `function(state, blocks, *args)` run, where `blocks` iterates over what is sent to the stream.

        Nothing else may be submitted until the stream is finished or aborted.
        """
        worker = self._free_worker()
        return BlockStream(worker, worker.begin(function, args, streams=True))

    def _free_worker(self) -> _Worker:
        with self._changed:
            while (worker := min(self._workers, key=lambda each: each.waiting)).waiting >= MAX_UNANSWERED_TASKS:
                self._changed.wait()
            worker.waiting += 1
        return worker

    def process_ids(self) -> list[int]:
        """Return the ids of the processes, for tests that measure or kill them."""
        return [worker.process.pid for worker in self._workers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes: at once after an error, else when they have done what they were given."""
        if kind is None:
            for worker in self._workers:
                worker.close()
            return
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.stop()


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Let a process begin that no interrupt reaches: a terminal sends it to all processes, and the parent decides."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
