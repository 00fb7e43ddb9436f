"""What Dagster has recorded of objects in a landing zone, and how it is to be recorded.

Each materialization says in its tags what the next run has to know, and those of all partitions of an asset are read
in a few queries.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from ol_orchestrate.lib.delivery import Recorded
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DATA_VERSION = "dagster/data_version"
SOURCE_DATE = "edxorg/archive_date"
ROW_COUNT = "edxorg/row_count"
COLUMNS = "edxorg/columns"
LANDING_ZONE = "edxorg/landing_zone"
"""A short hash of the landing zone's URL: what was recorded for another one says nothing about this one."""

EVENTS_AT_ONCE = 1000
"""Events that are read in one query; SQLite refuses longer lists of their numbers at some length."""


class RecordedTags(NamedTuple):
    """What the latest materialization of a partition says in its tags."""

    recorded: Recorded
    row_count: int | None
    columns: str | None


def short_hash(text: str) -> str:
    """Twelve hex digits: for tags, which have 63 characters at most."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def latest_tags(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str] | None = None
) -> dict[str, Mapping[str, str]]:
    """The tags of the latest materialization of partitions of an asset, all of them by default.

    One query for the numbers of these events, and one for each `EVENTS_AT_ONCE` of them: Dagster's own query for tags
    knows none but its own, and takes others for dimensions of the partition.
    """
    numbers = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions) if partitions is not None else None
    )
    found: dict[str, Mapping[str, str]] = {}
    for some in batched(sorted(numbers.values()), EVENTS_AT_ONCE):
        wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=some)
        for record in instance.fetch_materializations(wanted, limit=len(some)).records:
            materialization = record.asset_materialization
            if materialization is not None and materialization.partition is not None:
                found[materialization.partition] = materialization.tags or {}
    return found


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Slices of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def latest_recorded(
    instance: dg.DagsterInstance, asset: dg.AssetKey, landing_zone: str, partitions: Sequence[str] | None = None
) -> dict[str, RecordedTags]:
    """The latest recorded version of partitions of an asset, all of them by default."""
    return _of_landing_zone(latest_tags(instance, asset, partitions), landing_zone)


def latest_recorded_unpartitioned(
    instance: dg.DagsterInstance, asset: dg.AssetKey, landing_zone: str
) -> RecordedTags | None:
    """The same for an asset without partitions; `None` if there is nothing."""
    event = instance.get_latest_materialization_event(asset)
    materialization = event.asset_materialization if event else None
    tags = {"": materialization.tags or {}} if materialization else {}
    return _of_landing_zone(tags, landing_zone).get("")


def _of_landing_zone(tags: Mapping[str, Mapping[str, str]], landing_zone: str) -> dict[str, RecordedTags]:
    zone = short_hash(landing_zone)
    return {
        partition: _read_tags(of_partition)
        for partition, of_partition in tags.items()
        if DATA_VERSION in of_partition and of_partition.get(LANDING_ZONE) == zone
    }


def _read_tags(tags: Mapping[str, str]) -> RecordedTags:
    day = tags.get(SOURCE_DATE)
    rows = tags.get(ROW_COUNT)
    recorded = Recorded(tags[DATA_VERSION], date.fromisoformat(day) if day else None)
    return RecordedTags(recorded, int(rows) if rows else None, tags.get(COLUMNS))


def tags_of(
    version: str,
    landing_zone: str,
    *,
    source_date: date | None = None,
    row_count: int | None = None,
    columns: Sequence[str] | None = None,
) -> dict[str, str]:
    """The tags of a materialization."""
    tags = {DATA_VERSION: version, LANDING_ZONE: short_hash(landing_zone)}
    if source_date is not None:
        tags[SOURCE_DATE] = source_date.isoformat()
    if row_count is not None:
        tags[ROW_COUNT] = str(row_count)
    if columns is not None:
        tags[COLUMNS] = short_hash("\t".join(columns))
    return tags


def metadata_of(
    landing_zone: str,
    key: str,
    size: int,
    *,
    row_count: int | None = None,
    **more: Any,  # noqa: ANN401 - metadata
) -> dict[str, Any]:
    """The metadata that every materialization of an object has; what is `None` among the rest is left out."""
    metadata = {"path": join_url(landing_zone, key), "object_key": key, "size": size, "dagster/row_count": row_count}
    return {name: value for name, value in (metadata | more).items() if value is not None}
