"""Files of one kind that somebody else puts into a bucket, one partition each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from edxorg.lib.object_keys import SOURCE
from ol_orchestrate.io_managers.filepath import recorded_path
from ol_orchestrate.landing.records import latest_tags, latest_versions
from ol_orchestrate.landing_zone import SOURCE_BUCKET
from ol_orchestrate.lib.record_tags import DATA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from edxorg.lib.settings import FileNames
    from ol_orchestrate.lib.stores import SourceInfo
    from ol_orchestrate.location_names import LocationNames

REQUEST = f"{SOURCE}/request"
"""Tag of a file's materialization: the key of the run that it asks for, so that a run that was never launched shows."""


class NamedFile(NamedTuple):
    """A file that somebody says what it is."""

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
        subject: Of the asset's group.
        description: Of the asset.
        names: How the files are named.
    """

    location: LocationNames
    name: str
    partitions: str
    subject: str
    description: str
    names: FileNames

    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        """The partitions."""
        return dg.DynamicPartitionsDefinition(name=self.partitions)

    def key(self) -> dg.AssetKey:
        """The asset's key."""
        return self.location.key(self.name)

    def asset(self) -> dg.AssetsDefinition:
        """The external asset."""
        spec = dg.AssetSpec(
            self.key(),
            group_name=self.location.group(self.subject),
            description=self.description,
            kinds={"file"},
            partitions_def=self.partitions_def(),
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
        """The materialization of a file that is there.

        Args:
            url: Its own.
            size: In bytes.
            created: When this version was written.
            version: As in `SourceInfo.version`.
            request: The key of the run that its arrival asks for.
            named: What it is, where its name does not tell.
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
        """The latest recorded version of each of these partitions that has one, in one query."""
        return latest_versions(instance, self.key(), partitions)

    def asking(self, instance: dg.DagsterInstance, partitions: Sequence[str]) -> set[str]:
        """Those of these partitions whose latest record asks for a run; a query, and one more for each thousand."""
        tags = latest_tags(instance, self.key(), partitions)
        return {partition for partition, of_record in tags.items() if REQUEST in of_record}

    def date_of(self, instance: dg.DagsterInstance, partition: str) -> date | None:
        """The date of a file: in its name, or else as it was recorded; `None` if neither tells."""
        day = self.names.date_in(partition)
        if day is None:
            recorded = (
                latest_tags(instance, self.key(), [partition]).get(partition, {}).get(self.location.tags.source_date)
            )
            day = date.fromisoformat(recorded) if recorded else None
        return day

    def register(self, instance: dg.DagsterInstance, info: SourceInfo, named: NamedFile | None = None) -> str:
        """Make a file that is there known to Dagster, unless it is; return its partition key.

        Args:
            instance: Where to.
            info: What its store says of it.
            named: What it is, where its name does not tell.
        """
        arrived = self.arrived(info.url, size=info.size, created=info.created, version=info.version, named=named)
        key = str(arrived.partition)
        if not instance.has_dynamic_partition(self.partitions, key):  # alone, not among all keys: there may be 100,000
            instance.add_dynamic_partitions(self.partitions, [key])
        known = recorded_path(instance, self.key(), key) == info.url
        tags = latest_tags(instance, self.key(), [key]).get(key, {}) if known else {}
        if any(tags.get(name) != value for name, value in (arrived.tags or {}).items()):
            instance.report_runless_asset_event(arrived)
        return key
