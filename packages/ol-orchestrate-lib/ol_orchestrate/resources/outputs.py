"""A private folder for the files of one run."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr

from ol_orchestrate.lib.private_folders import PrivateFolder
from ol_orchestrate.resources.strict import Strict

if TYPE_CHECKING:
    from pathlib import Path


class SimpleResultsDir(Strict, dg.ConfigurableResource[None]):
    """A folder that only this user can read, made at first use and deleted when the run ends.

    Each process has a folder of its own, which it locks. The next run that makes one deletes all folders without a
    lock, which killed runs have left behind.
    """

    parent: str | None = Field(default=None, description="Where to make the folders; the system's own if not given")
    _folder: PrivateFolder | None = PrivateAttr(default=None)
    _making: Lock = PrivateAttr(default_factory=Lock)

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            AccessRefusedError: Another user could read the files in it.
        """
        with self._making:
            if self._folder is None:
                self._folder = PrivateFolder(self._prefix(), self.parent)
            return self._folder.path

    def _prefix(self) -> str:
        return "run-"

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Delete the run's folder."""
        del context
        if self._folder is not None:
            self._folder.close()
        self._folder = None


class DailyResultsDir(SimpleResultsDir):
    """A `SimpleResultsDir` with the day in the folder's name."""

    def _prefix(self) -> str:
        return f"{datetime.now(UTC):%Y-%m-%d}-"
