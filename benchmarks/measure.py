"""Measures time, processor time, and the memory of all processes that took part in a piece of work."""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_SAMPLED_EVERY = 0.2
"""Seconds; the system takes a few milliseconds to add up a process's memory, and stops the process meanwhile."""


@dataclass
class Measurement:
    """Filled in when the work is done."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """User and system time of this process and of its children that have ended."""
    peak_bytes: int = 0
    """Memory of this process and all below it; pages that several of them map are shared out among them. 0 where
    there is no `/proc`."""
    peak_rss: int = 0
    """The same, with such pages counted for each of them, as those do who add up what `ps` shows."""
    load: float = 0.0
    """Number of processes that wanted a processor in the last minute."""


@contextmanager
def measured(*, own: bool = True, beside: int | None = None) -> Iterator[Measurement]:
    """Measure the work inside the `with` block; children count for `cpu_seconds` only if they end in it.

    Args:
        own: True if this process takes part in the work, so that its memory counts.
        beside: A process below this one that takes no part, such as a server.
    """
    measurement = Measurement()
    done = threading.Event()
    sampler = threading.Thread(target=_sample, args=(measurement, done, own, beside), daemon=True)
    sampler.start()
    cpu, start = _cpu_seconds(), time.perf_counter()
    try:
        yield measurement
    finally:
        measurement.seconds = time.perf_counter() - start
        measurement.cpu_seconds = _cpu_seconds() - cpu
        measurement.load = os.getloadavg()[0]
        done.set()
        sampler.join()


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _sample(measurement: Measurement, done: threading.Event, own: bool, beside: int | None) -> None:  # noqa: FBT001
    while not done.wait(_SAMPLED_EVERY):
        processes = [each for each in _process_tree(os.getpid()) if each != beside and (own or each != os.getpid())]
        memories = list(map(_memory, processes))
        measurement.peak_bytes = max(measurement.peak_bytes, sum(each.pss for each in memories))
        measurement.peak_rss = max(measurement.peak_rss, sum(each.rss for each in memories))


def _process_tree(root: int) -> Iterator[int]:
    yield root
    try:
        children = (_PROC / f"{root}/task/{root}/children").read_text().split()
        # A child belongs to the thread that started it.
        for task in (_PROC / f"{root}/task").iterdir():
            if task.name != str(root):
                children += (task / "children").read_text().split()
    except OSError:  # it has ended meanwhile
        return
    for child in map(int, children):
        # Until a child starts its own program, its memory is its parent's.
        if _program(child) != _program(root):
            yield from _process_tree(child)


def _program(process: int) -> bytes:
    try:
        return (_PROC / f"{process}/cmdline").read_bytes()
    except OSError:
        return b""


class _Memory(NamedTuple):
    pss: int = 0
    rss: int = 0


def _memory(process: int) -> _Memory:
    try:
        rollup = (_PROC / f"{process}/smaps_rollup").read_text()
    except OSError:
        return _Memory()
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    return _Memory(kilobytes.get("Pss:", 0) << 10, kilobytes.get("Rss:", 0) << 10)
