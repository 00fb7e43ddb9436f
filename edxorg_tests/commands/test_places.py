"""Files that a user names by a folder, a pattern or a period."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click
import pytest

from edxorg.commands.places import Period, files_of
from edxorg.lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

ALWAYS = Period(None, None)


def log(day: str) -> str:
    return f"mitx-edx-events-{day}.log.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (f"new/{log('2024-02-01')}", log("2024-01-02"), log("2024-01-01"), "mitx-2024-01-03.tar.gz", "a.txt"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "source"


def names(folder: Path, place: str = "", period: Period = ALWAYS) -> list[str]:
    settings = Settings()
    found = files_of((f"{folder}{place}",), settings.tracking_log_name, period, settings)
    return [each.rpartition("-events-")[2].removesuffix(".log.gz") for each in found]


def test_a_folder_stands_for_the_files_in_it_and_below_by_date(folder: Path) -> None:
    expected = ["2024-01-01", "2024-01-02", "2024-02-01"]
    assert names(folder) == names(folder, "/") == expected
    settings = Settings()
    (url, *_) = files_of((f"file://{folder}/",), settings.tracking_log_name, ALWAYS, settings)
    assert url == f"file://{folder}/{log('2024-01-01')}"


def test_a_pattern_stands_for_the_files_that_fit_it(folder: Path) -> None:
    assert names(folder, "/*-01-0?.log.gz") == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (date(2024, 1, 2), None, ["2024-01-02", "2024-02-01"]),
        (None, date(2024, 1, 2), ["2024-01-01", "2024-01-02"]),
        (date(2024, 1, 2), date(2024, 1, 31), ["2024-01-02"]),
    ],
)
def test_a_period_chooses_some(folder: Path, since: date | None, until: date | None, expected: list[str]) -> None:
    assert names(folder, period=Period(since, until)) == expected


def test_files_by_name_stay_as_they_are() -> None:
    settings = Settings()
    places = (log("2024-01-02"), log("2024-01-01"), "any.gz")
    assert files_of(places, settings.tracking_log_name, ALWAYS, settings) == places


@pytest.mark.parametrize("place", ["/*-2025-*", "/new/a*"])
def test_a_place_without_such_files_is_a_mistake(folder: Path, place: str) -> None:
    with pytest.raises(click.UsageError, match="has no file named like mitx-edx-events-"):
        names(folder, place)


def test_a_period_without_such_files_says_that_there_are_others(folder: Path) -> None:
    with pytest.raises(click.UsageError, match="but 3 of other days"):
        names(folder, period=Period(date(2025, 1, 1), None))


def test_a_file_without_a_date_cannot_be_chosen_by_one(folder: Path) -> None:
    with pytest.raises(click.UsageError, match="cannot choose it"):
        names(folder, "/a.txt", Period(date(2024, 1, 1), None))
