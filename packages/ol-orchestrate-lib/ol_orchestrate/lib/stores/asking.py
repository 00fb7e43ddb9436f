"""Functions of a process that its child processes call, where finding out for themselves would cost too much memory."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ASK, _END = b"?", b"."

_LONGEST_ANSWER = 64 << 10


@dataclass(frozen=True, slots=True)
class Question:
    """A function of the parent, called in a child that was given the descriptor.

    Several processes and threads may ask at a time and get each other's answers: whoever asks later may know less.
    """

    descriptor: int

    def __call__(self) -> Any:  # noqa: ANN401 - whatever the function returns
        """What the function returns.

        Raises:
            Exception: Whatever it raises.
        """
        with socket.socket(fileno=os.dup(self.descriptor)) as end:
            end.send(_ASK)
            succeeded, value = pickle.loads(end.recv(_LONGEST_ANSWER))  # noqa: S301 - our own parent
        if not succeeded:
            raise value
        return value


@contextmanager
def answering(function: Callable[[], object]) -> Iterator[Question]:
    """Answer by a function, in a thread of its own, until the block ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        thread = threading.Thread(target=_answer, args=(ours, function), name="answers-to-children", daemon=True)
        thread.start()
        try:
            yield Question(theirs.fileno())
        finally:
            theirs.send(_END)
            thread.join()


def _answer(end: socket.socket, function: Callable[[], object]) -> None:
    while end.recv(1) == _ASK:
        try:
            answer: tuple[bool, object] = True, function()
        except Exception as error:  # noqa: BLE001 - raised again in the child
            answer = False, error
        # It is full only of answers to children that have died: others may take those.
        with suppress(BlockingIOError):
            end.send(pickle.dumps(answer), socket.MSG_DONTWAIT)
