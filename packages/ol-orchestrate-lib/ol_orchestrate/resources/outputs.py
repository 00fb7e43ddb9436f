"""A private folder for the files of one run."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import dagster as dg
from pydantic import Field, PrivateAttr

LOCK = ".lock"


class SimpleResultsDir(dg.ConfigurableResource[None]):
    """A folder that only this user can read, made at first use and gone when the run ends.

    What a killed run left behind is deleted by the next one; a folder whose run lives is locked, and spared.
    """

    parent: str | None = Field(default=None, description="Where to make the folders; the system's own if not given")
    _folder: Path | None = PrivateAttr(default=None)
    _lock: IO[bytes] | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The folder."""
        if self._folder is None:
            base = Path(self.parent or tempfile.gettempdir()) / "ol-orchestrate-results"
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(base)
            self._folder = Path(tempfile.mkdtemp(prefix=self._prefix(), dir=base))
            self._lock = (self._folder / LOCK).open("xb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self._folder

    def _prefix(self) -> str:
        return "run-"

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Delete the folder."""
        del context
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
        self._folder = self._lock = None


class DailyResultsDir(SimpleResultsDir):
    """The same, with the day in its name."""

    def _prefix(self) -> str:
        return f"{datetime.now(UTC):%Y-%m-%d}-"


def _sweep(base: Path) -> None:
    """Delete the folders whose run has died."""
    for folder in base.iterdir():
        with suppress(OSError), (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
