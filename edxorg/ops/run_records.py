"""Dagster's records, as one run of the archive job sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.object_keys import is_raw_data_asset
from edxorg.location import EDXORG
from ol_orchestrate.landing.records import latest_recorded, recorded_among

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    import dagster as dg

    from ol_orchestrate.lib.versions import Recorded
    from ol_orchestrate.location_names import LocationNames


class RunRecords:
    """Dagster's records as one run of the archive job reads them; see `edxorg.lib.archive.reconciling.Records`."""

    def __init__(
        self, instance: dg.DagsterInstance, landing_zone: str, run_id: str, location: LocationNames = EDXORG
    ) -> None:
        """Read the records of objects in a landing zone.

        Args:
            landing_zone: URL of the landing zone.
            run_id: The run that reads them.
            location: The location that the assets belong to.
        """
        self._location = location
        self._instance = instance
        self._landing_zone = landing_zone
        self._run_id = run_id
        self._seen: dict[str, int | None] = {}

    def latest(self, asset: str) -> Mapping[str, Recorded]:
        """Return the latest recorded version of each partition of an asset."""
        self._seen[asset], _ = self._last(asset)
        return latest_recorded(self._instance, self._location.key(asset), self._landing_zone, self._location.tags)

    def recorded_among(self, asset: str, versions: AbstractSet[tuple[str, str]]) -> AbstractSet[tuple[str, str]]:
        """Return those versions, each with its partition, that any run has ever recorded for an asset."""
        return recorded_among(self._instance, self._location.key(asset), versions)

    def changed(self, asset: str) -> bool:
        """Return True if another run has recorded anything for an asset since the last call of `latest` for it."""
        last, run_id = self._last(asset)
        return last != self._seen.get(asset) and run_id != self._run_id

    def assets(self) -> Iterator[str]:
        """Yield all assets that archive runs have ever recorded anything for."""
        names = map(self._location.asset, self._instance.all_asset_keys())
        return (name for name in names if name is not None and is_raw_data_asset(name))

    def is_over(self, run: str) -> bool:
        """Return True if a run is known to be over; an earlier attempt of this run is."""
        if run == self._run_id:
            return True
        found = self._instance.get_run_by_id(run)
        return found is not None and found.is_finished

    def _last(self, asset: str) -> tuple[int | None, str | None]:
        """Return the number of the last materialization of an asset, and the run that recorded it."""
        for record in self._instance.get_asset_records([self._location.key(asset)]):
            event = record.asset_entry.last_materialization
            return record.asset_entry.last_materialization_storage_id, event.run_id if event else None
        return None, None
