"""The worker's side: does tasks one after the other, and sends their answers."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from edxorg.lib.workers.frames import ABORT, Frames, Inbox
from ol_orchestrate.lib.stores.folder_store import discard_unfinished

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deferred(Generic[T]):
    """Returned by a task's function when the rest of it is waiting: the worker goes on with its next task.

    Attributes:
        result: Called in another thread; waits for the task's result and returns it.
    """

    result: Callable[[], T]


class TruncatedStreamError(Exception):
    """Raised inside a task whose blocks broke off."""


def serve(descriptor: int) -> None:
    """Run a worker's main loop. Called in the child only."""
    signal.signal(signal.SIGTERM, _end_at_once)
    connection = Frames(socket.socket(fileno=descriptor))
    answers: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
    sender = threading.Thread(target=_send, args=(connection, answers), name="answers")
    sender.start()
    inbox = Inbox(connection, at_end=_end_without_parent)
    try:
        with suppress(EOFError, OSError):
            setup, arguments = pickle.loads(inbox.receive())  # noqa: S301 - our own parent
            state = _outcome(setup, *arguments)
            while task := inbox.receive():
                outcome = _do(pickle.loads(task), state, inbox)  # noqa: S301
                del task  # it may be large, and the next one may be long in coming
                answers.put(outcome)
    finally:
        # Also after an error, such as a module that cannot be imported: else the parent waits for ever.
        answers.put(None)
        sender.join()
        connection.close()


def _end_at_once(*_: object) -> None:
    """End without waiting for writes under way, and delete their temporary files."""
    discard_unfinished()
    os._exit(128 + signal.SIGTERM)


def _end_without_parent() -> None:
    """End at once when the parent is gone, which has all answers or was killed.

    The next run settles the objects of a killed one, so nothing may be written after that.
    """
    discard_unfinished()
    os._exit(0)


def _do(
    task: tuple[Callable[..., Any], tuple[object, ...], bool], state: Callable[[], Any], inbox: Inbox
) -> Callable[[], Any]:
    function, arguments, streams = task
    if not streams:
        return _outcome(lambda: function(state(), *arguments))
    blocks = _Blocks(inbox)
    outcome = _outcome(lambda: function(state(), blocks, *arguments))
    blocks.drain()
    return outcome


def _outcome(function: Callable[..., Any], *arguments: object) -> Callable[[], Any]:
    """Call a function, and return a function that returns its value or raises its error."""
    try:
        value = function(*arguments)
    except Exception as error:  # noqa: BLE001 - raised where the value is used, in the end in the parent
        return partial(_raise, error)
    return value.result if isinstance(value, Deferred) else lambda: value


def _raise(error: Exception) -> None:
    raise error


def _send(connection: Frames, answers: queue.SimpleQueue[Callable[[], Any] | None]) -> None:
    """Send the answers, in the order of the tasks."""
    while (answer := answers.get()) is not None:
        with suppress(OSError):
            connection.send(_pickled(answer))


def _pickled(answer: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((True, answer()), protocol=5)
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    try:
        data = pickle.dumps((False, error), protocol=5)
        pickle.loads(data)  # noqa: S301 - an exception may pickle, and then not come back
    except Exception:  # noqa: BLE001
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")), protocol=5)
    return data


class _Blocks(Iterator[bytes]):
    """The worker's end of a `BlockStream`."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._ended = False

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        block = self._inbox.receive()
        self._ended = block in (b"", ABORT)
        if block == ABORT:
            raise TruncatedStreamError
        if self._ended:
            raise StopIteration
        return block

    def drain(self) -> None:
        """Read what the function left unread, so that the next frame is the next task."""
        while not self._ended:
            with suppress(TruncatedStreamError, StopIteration):
                next(self)
