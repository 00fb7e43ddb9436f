"""Ends a command that is asked to stop: with one line, the exit code of the signal, and no traceback.

While a run goes on, Dagster has signal handlers of its own, and raises an error at each signal. So the interpreter also
writes the number of each signal to a socket (`signal.set_wakeup_fd`), which tells that the command was asked to stop,
whatever handles the signal and whatever becomes of the error.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SECONDS_FOR_ONE_REQUEST = 1.0
"""Signals within this time are one request: a terminal and `uv run` each send theirs."""

_ERASE_LINE_AND_SHOW_CURSOR = "\r\x1b[2K\x1b[?25h"


class StopRequests:
    """The signals that ask this command to stop.

    The first one raises `KeyboardInterrupt` in the main thread, or what Dagster raises; the command tidies up and ends.
    A further one, a second later, ends the process at once.
    """

    def __init__(self) -> None:
        self._ours, self._of_interpreter = socket.socketpair()
        self._of_interpreter.setblocking(False)  # noqa: FBT003 - the standard library's
        self._first: int | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="stop-requests", daemon=True)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for signals in this block. Needs the main thread."""
        earlier = signal.set_wakeup_fd(self._of_interpreter.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier)
            self._ended = True
            self._of_interpreter.send(b"\0")
            self._thread.join()
            self._of_interpreter.close()
            self._ours.close()

    @property
    def requested(self) -> bool:
        """True if the command was asked to stop; so before any handler of the signal runs."""
        return self._first is not None or bool(select.select([self._ours], [], [], 0)[0])

    def exit_code(self) -> int:
        """Return the exit code that shells give to a program that the signal has ended."""
        return _exit_code(self._first or signal.SIGINT)

    def _watch(self) -> None:
        asked_at = 0.0
        while True:
            # `_first` is set before the socket is empty, so that `requested` is true all the time.
            number = self._ours.recv(1, socket.MSG_PEEK)[0]
            if self._first is not None and number in SIGNALS and time.monotonic() > asked_at + SECONDS_FOR_ONE_REQUEST:
                leave(number)
            if self._first is None and number in SIGNALS:
                self._first, asked_at = number, time.monotonic()
            self._ours.recv(1)
            if self._ended:
                return


_current: StopRequests | None = None
"""The requests to stop the command that runs in this process."""


def requested() -> bool:
    """Return True if the command was asked to stop."""
    return _current is not None and _current.requested


def raise_if_requested() -> None:
    """End the command where the error that a signal raised was taken for another failure.

    Raises:
        KeyboardInterrupt: The command was asked to stop.
    """
    if requested():
        raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Raise `KeyboardInterrupt` at a signal in this block.

    A shell lets its background jobs ignore interrupts, and Dagster would then ignore both signals.
    """
    global _current  # noqa: PLW0603 - signals are of the process, too
    _current = StopRequests()
    try:
        with _current.watched(), _handlers(signal.default_int_handler):
            yield _current
    finally:
        _current = None


@contextmanager
def nothing_to_tidy() -> Iterator[None]:
    """End the process at once at a signal in this block: an error raised within an import leaves a traceback."""
    with _handlers(leave):
        yield


def leave_at_signals() -> None:
    """End the process at once at a signal, unless a block handles it otherwise."""
    for number in SIGNALS:
        signal.signal(number, leave)


def ignore_signals() -> None:
    """Let the interpreter end by itself: while it does, it takes other handlers away, and a signal would end it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _handlers(handler: object) -> Iterator[None]:
    earlier = {number: signal.signal(number, handler) for number in SIGNALS}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, each in earlier.items():
            signal.signal(number, each)


def leave(number: int, frame: FrameType | None = None) -> None:
    """End the process at once, with one line."""
    del frame
    say_stopped()
    os._exit(_exit_code(number))


def say_stopped() -> None:
    """Write the last line, in place of a progress bar."""
    line = f"{_ERASE_LINE_AND_SHOW_CURSOR if os.isatty(2) else ''}Stopped.\n"
    # Past the streams, whose locks another thread may hold.
    os.write(2, line.encode())


def _exit_code(number: int) -> int:
    return 128 + number
