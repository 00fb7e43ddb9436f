"""A time limit for work that no timeout of its own covers as a whole."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do work in a thread of its own, which is left behind if it is late, and return its result.

    Raises:
        TimeoutError: It was late.
        BaseException: Whatever the work raised.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="time-limit").start()
    return outcome.result(seconds)
