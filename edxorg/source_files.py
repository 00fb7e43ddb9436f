"""External assets for files of one kind that edX puts into a bucket, one partition each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from edxorg.lib.object_keys import SOURCE
from ol_orchestrate.io_managers.filepath import recorded_path
from ol_orchestrate.landing.batch import others_wait
from ol_orchestrate.landing.records import latest_tags, latest_versions
from ol_orchestrate.landing_zone import SOURCE_BUCKET
from ol_orchestrate.lib.record_tags import DATA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from edxorg.lib.settings import FileNames
    from ol_orchestrate.lib.stores import SourceInfo
    from ol_orchestrate.location_names import LocationNames

REQUEST = f"{SOURCE}/request"
"""Tag of a file's materialization: the key of the run that it asks for, so that a run that was never launched shows."""


class NamedFile(NamedTuple):
    """The partition key and the date that a user gives to a file."""

    partition: str
    day: date


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """An external asset for dated files that arrive under names of some patterns.

    Nothing here makes the files; a sensor or a command records those that have come. They are loaded by the IO
    manager `gcs_input`, as paths.

    Attributes:
        location: The location they are in.
        name: The asset's name in pure code.
        partitions: Name of the dynamic partitions; their keys are the file names.
        subject: Subject of the asset's group.
        description: Description of the asset.
        names: The naming scheme of the files.
        max_age: The age at which the last file counts as stale; `None` for any.
    """

    location: LocationNames
    name: str
    partitions: str
    subject: str
    description: str
    names: FileNames
    max_age: timedelta | None = None

    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        """Return the partitions."""
        return dg.DynamicPartitionsDefinition(name=self.partitions)

    def key(self) -> dg.AssetKey:
        """Return the asset's key."""
        return self.location.key(self.name)

    def asset(self) -> dg.AssetsDefinition:
        """Return the external asset."""
        spec = dg.AssetSpec(
            self.key(),
            group_name=self.location.group(self.subject),
            description=self.description,
            kinds={"file"},
            partitions_def=self.partitions_def(),
            freshness_policy=dg.FreshnessPolicy.time_window(fail_window=self.max_age) if self.max_age else None,
        )
        return dg.AssetsDefinition(specs=[spec.with_io_manager_key(SOURCE_BUCKET)])

    def arrived(
        self,
        url: str,
        *,
        size: int,
        created: datetime,
        version: str,
        request: str | None = None,
        named: NamedFile | None = None,
    ) -> dg.AssetMaterialization:
        """Return the materialization of a file in the bucket.

        Args:
            url: URL of the file.
            size: Bytes of the file.
            created: Time when this version was written.
            version: The version as in `SourceInfo.version`.
            request: The key of the run that its arrival asks for.
            named: Its key and date, if its name does not tell them.
        """
        tags = {DATA_VERSION: version}
        if request is not None:
            tags[REQUEST] = request
        if named is not None:
            tags[self.location.tags.source_date] = named.day.isoformat()
        return dg.AssetMaterialization(
            self.key(),
            partition=named.partition if named else url.rpartition("/")[2],
            metadata={"path": url, "size": size, "created": dg.MetadataValue.timestamp(created)},
            tags=tags,
        )

    def recorded(self, instance: dg.DagsterInstance, partitions: Sequence[str]) -> dict[str, str]:
        """Return the latest recorded version of each of these partitions that has one, in one query."""
        return latest_versions(instance, self.key(), partitions)

    def asking(self, instance: dg.DagsterInstance, partitions: Sequence[str]) -> set[str]:
        """Return the partitions whose latest record asks for a run: one query, and one more for each thousand."""
        tags = latest_tags(instance, self.key(), partitions)
        return {partition for partition, record_tags in tags.items() if REQUEST in record_tags}

    def date_of(self, instance: dg.DagsterInstance, partition: str) -> date | None:
        """Return the date of a file: in its name, or else as it was recorded; `None` if neither tells it."""
        day = self.names.date_in(partition)
        if day is None:
            recorded = (
                latest_tags(instance, self.key(), [partition]).get(partition, {}).get(self.location.tags.source_date)
            )
            day = date.fromisoformat(recorded) if recorded else None
        return day

    def register(self, instance: dg.DagsterInstance, info: SourceInfo, named: NamedFile | None = None) -> str:
        """Record a file in Dagster, unless it is recorded; return its partition key.

        Args:
            instance: The instance that records it.
            info: The store's description of the file.
            named: Its key and date, if its name does not tell them.
        """
        arrived = self.arrived(info.url, size=info.size, created=info.created, version=info.version, named=named)
        key = str(arrived.partition)
        with others_wait(instance):
            if not instance.has_dynamic_partition(self.partitions, key):  # not among all keys: there may be 100,000
                instance.add_dynamic_partitions(self.partitions, [key])
        known = recorded_path(instance, self.key(), key) == info.url
        tags = latest_tags(instance, self.key(), [key]).get(key, {}) if known else {}
        if any(tags.get(name) != value for name, value in (arrived.tags or {}).items()):
            instance.report_runless_asset_event(arrived)
        return key
