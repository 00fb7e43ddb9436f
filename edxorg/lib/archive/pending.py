"""Keeps the results of an archive on disk until they are recorded: a first run has some 90,000 of them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple, Self

from edxorg.lib.object_keys import EMAIL_OPT_IN
from ol_orchestrate.lib.record_spool import RecordSpool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.archive.ingest_report import MemberResult


class Place(NamedTuple):
    """The partition of an asset that a member claims."""

    asset: str
    partition: str


class PendingRecords:
    """Results, at most one for each place; a context manager."""

    def __init__(self) -> None:
        self._spool = RecordSpool()
        self._places: dict[Place, int] = {}

    def put(self, place: Place, result: MemberResult) -> None:
        """Keep a result for a place, instead of any that was put there before."""
        self.drop(place)
        self._places[place] = self._spool.append([pickle.dumps(result, protocol=5)])

    def drop(self, place: Place) -> None:
        """Keep nothing for a place."""
        self._places.pop(place, None)

    def get(self, place: Place) -> MemberResult | None:
        """Return the result of a place, if there is any."""
        number = self._places.get(place)
        return None if number is None else self._read(number)

    def places(self) -> list[Place]:
        """Return the places in the order of the archive."""
        return list(self._places)

    def ever_put(self) -> Iterator[tuple[MemberResult, bool]]:
        """Yield all results that were ever put here, each with True if it is still kept."""
        kept = set(self._places.values())
        for number in range(len(self._spool)):
            yield self._read(number), number in kept

    def clear(self) -> None:
        """Keep nothing."""
        self._places.clear()

    def courses(self) -> dict[str, None]:
        """Return the partitions of all courses, each once, in the order of the archive."""
        return dict.fromkeys(place.partition for place in self._places if place.asset != EMAIL_OPT_IN)

    def organizations(self) -> dict[str, None]:
        """Return the partitions of all organizations, in the same way."""
        return dict.fromkeys(place.partition for place in self._places if place.asset == EMAIL_OPT_IN)

    def by_asset(self) -> dict[str, Iterator[MemberResult]]:
        """Return the results of each asset in the order of the archive."""
        numbers: dict[str, list[int]] = {}
        for place, number in self._places.items():
            numbers.setdefault(place.asset, []).append(number)
        return {asset: map(self._read, numbers_of_asset) for asset, numbers_of_asset in numbers.items()}

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, number: int) -> MemberResult:
        result: MemberResult = pickle.loads(self._spool.read(number))  # noqa: S301 - written by this process
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()
