"""What is to be recorded of an archive, on disk until then: a first run has some 90,000 of these to record."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple, Self

from ol_orchestrate.lib.record_spool import RecordSpool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from edxorg.lib.archive.ingest_report import MemberResult


class Place(NamedTuple):
    """What a member claims: a partition of an asset."""

    asset: str
    partition: str


class PendingRecords:
    """Results, at most one for each place; a context manager."""

    def __init__(self) -> None:
        """An empty collection."""
        self._spool = RecordSpool()
        self._places: dict[Place, int] = {}

    def put(self, place: Place, result: MemberResult) -> None:
        """Keep this one for a place, and none that was put there before."""
        self.drop(place)
        self._places[place] = self._spool.append([pickle.dumps(result, protocol=5)])

    def drop(self, place: Place) -> None:
        """Keep nothing for a place."""
        self._places.pop(place, None)

    def get(self, place: Place) -> MemberResult | None:
        """The one of a place, if there is any."""
        number = self._places.get(place)
        return None if number is None else self._read(number)

    def places(self) -> list[Place]:
        """The places, in the order of the archive."""
        return list(self._places)

    def ever_put(self) -> Iterator[tuple[MemberResult, bool]]:
        """All results that were ever put here, and whether they are still kept."""
        kept = set(self._places.values())
        for number in range(len(self._spool)):
            yield self._read(number), number in kept

    def clear(self) -> None:
        """Keep nothing."""
        self._places.clear()

    def partitions(self) -> dict[str, None]:
        """The partitions of all places, each once, in the order of the archive."""
        return dict.fromkeys(place.partition for place in self._places)

    def by_asset(self) -> dict[str, Iterator[MemberResult]]:
        """The results of each asset, in the order of the archive."""
        numbers: dict[str, list[int]] = {}
        for place, number in self._places.items():
            numbers.setdefault(place.asset, []).append(number)
        return {asset: map(self._read, of_asset) for asset, of_asset in numbers.items()}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def _read(self, number: int) -> MemberResult:
        result: MemberResult = pickle.loads(self._spool.read(number))  # noqa: S301 - written by this process
        return result

    def __enter__(self) -> Self:
        """The results themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give memory and disk space back."""
        self._spool.close()
