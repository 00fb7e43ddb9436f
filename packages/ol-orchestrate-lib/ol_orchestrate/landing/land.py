"""Lands an artifact: writes its object into the landing zone, and makes its materialization, if it is new."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import dagster as dg

from ol_orchestrate.described import COLUMN_SCHEMA
from ol_orchestrate.landing.records import latest_recorded, latest_recorded_unpartitioned, metadata_of
from ol_orchestrate.lib.settling import settle
from ol_orchestrate.lib.versions import SingleObject, TableStats, VersionedObjects, write_if_needed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from ol_orchestrate.lib.record_tags import RecordTags
    from ol_orchestrate.lib.versions import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The content that a run has made for an asset, or for a partition of it.

    Attributes:
        version: The name of this content; equal versions can differ in what does not count, such as a time.
        content: All bytes of the object, in a seekable file.
        source_date: The date of the file it was made from, if an earlier file must not undo a later one's content.
        row_count: The number of rows of a table.
        schema: The columns of a table.
        made_from: A short hash of all that the content was made from, the code included; runs that read many files
            leave out those that were read by the same code.
        metadata: Further metadata; values that are `None` are left out.
    """

    version: str
    content: BinaryIO
    source_date: date | None = None
    row_count: int | None = None
    schema: dg.TableSchema | None = None
    made_from: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def land(
    asset_key: dg.AssetKey,
    made: Artifact,
    before: Recorded | None,
    *,
    to: VersionedObjects | SingleObject,
    tags: RecordTags,
) -> dg.MaterializeResult[None] | None:
    """Put an artifact into the landing zone, and make its materialization.

    A stored version is not written again, unless it has to be the newest object of its folder, and a recorded one is
    not recorded again, so that nothing downstream starts. An asset that lands like this has optional outputs:
    `AssetSpec(skippable=True)`, or `@asset(output_required=False)`; otherwise Dagster fails its step if there is
    nothing to record.

    Args:
        asset_key: The key of the asset.
        made: The artifact.
        before: The latest recorded version in this landing zone, as `recorded_version` and `latest_recorded` return it.
        to: The place of its versions.
        tags: The tags of its records.

    Returns:
        The result that the asset has to yield; `None` if this version, or one of a later file, is stored and recorded.

    Raises:
        PipelineError: The store cannot be read, or not be written to.
    """
    decision = write_if_needed(made.version, made.content, to=to, recorded=before, source_date=made.source_date)
    if decision.settle is not None and isinstance(to, VersionedObjects):
        settle(to, decision.settle)
    return _materialization(asset_key, made, to, tags) if decision.record else None


def recorded_version(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    landing_zone: str,
    tags: RecordTags,
    *,
    partition: str | None = None,
) -> Recorded | None:
    """Return the latest recorded version of an asset, or of a partition of it; `None` if there is none."""
    if partition is None:
        return latest_recorded_unpartitioned(instance, asset_key, landing_zone, tags)
    return latest_recorded(instance, asset_key, landing_zone, tags, [partition]).get(partition)


def is_landed(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    made_from: str,
    *,
    to: VersionedObjects | SingleObject,
    tags: RecordTags,
    partition: str | None = None,
) -> bool:
    """Return True if what would be made from this is recorded already, and its object is stored."""
    recorded = recorded_version(instance, asset_key, to.store.url, tags, partition=partition)
    return recorded is not None and recorded.made_from == made_from and to.stored().has(recorded.version)


def _materialization(
    asset_key: dg.AssetKey, made: Artifact, to: VersionedObjects | SingleObject, tags: RecordTags
) -> dg.MaterializeResult[None]:
    landing_zone = to.store.url
    columns = [column.name for column in made.schema.columns] if made.schema else None
    return dg.MaterializeResult(
        asset_key=asset_key,
        data_version=dg.DataVersion(made.version),
        metadata=metadata_of(
            landing_zone,
            to.key if isinstance(to, SingleObject) else to.key_of(made.version),
            made.content.seek(0, os.SEEK_END),
            row_count=made.row_count,
            **{COLUMN_SCHEMA: made.schema},
            **made.metadata,
        ),
        tags=tags.of(
            made.version,
            landing_zone,
            source_date=made.source_date,
            stats=TableStats.from_columns(made.row_count, columns),
            made_from=made.made_from,
        ),
    )
