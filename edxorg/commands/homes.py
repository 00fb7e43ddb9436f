"""Makes the Dagster home of a command if there is none, and fails the runs that killed commands left in it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from edxorg.commands import console
from edxorg.lib.settings import LOCAL_FOLDER
from ol_orchestrate.lib.errors import MissingObjectError, SettingsError
from ol_orchestrate.lib.private_folders import locked, make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

COMMAND = "edxorg/command"
"""Tag of the runs of a command; its value is the name of a file in the home that the command locks while it lives."""

COMMANDS = ".edxorg-commands"
"""Folder of those files. A file without a lock was left by a command that was killed."""

CONFIGURATION = """\
telemetry:
  enabled: false
nux:
  enabled: false
compute_logs:
  # The ops print nothing, and to catch that takes four processes and 20 MB in each run.
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
concurrency:
  pools:
    # One archive at a time: a second command waits for the first.
    default_limit: 1
    # Commands run no daemon and no queue, so each step has to ask for itself.
    granularity: op
"""

EARLIER_CONFIGURATIONS = (
    "telemetry:\n  enabled: false\n",
    "telemetry:\n  enabled: false\nnux:\n  enabled: false\n",
)
"""Configurations that earlier versions made, with which archives would not wait for each other."""

HISTORY = "history"
"""Folder of a home in which Dagster keeps runs and events, unless its configuration names another storage."""

UNFINISHED = ".edxorg-unfinished"
"""Folder of a home in which a command makes Dagster's tables; one that is left is of a killed command."""

_STORAGE_ELSEWHERE = re.compile(r"^(?:storage|(?:run|event_log|schedule)_storage|instance_class)[ \t]*:", re.MULTILINE)

SECONDS_BETWEEN_LOOKS = 1.0
"""Interval at which a command looks for killed ones, which may hold the slot that it waits for."""

_command: ContextVar[str | None] = ContextVar("command", default=None)


def tags_of_this_command() -> dict[str, str]:
    """Return the tags that mark this command's runs; none outside of `dagster_instance`."""
    command = _command.get()
    return {COMMAND: command} if command else {}


def home_folder() -> Path:
    """Return the folder `DAGSTER_HOME`, or one in the working folder.

    Raises:
        SettingsError: The path is relative; Dagster's own tools would refuse the home that a command makes there.
    """
    given = os.environ.get("DAGSTER_HOME")
    if not given:
        return Path(LOCAL_FOLDER, "dagster_home").absolute()
    home = Path(os.path.expanduser(given))  # noqa: PTH111 - as Dagster does; Path's raises for a user who is not there
    if not home.is_absolute():
        raise SettingsError(f"DAGSTER_HOME={given}: Dagster accepts no relative path. Write {home.absolute()}")
    return home


def given_home() -> Path:
    """Return the home of a command that only looks.

    Raises:
        MissingObjectError: `DAGSTER_HOME` names a folder that is not there.
        SettingsError: Its path is relative.
    """
    home = home_folder()
    if os.environ.get("DAGSTER_HOME") and not home.is_dir():
        raise MissingObjectError(f"{home}: there is no such folder. Make it, or correct DAGSTER_HOME")
    return home


def is_made(home: Path) -> bool:
    """Return True if a command or Dagster has made its files in a home."""
    return home.is_dir() and any(home.iterdir())


