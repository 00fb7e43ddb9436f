"""The files that a user names one by one, by a folder, or by a pattern."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edxorg.commands import runs
from edxorg.lib.settings.file_names import AmbiguousNameError
from ol_orchestrate.lib.stores import join_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime

    from edxorg.lib.settings import FileNames, Settings

_DAY = click.DateTime(["%Y-%m-%d"])


class Period(NamedTuple):
    """Days from one to another, both included; without an end if that is `None`."""

    since: date | None
    until: date | None

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None) -> Period:
        """Return the period of two options.

        Raises:
            click.UsageError: It ends before it begins.
        """
        if since and until and until < since:
            raise click.UsageError(f"--from {since.date()} is later than --to {until.date()}: exchange them")
        return cls(since.date() if since else None, until.date() if until else None)

    def has(self, day: date) -> bool:
        """Return True if a day is in it."""
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


def period_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--from` and `--to`, and pass them as the argument `period`."""

    @click.option("--from", "since", type=_DAY, help="Only files of this day and later ones.")
    @click.option("--to", "until", type=_DAY, help="Only files of this day and earlier ones.")
    @wraps(function)
    def with_period(since: datetime | None, until: datetime | None, **options: Any) -> None:  # noqa: ANN401 - of click
        function(period=Period.of(since, until), **options)

    return with_period


def files_of(places: tuple[str, ...], names: FileNames, period: Period, settings: Settings) -> tuple[str, ...]:
    """Return the places with each folder and each pattern replaced by its files, the oldest first.

    A folder is a path of this machine, or a URL with a slash at its end, and stands for the files below it that are
    named like `names`. A pattern has `*`, `?` or `[…]` in its last part.

    Raises:
        click.UsageError: A folder or pattern has no such file, or a file has no date, and a period is given.
    """
    if not any(map(_is_several, places)) and period == (None, None):
        return places
    found: dict[str, date] = {}
    for place in places:
        of_place = dict(_of_several(place, names, settings) if _is_several(place) else _of_one(place, names))
        in_period = {url: day for url, day in of_place.items() if period.has(day)}
        if not in_period:
            beside = f", but {len(of_place):,} of other days" if of_place else ""
            raise click.UsageError(f"{place!r} has no file named like {names.example}{beside}")
        found |= in_period
    return tuple(sorted(found, key=lambda url: (found[url], url)))


def _is_several(place: str) -> bool:
    return place.endswith("/") or Path(place).is_dir() or _is_pattern(place)


def _is_pattern(place: str) -> bool:
    return any(sign in place.rpartition("/")[2] for sign in "*?[") and not Path(place).exists()


def _of_one(place: str, names: FileNames) -> Iterator[tuple[str, date]]:
    day = names.date_in(place.rpartition("/")[2])
    if day is None:
        raise click.UsageError(f"{place!r} is not named like {names.example}, so --from and --to cannot choose it")
    yield place, day


def _of_several(place: str, names: FileNames, settings: Settings) -> Iterator[tuple[str, date]]:
    url, pattern = runs.as_url(place), "*"
    if _is_pattern(place):
        url, _, pattern = url.rpartition("/")
    folder = f"{url.rstrip('/')}/"
    for each in open_store(folder, runs.access(folder, settings)).list():
        name = each.key.rpartition("/")[2]
        try:
            day = names.date_in(name)
        except AmbiguousNameError as error:
            raise click.UsageError(str(error)) from None
        if day is not None and fnmatchcase(name, pattern):
            yield join_url(folder, each.key), day
