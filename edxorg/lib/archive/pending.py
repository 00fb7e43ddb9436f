"""What is to be recorded of an archive, on disk until then: a first run has some 90,000 of these to record."""

from __future__ import annotations

import pickle
import tempfile
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from edxorg.lib.archive.ingest_report import MemberResult

IN_MEMORY = 1 << 20
"""Bytes; what goes beyond is in a temporary file that has no name, and is gone with the process."""


class Place(NamedTuple):
    """What a member claims: a partition of an asset."""

    asset: str
    partition: str


class PendingRecords:
    """PendingRecords, at most one for each place; a context manager."""

    def __init__(self) -> None:
        """An empty collection."""
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `__exit__`
        self._places: dict[Place, int] = {}

    def put(self, place: Place, result: MemberResult) -> None:
        """Keep this one for a place, and none that was put there before."""
        self.drop(place)
        self._places[place] = self._file.seek(0, 2)
        pickle.dump(result, self._file, protocol=5)

    def drop(self, place: Place) -> None:
        """Keep nothing for a place."""
        self._places.pop(place, None)

    def get(self, place: Place) -> MemberResult | None:
        """The one of a place, if there is any."""
        start = self._places.get(place)
        return None if start is None else self._read(start)

    def places(self) -> list[Place]:
        """The places, in the order of the archive."""
        return list(self._places)

    def ever_put(self) -> Iterator[tuple[MemberResult, bool]]:
        """All results that were ever put here, and whether they are still kept."""
        kept = set(self._places.values())
        start, end = 0, self._file.seek(0, 2)
        while start < end:
            result = self._read(start)
            next_start = self._file.tell()
            yield result, start in kept
            start = next_start

    def clear(self) -> None:
        """Keep nothing."""
        self._places.clear()

    def partitions(self) -> dict[str, None]:
        """The partitions of all places, each once, in the order of the archive."""
        return dict.fromkeys(place.partition for place in self._places)

    def by_asset(self) -> dict[str, Iterator[MemberResult]]:
        """The results of each asset, in the order of the archive."""
        starts: dict[str, list[int]] = {}
        for place, start in self._places.items():
            starts.setdefault(place.asset, []).append(start)
        return {asset: map(self._read, of_asset) for asset, of_asset in starts.items()}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def _read(self, start: int) -> MemberResult:
        self._file.seek(start)
        result: MemberResult = pickle.load(self._file)  # noqa: S301 - written by this process
        return result

    def __enter__(self) -> Self:
        """The results themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give memory and disk space back."""
        self._file.close()
