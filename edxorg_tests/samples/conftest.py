"""Universities, written once for all tests of a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.samples.files import write_university
from edxorg.samples.hazards import HAZARDS
from edxorg.samples.university import University
from edxorg_tests.support.plain_readers import PlainArchive, read_archive, read_log

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Written:
    """A university, its files, and what they say."""

    university: University
    folder: Path
    truth: dict[str, Any]

    @cached_property
    def archives(self) -> list[PlainArchive]:
        return [read_archive(self.folder / name) for name in self.truth["archives"]]

    @cached_property
    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """Events by file."""
        return {name: read_log(self.folder / name) for name in self.truth["logs"]}

    def events(self, site: str) -> list[dict[str, Any]]:
        return [event for name, events in self.logs.items() if ("edge" in name) == (site == "edge") for event in events]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two weeks without any hazard."""
    return write(tmp_path_factory.mktemp("plain"), University(learners=150, seed=1))


@pytest.fixture(scope="session")
def hazardous(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two weeks with all hazards."""
    return write(tmp_path_factory.mktemp("hazardous"), University(learners=150, seed=2, hazards=frozenset(HAZARDS)))


@cache
def write(folder: Path, university: University) -> Written:
    return Written(university, folder, write_university(folder, university))
