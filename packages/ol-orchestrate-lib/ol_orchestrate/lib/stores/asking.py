"""Calls of a parent's function from its child processes, if the libraries for it would take too much memory there."""

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
    """A function of the parent for a child that inherits the descriptor.

    Several processes and threads may call it at a time. They can get each other's results, which are of any order.
    """

    descriptor: int

    def __call__(self) -> Any:  # noqa: ANN401 - whatever the function returns
        """Return the function's result.

        Raises:
            Exception: The function raised it.
        """
        with socket.socket(fileno=os.dup(self.descriptor)) as end:
            end.send(_ASK)
            succeeded, value = pickle.loads(end.recv(_LONGEST_ANSWER))  # noqa: S301 - our own parent
        if not succeeded:
            raise value
        return value


@contextmanager
def answering(function: Callable[[], object]) -> Iterator[Question]:
    """Call the function for each question of a child, in a thread of its own, until the block ends."""
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
        # The socket is full only of answers to dead children, and other children may take those.
        with suppress(BlockingIOError):
            end.send(pickle.dumps(answer), socket.MSG_DONTWAIT)
