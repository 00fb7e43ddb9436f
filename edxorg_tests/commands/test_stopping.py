"""A command that is asked to stop ends with one line and the signal's exit code, at whatever moment."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.commands.homes import COMMANDS
from edxorg.samples.sample_archive import write_sample_archive

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHIVE = "mitx-2024-01-31.tar.gz"
SECONDS = 240


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that takes a while."""
    path = tmp_path_factory.mktemp("archive") / ARCHIVE
    write_sample_archive(path, courses=40, rows_per_course=1500, seed=0)
    return path


@pytest.fixture
def place(tmp_path: Path, archive: Path) -> Path:
    """A working folder with the archive."""
    (tmp_path / ARCHIVE).hardlink_to(archive)
    return tmp_path


def begin(place: Path, *command: str) -> subprocess.Popen[str]:
    """Start a process in a group of its own, as a shell does."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, *command],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def ingest(place: Path) -> subprocess.Popen[str]:
    process = begin(place, "-m", "edxorg", "ingest", "archive", ARCHIVE)
    wait_for(lambda: handles_sigterm(process), process)
    return process


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handles_sigterm(process: subprocess.Popen[str]) -> bool:
    """Whether the command's own code has begun: Python by itself leaves this signal alone."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:  # noqa: PTH123
        (caught,) = (line.split()[1] for line in file if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << signal.SIGTERM - 1)


def has_workers(process: subprocess.Popen[str]) -> bool:
    """Whether a worker has begun; while Dagster loads, other programs are children as well."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split():
        with suppress(OSError):
            if "edxorg.lib.workers" in Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8"):
                return True
    return False


def has_landed(place: Path) -> bool:
    return any((place / ".edxorg/landing-zone").rglob("*.tsv"))


def assert_stopped(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    said, _ = process.communicate(timeout=SECONDS)
    lines = [line for line in said.splitlines() if not line.startswith("Made the folder ")]
    assert (lines, process.returncode) == (["Stopped."], 128 + number)
    deadline = time.monotonic() + SECONDS
    while group_lives(process.pid):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.01)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("seconds", [0, 1.5])
def test_a_command_that_is_interrupted_while_it_loads_leaves_nothing(place: Path, seconds: float) -> None:
    process = ingest(place)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    assert_stopped(process)
    assert seconds > 1 or [path.name for path in place.iterdir()] == [ARCHIVE]


@pytest.mark.parametrize(
    ("moment", "pauses"),
    [("workers start", []), ("objects land", []), ("objects land", [0.1]), ("objects land", [1.2])],
    ids=["workers start", "objects land", "twice at once", "twice"],
)
def test_a_run_that_is_interrupted_by_the_terminal_ends_with_one_line(
    place: Path, moment: str, pauses: list[float]
) -> None:
    process = ingest(place)
    wait_for(lambda: has_workers(process) if moment == "workers start" else has_landed(place), process)
    os.killpg(process.pid, signal.SIGINT)
    for pause in pauses:
        time.sleep(pause)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    assert_stopped(process)
    if pauses:
        return
    with dg.DagsterInstance.from_config(str(place / ".edxorg/dagster_home")) as instance:
        assert [run.is_finished for run in instance.get_runs()] == [True]
        assert instance.event_log_storage.get_concurrency_info("edxorg_archive").claimed_slots == []
    assert list((place / ".edxorg/dagster_home" / COMMANDS).iterdir()) == []
    assert list((place / ".edxorg/landing-zone").glob(".unfinished/*")) == []


STUBBORN = """
import time
from edxorg.commands import stopping
stopping.leave_at_signals()
with stopping.stop_requests() as stops:
    while True:
        try:
            print(flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            assert stops.requested
"""
"""Goes on where the interrupt was swallowed, as in a callback."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_request_ends_a_command_that_goes_on_after_the_first(tmp_path: Path, number: signal.Signals) -> None:
    process = begin(tmp_path, "-c", STUBBORN)
    assert process.stdout is not None
    for pause in (0, 0.1, 1.1):
        process.stdout.readline()
        time.sleep(pause)
        assert process.poll() is None
        process.send_signal(number)
    said, _ = process.communicate(timeout=SECONDS)
    assert (said.strip(), process.returncode) == ("Stopped.", 128 + number)


def test_on_a_terminal_it_shows_from_the_start_what_it_does_and_ends_at_its_interrupt_key(place: Path) -> None:
    ours, terminal = pty.openpty()
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "edxorg", "ingest", "archive", ARCHIVE],
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), "TERM": "xterm", "COLUMNS": "80"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing but a system call
    ) as process:
        os.close(terminal)
        shown = read_until(ours, "Starting Dagster")
        os.write(ours, b"\x03")
        shown += read_until(ours, None)
    os.close(ours)
    assert process.returncode == 128 + signal.SIGINT
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).split("\r")[-2].strip() == "Stopped."
    assert shown.rstrip().endswith("\x1b[?25hStopped."), "the cursor shows again"
    assert "Traceback" not in shown


def read_until(terminal: int, text: str | None) -> str:
    """What a terminal shows until a text, or until its process has ended."""
    shown = ""
    while text is None or text not in shown:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            data = b""
        if not data:
            assert text is None, shown
            break
        shown += data.decode()
    return shown
