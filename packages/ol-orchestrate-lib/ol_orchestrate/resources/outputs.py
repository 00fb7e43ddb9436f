"""A private folder for the files of one run."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import dagster as dg
from pydantic import Field, PrivateAttr

from ol_orchestrate.lib.errors import AccessRefusedError
from ol_orchestrate.lib.private_folders import locked
from ol_orchestrate.resources.strict import Strict


class SimpleResultsDir(Strict, dg.ConfigurableResource[None]):
    """A folder that only this user can read, made at first use and deleted when the run ends.

    Each process has a folder of its own, which it locks. The next run that makes one deletes all folders without a
    lock, which killed runs have left behind.
    """

    parent: str | None = Field(default=None, description="Where to make the folders; the system's own if not given")
    _folder: Path | None = PrivateAttr(default=None)
    _descriptor: int = PrivateAttr(default=-1)
    _making: Lock = PrivateAttr(default_factory=Lock)

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            AccessRefusedError: Another user could read the files in it.
        """
        with self._making:
            if self._folder is None:
                base = _private_base(Path(self.parent or tempfile.gettempdir()))
                # A folder must not be seen before it is locked.
                with locked(base):
                    _sweep(base)
                    folder = Path(tempfile.mkdtemp(prefix=self._prefix(), dir=base))
                    self._descriptor = _lock(folder)
                self._folder = folder
            return self._folder

    def _prefix(self) -> str:
        return "run-"

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Delete the run's folder."""
        del context
        if self._folder is not None:
            # A later run sweeps what cannot be deleted now, as the lock is released here.
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._descriptor)
        self._folder, self._descriptor = None, -1


class DailyResultsDir(SimpleResultsDir):
    """A `SimpleResultsDir` with the day in the folder's name."""

    def _prefix(self) -> str:
        return f"{datetime.now(UTC):%Y-%m-%d}-"


def _private_base(parent: Path) -> Path:
    """Make the folder that holds the folders of all runs of this user.

    Raises:
        AccessRefusedError: Another user made it first, as in `/tmp`, or can read it.
    """
    base = parent / f"ol-orchestrate-results-{os.getuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = base.lstat()
    if base.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise AccessRefusedError(f"{base} is a link or open to other users, who could read files in it: delete it")
    return base


def _lock(folder: Path) -> int:
    """Lock a folder until the returned descriptor is closed; the kernel closes it for a killed process.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sweep(base: Path) -> None:
    """Delete the folders whose process has died."""
    for folder in base.iterdir():
        with suppress(OSError):
            descriptor = _lock(folder)
            try:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
