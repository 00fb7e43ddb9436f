"""Reads the records of objects in a landing zone from Dagster's materializations, and makes their metadata.

The tags of each materialization hold what the next run has to know, and those of all partitions of an asset are read in
a few queries.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from ol_orchestrate.console_links import console_link
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.record_tags import DATA_VERSION
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ol_orchestrate.lib.record_tags import RecordTags
    from ol_orchestrate.lib.versions import Recorded

INPUT_DATA_VERSION = "dagster/input_data_version"
INPUT_EVENT_POINTER = "dagster/input_event_pointer"
"""The first parts of tags that Dagster links to the upstream asset, and to a materialization of it by its number."""

EVENTS_AT_ONCE = 1000
"""Events that are read in one query; SQLite refuses longer lists of their numbers at some length."""


def latest_tags(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str] | None = None
) -> dict[str, Mapping[str, str]]:
    """Return the tags of the latest materialization of partitions of an asset, all of them by default.

    This takes one query for the numbers of these events, and one for each `EVENTS_AT_ONCE` of them: Dagster's own query
    for tags knows none but its own, and takes others for dimensions of the partition.
    """
    numbers = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions) if partitions is not None else None
    )
    found: dict[str, Mapping[str, str]] = {}
    for some in batched(sorted(numbers.values()), EVENTS_AT_ONCE):
        try:
            tags = _stored_tags(instance, some)
        except Exception:  # noqa: BLE001 - not a public interface: any change in it may raise anything
            tags = _read_tags_of_events(instance, asset, some)
        found |= tags
    return found


def latest_versions(instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str]) -> dict[str, str]:
    """Return the latest data version of each of these partitions that has one, in one query."""
    latest = instance.event_log_storage.get_latest_tags_by_partition(
        asset,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        tag_keys=[DATA_VERSION],
        asset_partitions=partitions,
    )
    return {partition: tags[DATA_VERSION] for partition, tags in latest.items()}


def latest_evaluation(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """Return the latest evaluation of a check by a job, in whatever partition."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus  # noqa: PLC0415

    found = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=20, status=found)
    evaluations = (each.evaluation for each in history)
    return next((each for each in evaluations if isinstance(each, dg.AssetCheckEvaluation) and each.partition), None)


def latest_runs_without_record(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    """Return the latest run of each partition whose latest run has recorded no materialization."""
    attempts = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        asset
    )
    return {partition: run_id for partition, (run_id, _) in attempts.items()}


def _stored_tags(instance: dg.DagsterInstance, numbers: Sequence[int]) -> dict[str, Mapping[str, str]]:
    """Read tags out of the text of stored events: Dagster makes some forty objects of each, in 1 to 2 ms."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events  # noqa: PLC0415
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage  # noqa: PLC0415

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"{type(storage)} is no SQL storage")
    with storage.index_connection() as connection:
        rows = connection.execute(Events.select().where(Events.c.id.in_(numbers)))
        events = [(row.partition, json.loads(row.event)["dagster_event"]["event_specific_data"]) for row in rows]
    return {partition: data["materialization"]["tags"] or {} for partition, data in events}


def _of_numbers(
    instance: dg.DagsterInstance, asset: dg.AssetKey, numbers: Sequence[int]
) -> Sequence[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=numbers)
    return instance.fetch_materializations(wanted, limit=len(numbers)).records


def _read_tags_of_events(
    instance: dg.DagsterInstance, asset: dg.AssetKey, numbers: Sequence[int]
) -> dict[str, Mapping[str, str]]:
    materializations = (record.asset_materialization for record in _of_numbers(instance, asset, numbers))
    return {each.partition: each.tags or {} for each in materializations if each and each.partition is not None}


def latest_materialization(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> dg.EventLogRecord | None:
    """Return the record of the latest materialization of a partition; `None` if there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    return next(iter(instance.fetch_materializations(wanted, limit=1).records), None)


def latest_records(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str]
) -> dict[str, dg.EventLogRecord]:
    """Return the record of the latest materialization of each of these partitions that has one."""
    if not partitions:
        return {}
    numbers = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    records = (
        each
        for some in batched(sorted(numbers.values()), EVENTS_AT_ONCE)
        for each in _of_numbers(instance, asset, some)
    )
    return {each.partition_key: each for each in records if each.partition_key is not None}


def latest_recorded(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    landing_zone: str,
    tags: RecordTags,
    partitions: Sequence[str] | None = None,
) -> dict[str, Recorded]:
    """Return the latest recorded version of partitions of an asset, all of them by default."""
    latest = latest_tags(instance, asset, partitions)
    recorded = {partition: tags.recorded(of_record, landing_zone) for partition, of_record in latest.items()}
    return {partition: each for partition, each in recorded.items() if each is not None}


def recorded_among(
    instance: dg.DagsterInstance, asset: dg.AssetKey, versions: AbstractSet[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those of an asset's versions, each with its partition, that were ever recorded, in any landing zone.

    One query reads the versions of all events. Only the partitions that have one of these in question, which are few,
    are read event by event.
    """
    recorded = {each.get(DATA_VERSION) for each in instance.event_log_storage.get_event_tags_for_asset(asset)}
    in_question = sorted({partition for partition, version in versions if version in recorded})
    found = set()
    for some in batched(in_question, EVENTS_AT_ONCE):
        wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=some)
        cursor, has_more = None, True
        while has_more:
            page = instance.fetch_materializations(wanted, limit=EVENTS_AT_ONCE, cursor=cursor)
            cursor, has_more = page.cursor, page.has_more
            for each in page.records:
                of_record = each.asset_materialization
                if of_record and of_record.partition and of_record.tags:
                    found.add((of_record.partition, of_record.tags.get(DATA_VERSION, "")))
    return found & versions


def latest_recorded_unpartitioned(
    instance: dg.DagsterInstance, asset: dg.AssetKey, landing_zone: str, tags: RecordTags
) -> Recorded | None:
    """Return the latest recorded version of an asset without partitions; `None` if there is none."""
    event = instance.get_latest_materialization_event(asset)
    materialization = event.asset_materialization if event else None
    return tags.recorded(materialization.tags or {}, landing_zone) if materialization else None


def upstream_tags(instance: dg.DagsterInstance, upstream: dg.AssetKey, partition: str, version: str) -> dict[str, str]:
    """Return the tags by which Dagster shows of what a materialization was made, in one query.

    Dagster itself adds them to the results of assets that a step makes, and not to events that a step yields.

    Args:
        instance: The instance that has the records.
        upstream: The asset that was read.
        partition: The partition of it that was read.
        version: The data version that was read.
    """
    recorded = latest_materialization(instance, upstream, partition)
    name = upstream.to_user_string()
    pointer = str(recorded.storage_id) if recorded else "NULL"
    return {f"{INPUT_DATA_VERSION}/{name}": version, f"{INPUT_EVENT_POINTER}/{name}": pointer}


def metadata_of(
    landing_zone: str,
    key: str,
    size: int,
    *,
    row_count: int | None = None,
    **more: Any,  # noqa: ANN401 - metadata
) -> dict[str, Any]:
    """Return the metadata of an object's materialization, those that all have and more; `None` values are left out."""
    url = join_url(landing_zone, key)
    metadata = {
        "path": url,
        "object_key": key,
        "console": None if url.startswith("file:") else console_link(url),
        "size": size,
        "dagster/row_count": row_count,
    }
    return {name: value for name, value in (metadata | more).items() if value is not None}
