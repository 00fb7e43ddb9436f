"""Counts what a run does, in all of its processes, and kills when a count is reached.

A run has this in its own process, and each interpreter that it starts has it, too, by `sitecustomize`. A server that a
run writes to counts its requests in the same folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "CRASH_TRIAL_COUNTS"
"""The environment variable that names the folder of counts."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp", "fcntl.flock"}
"""Python's own events of which each is a step."""


class Moment(StrEnum):
    """What is counted."""

    OBJECT = "object"
    """An object of a folder is about to get its name, or a request that writes comes in, or its response goes out."""
    BYTES = "bytes"
    """Half of a block of an object is written, or a piece of a request has come in."""
    STEP = "step"
    """A file or a folder is about to be made, locked or deleted, or a request that reads comes in."""
    TASK = "task"
    """A worker has got a part of a task."""
    RECORD = "record"
    """Dagster's database is about to be written to, after the first object."""
    ANY = "any"
    """Any of these."""


class Scope(StrEnum):
    """Which processes are killed."""

    EVERYTHING = "everything"
    """The run and its workers, as when a container ends."""
    RUN = "the run alone"
    """The next run meets workers that still live."""
    WORKER = "a worker"


class Plan(NamedTuple):
    """When to kill, and what."""

    moment: Moment
    number: int
    scope: Scope

    def __str__(self) -> str:
        return f"{self.scope} at {self.moment} {self.number}"


class Switch:
    """The counts of one run, and the plan by which it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._plan, self._leader = None, 0
        self._counts: dict[Moment, int] = {}
        if (plan := folder / "plan").exists():
            moment, number, scope, self._leader = json.loads(plan.read_bytes())
            self._plan = Plan(Moment(moment), number, Scope(scope))

    @classmethod
    def arm(cls, folder: Path, plan: Plan | None) -> None:
        """Begin to count anew, for a run that this process leads."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if plan:
            (folder / "plan").write_text(json.dumps([*plan, os.getpid()]))

    @classmethod
    def read(cls, folder: Path) -> dict[Moment, int]:
        """Return all counts."""
        return {each: (folder / each).stat().st_size if (folder / each).exists() else 0 for each in Moment}

    @classmethod
    def fired(cls, folder: Path) -> int | None:
        """Return how many objects and tasks were counted when it killed; `None` if it has not."""
        return int((folder / "fired").read_text() or 0) if (folder / "fired").exists() else None

    def has_begun(self) -> bool:
        """Return True if an object was counted."""
        return (self._folder / Moment.OBJECT).exists()

    def count(self, moment: Moment) -> bool:
        """Count a moment; return True if this one killed all processes, so that nobody is left to finish a request."""
        return any([self._add(moment), self._add(Moment.ANY)])

    def _add(self, moment: Moment) -> bool:
        if moment not in self._counts:
            self._counts[moment] = os.open(self._folder / moment, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        # Of all processes, each finds the file as long as its own byte has made it.
        os.write(self._counts[moment], b".")
        number = os.lseek(self._counts[moment], 0, os.SEEK_CUR)
        return self._plan is not None and self._plan.moment is moment and number >= self._plan.number and self._fire()

    def _fire(self) -> bool:
        if self._plan is None:
            return False
        victim = _a_worker_of(self._leader) if self._plan.scope is Scope.WORKER else self._leader
        if victim is None:
            return False
        try:
            fired = os.open(self._folder / "fired", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        counts = self.read(self._folder)
        os.write(fired, b"%d" % (counts[Moment.OBJECT] + counts[Moment.TASK]))
        os.close(fired)
        is_all = self._plan.scope is Scope.EVERYTHING
        (os.killpg if is_all else os.kill)(victim, signal.SIGKILL)
        return is_all

    def close(self) -> None:
        for count in self._counts.values():
            os.close(count)


def _a_worker_of(leader: int) -> int | None:
    """Return this process if it is a worker of a run, else one that the run has at the moment."""
    children = [int(each) for each in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]
    for task in Path(f"/proc/{leader}/task").iterdir():
        children += [int(each) for each in (task / "children").read_text().split()]
    workers = [each for each in dict.fromkeys(children) if b"lib.workers" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return os.getpid() if os.getpid() in workers else min(workers, default=None)


def install(root: str, *, is_worker: bool) -> Switch:
    """Count what this process does to the files below a folder."""
    switch = Switch(Path(os.environ[VARIABLE]))
    is_counting = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_counting
        if is_counting or (moment := _moment(event, arguments, root, is_worker=is_worker)) is None:
            return
        is_counting = True  # what counts opens files itself
        try:
            switch.count(moment)
        finally:
            is_counting = False

    sys.addaudithook(hook)
    shutil.copyfileobj = _counting_blocks(switch)
    return switch


def _moment(event: str, arguments: tuple[Any, ...], root: str, *, is_worker: bool) -> Moment | None:
    if event == "pickle.find_class":
        return Moment.TASK if is_worker else None
    if event == "os.rename":
        return Moment.OBJECT if str(arguments[1]).startswith(root) else None
    if event == "fcntl.flock":
        return Moment.STEP
    if event == "open":
        path, _, flags = arguments
        return Moment.STEP if flags & WRITING and str(path).startswith(root) else None
    return Moment.STEP if event in CHANGES and str(arguments[0]).startswith(root) else None


def _counting_blocks(switch: Switch) -> Callable[..., None]:
    def copy(source: Any, target: Any, length: int = 1 << 16) -> None:  # noqa: ANN401 - files
        while block := source.read(length):
            target.write(block[: len(block) // 2])
            switch.count(Moment.BYTES)
            target.write(block[len(block) // 2 :])

    return copy
