"""Processes that tests start, kill, and never leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from ol_orchestrate.testing import supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"

_SEALED = 'mount -o remount,ro,bind / && mount -t tmpfs tmpfs "$1" && shift && exec "$@"'
"""For `sh -c` in a mount namespace of its own."""


@dataclass(slots=True)
class Service:
    """A command that runs in the background, with all processes that it starts; it ends when the tests end."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    """Its working folder, which has its log."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", supervise.__file__, *self.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill all of its processes, as the kernel does without memory."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.communicate()

    def stop(self, seconds: float = 30) -> None:
        """Ask it to end; kill what is left of it after some seconds."""
        self.signal(signal.SIGTERM)
        with suppress(AssertionError):
            wait_for(lambda: self.is_gone, seconds=seconds, pause=0.1)
        self.kill()

    @property
    def is_gone(self) -> bool:
        """Whether none of its processes is left."""
        if self.process is None:
            return True
        self.process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    @property
    def exit_code(self) -> int | None:
        """`None` while it runs."""
        return None if self.process is None else self.process.poll()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def sealed(command: Sequence[str], writable: Path) -> list[str]:
    """Return the command on a file system that it can write to in one folder only, where this user may do that.

    The folder is new and empty for the command.
    """
    return ["unshare", "--mount", "sh", "-c", _SEALED, "sh", str(writable), *command] if _can_seal() else list(command)


@cache
def _can_seal() -> bool:
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "--mount", "sh", "-c", _SEALED, "sh", "/mnt", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], object], *, seconds: float = 120, pause: float = 0.2) -> None:
    """Wait until something is true.

    Raises:
        AssertionError: It is not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {condition}"
        time.sleep(pause)
