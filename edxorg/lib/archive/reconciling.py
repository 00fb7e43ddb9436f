"""Makes the landing zone and the records agree at the end of an archive run, though others may have run beside it.

`docs/delivery.md` has the rules as tables, with their reasons.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from edxorg.lib.archive.marks import marks_in
from edxorg.lib.archive.pending import Place
from edxorg.lib.object_keys import raw_data_asset_of, raw_data_prefixes, raw_data_version, versioned_raw_data_key
from ol_orchestrate.lib.settling import settle_all
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.versions import VersionedObjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from edxorg.lib.archive.marks import FoundMark
    from edxorg.lib.archive.member_writer import IngestOptions
    from ol_orchestrate.lib.settling import Unsettled
    from ol_orchestrate.lib.stores import ObjectStore
    from ol_orchestrate.lib.versions import Recorded


_SHA256: Final = re.compile("[0-9a-f]{64}")
"""The name of a version. Objects with other names are none of an archive run's."""


class Records(Protocol):
    """The records of the objects in a landing zone."""

    def latest(self, asset: str) -> Mapping[str, Recorded]:
        """Return the latest recorded version of each partition of an asset, as it is now."""

    def recorded_among(self, asset: str, versions: AbstractSet[tuple[str, str]]) -> AbstractSet[tuple[str, str]]:
        """Return those versions, each with its partition, that any run has ever recorded for an asset."""

    def changed(self, asset: str) -> bool:
        """Return True if another run has recorded anything for an asset since the last call of `latest` for it."""

    def assets(self) -> Iterable[str]:
        """Return all assets that archive runs have ever recorded anything for."""

    def is_over(self, run: str) -> bool:
        """Return True if a run is known to be over."""


class NothingRecorded(Records):
    """Records without any entry."""

    @override
    def latest(self, _: str) -> Mapping[str, Recorded]:
        return {}

    @override
    def recorded_among(self, _: str, __: AbstractSet[tuple[str, str]]) -> AbstractSet[tuple[str, str]]:
        return set()

    @override
    def changed(self, _: str) -> bool:
        return False

    @override
    def assets(self) -> Iterable[str]:
        return []

    @override
    def is_over(self, _: str) -> bool:
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

    def take_back(
        self, written: Iterable[tuple[Place, str]], found: Iterable[tuple[Place, str]], rejects: Iterable[str]
    ) -> int | None:
        """Delete a refused archive's objects that were never recorded, and end the run.

        Of those that were there before, only what is as young as the marks of unfinished runs can be of an earlier
        attempt. Older ones stay: a new instance of Dagster has no records of objects that other archives brought.

        While another run is at work, which may rely on them, they stay, and so does the mark: the last run to end
        deletes them.

        Args:
            written: The versions that this run has written.
            found: The archive's other versions.
            rejects: The keys of rejects that this run has written where there were none.

        Returns:
            The number of deleted objects; `None` if all had to stay.
        """
        if self._options.landing_zone is None:
            return 0
        if not self._is_alone():
            return None
        marks = marks_in(self._store)
        began = min((mark.began for mark in marks), default=datetime.now(UTC))
        deleted = self._delete_unless_recorded({**dict.fromkeys(found, began), **dict.fromkeys(written)})
        # A run that ended meanwhile has left its mark, and may have delivered the same rejects.
        if all(mark.run == self._options.mark.run for mark in marks):
            deleted += self._delete_all(dict.fromkeys(rejects))
        if not self._keeps_mark:
            self._store.delete(self._options.mark.key)
        return deleted

    def _delete_unless_recorded(self, versions: Mapping[tuple[Place, str], datetime | None]) -> int:
        """Delete objects of versions, each unless it is older than the time that may be given with it."""
        by_asset: dict[str, dict[tuple[str, str], datetime | None]] = {}
        for (place, version), since in versions.items():
            by_asset.setdefault(place.asset, {})[place.partition, version] = since
        return self._delete_all(
            {
                versioned_raw_data_key(asset, partition, version): of_asset[partition, version]
                for asset, of_asset in by_asset.items()
                for partition, version in of_asset.keys() - self._records.recorded_among(asset, of_asset.keys())
            }
        )

    def _delete_all(self, keys: Mapping[str, datetime | None]) -> int:
        """Delete objects, each unless it is older than the time that may be given with it."""
        with ThreadPoolExecutor(self._store.writes_at_once, thread_name_prefix="delete") as threads:
            return sum(threads.map(self._delete, keys.keys(), keys.values()))

    def _delete(self, key: str, since: datetime | None) -> bool:
        """Delete an object unless it is older, and return True if it was there to be deleted."""
        found = self._store.find(key)
        if found is None or (since is not None and found.modified < since):
            return False
        self._store.delete(key)
        return True

    def finish(self, assets: Iterable[str], versions: Iterable[tuple[Place, str]]) -> None:
        """End a run when all is recorded: settle the places that other runs may have touched, and remove the marks.

        What runs that are over have written and nobody has recorded is deleted, as long as no run is at work that may
        rely on it. While one is, all marks stay, so that the last run to end does this, and settles the places of all.
        The run's own mark also stays after `keep_mark`.

        Args:
            assets: The assets that this run has delivered versions of.
            versions: The versions that this run has written or found; they stay.

        Raises:
            PipelineError: A place could not be settled. The mark stays, so that the next run tries it again.
        """
        others = self._other_marks()
        are_cleared = not others or self._clear(others, versions)
        to_settle = self._records.assets() if others else assets if self._was_overtaken else []
        problems = [each.problem for each in self.settle(chain.from_iterable(map(self._not_newest, to_settle)))]
        if problems:
            raise type(problems[0])("\n".join(first_and_more(problems, 1)))
        if self._options.landing_zone is None:
            return
        marks = marks_in(self._store)
        over = [mark for mark in marks if mark in others] if are_cleared else []
        if not self._keeps_mark and not any(mark.run != self._options.mark.run and mark not in over for mark in marks):
            over += [mark for mark in marks if mark.key == self._options.mark.key]
        for mark in over:
            self._store.delete(mark.key)

    def _clear(self, marks: list[FoundMark], kept: Iterable[tuple[Place, str]]) -> bool:
        """Delete what the runs of marks have written, and nobody has recorded; return False if a run is at work."""
        if not all(map(self._is_over, marks)):
            return False
        # Objects of a run that Dagster does not know may be recorded in another instance.
        known = [mark for mark in marks if self._records.is_over(mark.run)]
        if not known:
            return True
        left_over = set(self._written_since(min(mark.began for mark in known))).difference(kept)
        # A run that has begun since may have found some of it. One that begins from now on looks again.
        if not self._is_alone():
            return False
        self._delete_unless_recorded(dict.fromkeys(left_over))
        return True

    def _written_since(self, time: datetime) -> Iterator[tuple[Place, str]]:
        for prefix in raw_data_prefixes():
            for each in self._store.list(prefix):
                if each.modified < time:
                    continue
                asset = raw_data_asset_of(prefix, each.key)
                partition, version = raw_data_version(asset, each.key) or ("", "")
                if _SHA256.fullmatch(version):
                    yield Place(asset, partition), version

    def _is_alone(self) -> bool:
        return all(map(self._is_over, self._other_marks()))

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