@contextmanager
def dagster_instance(home: Path | None = None) -> Iterator[dg.DagsterInstance]:
    """Open the instance of `DAGSTER_HOME`, or one in the working folder."""
    import dagster as dg  # noqa: PLC0415 - three seconds, and `--help` needs none of it

    folder = home.absolute() if home else home_folder()
    console.make_folder(folder, make_private)
    with console.writing_to(folder):
        make_storage(folder)
        _renew_configuration(folder / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(folder)
    with dg.DagsterInstance.get() as instance, _living_command(folder, instance) as command:
        token = _command.set(command)
        try:
            yield instance
        finally:
            _command.reset(token)


@contextmanager
def instance_to_read() -> Iterator[dg.DagsterInstance]:
    """Open the instance of `DAGSTER_HOME`; where there is none yet, one without any records, and make nothing."""
    import dagster as dg  # noqa: PLC0415

    if is_made(home_folder()):
        with dagster_instance() as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance


def make_storage(home: Path) -> None:
    """Make Dagster's tables if a home has none, whole or not at all.

    Dagster cannot use tables that a killed process has half made, or that two processes make at the same time.
    """
    if _has_storage(home):
        return
    import dagster as dg  # noqa: PLC0415

    make_private(home)
    with locked(home):
        if _has_storage(home):
            return
        unfinished = home / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private(unfinished)
        (unfinished / "dagster.yaml").write_text(CONFIGURATION)
        with dg.DagsterInstance.from_config(str(unfinished)) as instance:
            instance.get_runs(limit=1)
            instance.get_dynamic_partitions("")
            instance.all_instigator_state()
        # The folder that shows that all is there comes last.
        for made in sorted(unfinished.iterdir(), key=lambda each: each.name == HISTORY):
            if not (home / made.name).exists():
                made.replace(home / made.name)
        shutil.rmtree(unfinished)


def _has_storage(home: Path) -> bool:
    """Return True if Dagster's tables are in a home, or elsewhere by its configuration."""
    file = home / "dagster.yaml"
    return (home / HISTORY).exists() or (file.exists() and _STORAGE_ELSEWHERE.search(file.read_text()) is not None)


def _renew_configuration(file: Path) -> None:
    """Bring a configuration of an earlier version up to date, unless a user has edited it."""
    if file.exists() and file.read_text() in EARLIER_CONFIGURATIONS:
        renewed = file.with_name(f".{file.name}.{uuid4().hex}")
        renewed.write_text(CONFIGURATION)
        renewed.replace(file)


@contextmanager
def _living_command(home: Path, instance: dg.DagsterInstance) -> Iterator[str | None]:
    """Show by a locked file that this command lives, and fail the runs of killed commands.

    Yields:
        The name of the file; `None` if the home cannot be written to, as with a storage elsewhere.
    """
    folder = home / COMMANDS
    name = uuid4().hex
    try:
        make_private(folder)
        # A file must not be seen before it is locked.
        with locked(folder):
            _fail_runs_of_killed_commands(folder, instance)
            descriptor = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except PermissionError:
        yield None
        return
    ended = threading.Event()
    looks = threading.Thread(target=_look_for_killed_commands, args=(folder, instance, ended), name="killed-commands")
    looks.start()
    try:
        yield name
    finally:
        ended.set()
        looks.join()
        (folder / name).unlink(missing_ok=True)
        os.close(descriptor)


def _look_for_killed_commands(folder: Path, instance: dg.DagsterInstance, ended: threading.Event) -> None:
    """Fail the runs of killed commands again and again until this one ends: its step may wait for their slot."""
    while not ended.wait(SECONDS_BETWEEN_LOOKS):
        # A failure is tried again, as the file of the killed command stays.
        with suppress(Exception), locked(folder):
            _fail_runs_of_killed_commands(folder, instance)


def _fail_runs_of_killed_commands(folder: Path, instance: dg.DagsterInstance) -> None:
    """Fail the runs that Dagster shows as under way although their command is dead, and free their slots."""
    for left in folder.iterdir():
        with suppress(BlockingIOError, FileNotFoundError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _fail_runs(left.name, instance)
            left.unlink()


def _fail_runs(command: str, instance: dg.DagsterInstance) -> None:
    import dagster as dg  # noqa: PLC0415

    for run in instance.get_runs(dg.RunsFilter(tags={COMMAND: command})):
        if not run.is_finished:
            instance.report_run_failed(
                run, "The command of this run was killed before it ended. Run it again: all that it delivered is kept"
            )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
