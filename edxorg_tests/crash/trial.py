"""A folder with inputs, a place to write to and an instance, in which runs are made, killed, and taken back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import Engine

from edxorg.lib.object_keys import RAW_DATA_ARCHIVE, RUN_MARKS
from edxorg_tests.crash.switch import VARIABLE, Moment, Plan, Switch, install
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edxorg_tests.crash.places import Place, Stored

SECONDS_OF_RUN = 120
"""A run that takes longer hangs."""

SECONDS_TO_END = 10
"""How long processes of a killed run may take to notice that it is gone."""

FAILED = 3
"""Exit code of a run that failed and said so."""


HOME = """
telemetry:
  enabled: false
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
"""Settings of the instance. Each step's output would take two more processes."""

UNDER_WAY = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])


class Run(NamedTuple):
    """One run of a job.

    Attributes:
        begin: Puts its inputs there.
        run: Runs the job in this process.
        is_given: True if it only prepares the runs after it, and is never killed.
    """

    begin: Callable[[], None]
    run: Callable[[dg.DagsterInstance], dg.ExecuteInProcessResult]
    is_given: bool = False


@dataclass(frozen=True)
class State:
    """What must not depend on whether a run was killed."""

    objects: Mapping[str, str]
    recorded: Mapping[tuple[str, str | None], str]
    """The latest version of each partition of each asset."""
    times: Mapping[tuple[str, str | None], int]
    """How often something was recorded of it: each record starts what is downstream."""
    newest: Mapping[str, str | None]
    """The newest object of each folder by the store's clock, by which some readers choose; `None` of two as new."""
    partitions: frozenset[tuple[str, str]]
    checks: Mapping[tuple[str, str | None], str]
    """Whether each asset check passed, as far as it was last evaluated."""

    def differences(self, other: State) -> list[str]:
        return [name for name in self.__dataclass_fields__ if getattr(self, name) != getattr(other, name)]


def prepare() -> None:
    """Load here, once, what each run would load: most of a run's time is that."""
    ScriptDirectory.from_config = cache(ScriptDirectory.from_config)  # type: ignore[method-assign]
    with dg.DagsterInstance.local_temp() as instance:
        instance.get_dynamic_partitions("")
    for name in ("obstore.store", "botocore.session", "httpx", "httpcore", "anyio"):
        import_module(name)


