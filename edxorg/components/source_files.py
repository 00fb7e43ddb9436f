"""Files of one kind that somebody else puts into a bucket, one partition each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.ops.recording import add_partitions
from ol_orchestrate.io_managers.filepath import recorded_path

if TYPE_CHECKING:
    from ol_orchestrate.lib.stores import SourceInfo


class SourceFiles(dg.Component, dg.Model, dg.Resolvable):
    """An external asset for dated files that arrive under names of one pattern.

    Nothing here makes the files; a sensor or a command records those that have come. They are loaded by the IO
    manager `gcs_input`, as paths.
    """

    asset_key: str
    """The asset's key, joined by slashes."""
    partitions: str
    """Name of the dynamic partitions; their keys are the file names."""
    description: str

    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        """The partitions."""
        return dg.DynamicPartitionsDefinition(name=self.partitions)

    def asset(self) -> dg.AssetsDefinition:
        """The external asset."""
        spec = dg.AssetSpec(
            dg.AssetKey(self.asset_key.split("/")),
            group_name="edxorg",
            description=self.description,
            partitions_def=self.partitions_def(),
        )
        return dg.AssetsDefinition(specs=[spec.with_io_manager_key("gcs_input")])

    def arrived(self, info: SourceInfo) -> dg.AssetMaterialization:
        """The materialization of a file that is there."""
        return dg.AssetMaterialization(
            dg.AssetKey(self.asset_key.split("/")),
            partition=info.url.rpartition("/")[2],
            metadata={
                "path": info.url,
                "size": info.size,
                "created": dg.MetadataValue.timestamp(info.created),
            },
            tags={"dagster/data_version": info.version},
        )

    def register(self, instance: dg.DagsterInstance, info: SourceInfo) -> str:
        """Make a file that is there known to Dagster, unless it is; return its partition key."""
        arrived = self.arrived(info)
        key = str(arrived.partition)
        add_partitions(instance, self.partitions_def(), [key])
        latest = instance.event_log_storage.get_latest_tags_by_partition(
            arrived.asset_key,
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            tag_keys=["dagster/data_version"],
            asset_partitions=[key],
        )
        known = recorded_path(instance, arrived.asset_key, key) == info.url
        if not known or latest.get(key, {}).get("dagster/data_version") != info.version:
            instance.report_runless_asset_event(arrived)
        return key

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset, for those who load components from YAML."""
        del context
        return dg.Definitions(assets=[self.asset()])
