"""Makes the landing zone and the records agree at the end of an archive run, though others may have run beside it.

`docs/delivery.md` has the rules as tables, with their reasons.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from edxorg.lib.archive.marks import marks_in
from edxorg.lib.archive.pending import Place
from edxorg.lib.object_keys import raw_data_version, versioned_raw_data_key
from ol_orchestrate.lib.settling import settle_all
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.versions import VersionedObjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from edxorg.lib.archive.marks import FoundMark
    from edxorg.lib.archive.member_writer import IngestOptions
    from ol_orchestrate.lib.settling import Unsettled
    from ol_orchestrate.lib.stores import ObjectStore
    from ol_orchestrate.lib.versions import Recorded


class Records(Protocol):
    """The records of the objects in a landing zone."""

    def latest(self, asset: str) -> Mapping[str, Recorded]:
        """Return the latest recorded version of each partition of an asset, as it is now."""

    def changed(self, asset: str) -> bool:
        """Return True if another run has recorded anything for an asset since the last call of `latest` for it."""

    def assets(self) -> Iterable[str]:
        """Return all assets that archive runs have ever recorded anything for."""

    def is_over(self, run: str) -> bool:
        """Return True if a run is known to be over."""


class NothingRecorded:
    """Records without any entry."""

    def latest(self, _: str) -> Mapping[str, Recorded]:
        """See `Records.latest`."""
        return {}

    def changed(self, _: str) -> bool:
        """See `Records.changed`."""
        return False

    def assets(self) -> Iterable[str]:
        """See `Records.assets`."""
        return []

    def is_over(self, _: str) -> bool:
        """See `Records.is_over`."""
        return False


class Reconciler:
    """Compares the landing zone with the records, and settles what differs."""

    def __init__(self, options: IngestOptions, records: Records) -> None:
        self._options = options
        self._records = records
        self._was_overtaken = False
        self._keeps_mark = False

    @cached_property
    def _store(self) -> ObjectStore:
        if self._options.landing_zone is None:
            raise ValueError("without a landing zone there is nothing to reconcile")
        return open_store(self._options.landing_zone, self._options.access)

    def was_overtaken(self) -> None:
        """Have `finish` settle the run's assets, since another run has recorded versions of them meanwhile."""
        self._was_overtaken = True

    def keep_mark(self) -> None:
        """Have the next run settle all places, since a store may have written an object and answered with an error."""
        self._keeps_mark = True

    def settle(self, places: Iterable[tuple[Place, str]]) -> Iterator[Unsettled[Place]]:
        """Make versions the newest of their places, and yield the places where that failed."""
        rest = iter(places)
        first = next(rest, None)
        if first is None:
            return
        self._options.mark.leave_in(self._store)
        named = ((place, self._versions_of(place), version) for place, version in chain([first], rest))
        yield from settle_all(named, self._store.writes_at_once)

    def take_back(self, written: Iterable[tuple[Place, str]]) -> None:
        """Delete the objects that this run wrote and that are not recorded, and end the run.

        While another run is at work, which may rely on them, they stay, and so does the mark: the last run to end
        settles.
        """
        if self._options.landing_zone is None or not all(map(self._is_over, self._other_marks())):
            return
        latest: dict[str, Mapping[str, Recorded]] = {}
        keys = []
        for place, version in written:
            if place.asset not in latest:
                latest[place.asset] = self._records.latest(place.asset)
            recorded = latest[place.asset].get(place.partition)
            if recorded is None or recorded.version != version:
                keys.append(versioned_raw_data_key(place.asset, place.partition, version))
        with ThreadPoolExecutor(self._store.writes_at_once, thread_name_prefix="delete") as threads:
            for _ in threads.map(self._store.delete, keys):
                pass
        if not self._keeps_mark:
            self._store.delete(self._options.mark.key)

    def finish(self, assets: Iterable[str]) -> None:
        """End a run when all is recorded: settle the places that other runs may have touched, and remove the marks.

        While another run is at work, the mark stays, so that the last run to end settles the places of both. It also
        stays after `keep_mark`.

        Args:
            assets: The assets that this run has delivered versions of.

        Raises:
            PipelineError: A place could not be settled. The mark stays, so that the next run tries it again.
        """
        others = self._other_marks()
        to_settle = self._records.assets() if others else assets if self._was_overtaken else []
        problems = [each.problem for each in self.settle(chain.from_iterable(map(self._not_newest, to_settle)))]
        if problems:
            raise type(problems[0])("\n".join(first_and_more(problems, 1)))
        if self._options.landing_zone is None:
            return
        marks = marks_in(self._store)
        over = [mark for mark in marks if mark in others and self._is_over(mark)]
        if not self._keeps_mark and not any(mark.run != self._options.mark.run and mark not in over for mark in marks):
            over += [mark for mark in marks if mark.key == self._options.mark.key]
        for mark in over:
            self._store.delete(mark.key)

    def _other_marks(self) -> list[FoundMark]:
        if self._options.landing_zone is None:
            return []
        return [mark for mark in marks_in(self._store) if mark.key != self._options.mark.key]

    def _is_over(self, mark: FoundMark) -> bool:
        return mark.is_old or self._records.is_over(mark.run)

    def _not_newest(self, asset: str) -> Iterator[tuple[Place, str]]:
        """Yield the places of an asset whose current version exists, and is not the newest object."""
        recorded = self._records.latest(asset)
        current: dict[str, datetime] = {}
        rivals: dict[str, datetime] = {}
        for each in self._store.list(f"{asset}/"):
            partition, version = raw_data_version(asset, each.key) or ("", "")
            latest = recorded.get(partition)
            if latest is None:
                continue
            if latest.version != version:
                rivals[partition] = max(each.modified, rivals.get(partition, each.modified))
            elif each.size:
                current[partition] = each.modified
        for partition, written in current.items():
            if partition in rivals and rivals[partition] >= written:
                yield Place(asset, partition), recorded[partition].version

    def _versions_of(self, place: Place) -> VersionedObjects:
        return VersionedObjects(self._store, partial(versioned_raw_data_key, *place), by_content=True)