@dataclass
class Trial:
    """The folder of one job."""

    folder: Path
    place: Place
    root: Path = field(init=False)
    temporary: Path = field(init=False)
    counts: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root, self.counts = self.folder / "trial", self.folder.parent / "counts"
        self.home, self.temporary = self.root / "home", self.root / "t"
        self.home.mkdir(parents=True)
        self.temporary.mkdir()
        (self.home / "dagster.yaml").write_text(HOME)
        # Each interpreter that a run starts loads this.
        (self.folder / "sitecustomize.py").write_text(
            f"import sys\nsys.path.append({str(ROOT)!r})\n"
            f"from edxorg_tests.crash.switch import install\ninstall({str(self.folder)!r}, is_worker=True)\n"
        )
        # Dagster makes its tables at the first use of a home, and cannot use half of them: a matter of its own.
        made = self._forked(lambda: self._with_instance(lambda instance: instance.get_dynamic_partitions("")), None)
        assert ended(made) == 0, self.said

    @property
    def said(self) -> str:
        """What the last run wrote to its standard error."""
        return (self.folder / "said").read_text(errors="replace")

    def start(self, run: Run, plan: Plan | None = None, *, is_known_dead: bool = False) -> int:
        """Start a run in a process of its own, and return its number.

        Args:
            plan: When to kill it.
            is_known_dead: True if Dagster learns first that runs before were killed, as its daemon finds out.
        """

        def work(instance: dg.DagsterInstance) -> int:
            for dead in instance.get_runs(UNDER_WAY) if is_known_dead else ():
                instance.report_run_failed(dead)
            result = run.run(instance)
            for failed in () if result.success else result.all_events:
                if failed.is_failure:
                    print(failed.message, failed.event_specific_data, file=sys.stderr)  # noqa: T201
            return 0 if result.success else FAILED

        return self._forked(lambda: self._with_instance(work), plan)

    def _with_instance(self, work: Callable[[dg.DagsterInstance], object]) -> int:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return FAILED if work(instance) == FAILED else 0

    def _forked(self, work: Callable[[], int], plan: Plan | None) -> int:
        """Do something in a process that leads a group of its own."""
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            os.setpgid(0, 0)
            said = os.open(self.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, sys.stderr.fileno())
            os.environ |= {
                VARIABLE: str(self.counts),
                "PYTHONPATH": str(self.folder),
                "TMPDIR": str(self.temporary),
            }
            tempfile.tempdir = str(self.temporary)
            dg.RetryPolicy.calculate_delay = lambda *_: 0  # type: ignore[method-assign]
            Switch.arm(self.counts, plan)
            _count_records(install(str(self.folder), is_worker=False))
            status = work()
        except BaseException:  # noqa: BLE001 - nothing may go on here as if it were the parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def state(self, objects: Mapping[str, Stored]) -> State:
        """Return the state, with these objects."""
        folders: dict[str, list[tuple[float, str]]] = {}
        for key, each in objects.items():
            if of_versions := _VERSIONED.match(key):
                folders.setdefault("*".join(of_versions.groups()), []).append((each.listed, key))
        recorded, times = {}, Counter[tuple[str, str | None]]()
        with closing(sqlite3.connect(self.home / "history/runs/index.db")) as index:
            for asset, partition, version, is_unchanged in index.execute(_VERSIONS):
                recorded[asset, partition] = version
                # Two kinds start nothing: the record by which a run that succeeds after a failed one tells of it, and
                # those that an attempt repeats as it fails, which say so.
                is_source = json.loads(asset) == RAW_DATA_ARCHIVE.split("/")
                times[asset, partition] += not (is_source or is_unchanged)
            checks = {
                (f"{asset} {name}", partition): status for asset, name, partition, status in index.execute(_CHECKS)
            }
            partitions = frozenset(index.execute("SELECT partitions_def_name, partition FROM dynamic_partitions"))
        return State(
            {key: each.digest for key, each in objects.items()},
            recorded,
            times,
            {folder: _newest(of_folder) for folder, of_folder in folders.items()},
            partitions,
            checks,
        )

    def objects(self) -> dict[str, Stored]:
        """Return the objects that runs have written, without their marks."""
        return {key: each for key, each in self.place.objects().items() if f"/{RUN_MARKS}/" not in f"/{key}"}

    def marks(self) -> list[str]:
        return [key for key in self.place.objects() if f"/{RUN_MARKS}/" in f"/{key}"]

    def left_over(self) -> list[str]:
        """Return what no run may leave when it is over."""
        temporary = [str(each.relative_to(self.root)) for each in self.temporary.rglob("*")]
        base = f"t/ol-orchestrate-results-{os.getuid()}"
        return [each for each in temporary if each != base] + self.place.left_over()

    def processes(self) -> list[str]:
        """Return the processes that name this folder in their command lines, and do not end of themselves."""
        is_over(lambda: not self._processes())
        return self._processes()

    def _processes(self) -> list[str]:
        lines = []
        for each in os.scandir("/proc"):
            if each.name.isdecimal() and int(each.name) != os.getpid():
                try:
                    with open(f"/proc/{each.name}/cmdline", "rb") as file:  # noqa: PTH123 - many
                        line = file.read().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(self.temporary) in line:
                    lines.append(line)
        return lines

    def save(self, name: str) -> None:
        """Keep everything as it is now."""
        shutil.copytree(self.root, self.folder / "saved" / name)
        self.place.save(name)

    def restore(self, name: str) -> None:
        """Take everything back to what was saved."""
        shutil.rmtree(self.root)
        shutil.copytree(self.folder / "saved" / name, self.root)
        self.place.restore(name)


_VERSIONED = re.compile(r"(lake/edxorg/(?!rejects/).+/)[0-9a-f]{64}(\..+)")
"""The keys of objects that versions name."""

_VERSIONS = """
    SELECT event_logs.asset_key, event_logs.partition, tags.value, event LIKE '%"unchanged"%' FROM event_logs
    JOIN asset_event_tags AS tags ON tags.event_id = event_logs.id AND tags.key = 'dagster/data_version'
    WHERE dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY event_logs.id
"""

_CHECKS = """
    SELECT asset_key, check_name, partition, execution_status FROM asset_check_executions
    WHERE execution_status IN ('SUCCEEDED', 'FAILED') ORDER BY id
"""


def _newest(of_folder: list[tuple[float, str]]) -> str | None:
    last, *others = sorted(of_folder, reverse=True)
    return None if others and others[0][0] == last[0] else last[1]


def _count_records(switch: Switch) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def count(*arguments: object) -> None:
        if str(arguments[2]).startswith(("INSERT", "UPDATE", "DELETE")) and switch.has_begun():
            switch.count(Moment.RECORD)


def ended(process: int) -> int | None:
    """Wait for a process and return its exit status; end one that hangs, and return `None`."""
    deadline = time.monotonic() + SECONDS_OF_RUN
    while time.monotonic() < deadline:
        number, status = os.waitpid(process, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def is_gone(group: int) -> bool:
    """Wait for all processes of a group."""
    return is_over(lambda: not _exists(group))


def _exists(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def is_over(condition: Callable[[], bool]) -> bool:
    """Wait for what needs a moment to notice that its run is gone; return True if it has."""
    deadline = time.monotonic() + SECONDS_TO_END
    while not (was := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return was
