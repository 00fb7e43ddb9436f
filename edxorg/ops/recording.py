"""Recording many objects: partitions and materializations, in as few writes as the storage allows.

Each materialization costs a run 15 to 80 ms where events are stored one by one, and 1 to 3 ms in batches.
"""

from __future__ import annotations

import logging
import time
from itertools import islice
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dagster._core.storage.event_log import SqliteEventLogStorage

PARTITIONS_AT_ONCE = 10_000
"""SQLite refuses longer lists."""

EVENTS_AT_ONCE = 500


def asset_key(asset: str) -> dg.AssetKey:
    """From an asset's name to its key."""
    return dg.AssetKey(asset.split("/"))


def add_partitions(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> int:
    """Register those partition keys that are not there yet, and return how many."""
    name = partitions.name
    if name is None:
        raise ValueError("only dynamic partitions with a name can be added to")
    there = set(instance.get_dynamic_partitions(name))
    missing = [key for key in dict.fromkeys(keys) if key not in there]
    for start in range(0, len(missing), PARTITIONS_AT_ONCE):
        instance.add_dynamic_partitions(name, missing[start : start + PARTITIONS_AT_ONCE])
    return len(missing)


def record(
    context: dg.OpExecutionContext, materializations: Iterator[dg.AssetMaterialization]
) -> Iterator[dg.AssetMaterialization]:
    """Record materializations of one asset, in batches.

    Of one asset, since a batch updates the asset's own row for its last event only.

    Yields:
        The events that the op has to yield itself: none, unless this Dagster stores events in another way.
    """
    while batch := list(islice(materializations, EVENTS_AT_ONCE)):
        try:
            _store_batch(context, batch)
        except Exception as error:  # noqa: BLE001 - not a public interface: any change in it may raise anything
            context.log.warning("Recording one by one, since a batch could not be stored: %s", error)
            yield from batch


def _store_batch(context: dg.OpExecutionContext, batch: Sequence[dg.AssetMaterialization]) -> None:
    # Dagster has no public way to store events in bulk. One by one they cost 15 to 80 ms each, and a run in the process
    # of a command keeps all that its steps yield.
    from dagster._core.events import DagsterEvent, StepMaterializationData  # noqa: PLC0415
    from dagster._core.storage.event_log import SqliteEventLogStorage  # noqa: PLC0415

    step_key = context.get_step_execution_context().step.key
    now = time.time()
    events = [
        dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.DEBUG,
            user_message="",
            run_id=context.run_id,
            timestamp=now,
            step_key=step_key,
            job_name=context.job_name,
            dagster_event=DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=context.job_name,
                step_key=step_key,
                message=f"Materialized {materialization.asset_key.to_user_string()}, {materialization.partition}",
                event_specific_data=StepMaterializationData(materialization, []),
            ),
        )
        for materialization in batch
    ]
    storage = context.instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        _store_batch_on_sqlite(storage, context.run_id, events)
    else:
        storage.store_event_batch(events)


def _store_batch_on_sqlite(storage: SqliteEventLogStorage, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
    """What Dagster does for each event, with both databases opened once: its own batch opens them for each."""
    with storage.run_connection(run_id) as connection:
        for event in events:
            connection.execute(storage.prepare_insert_event(event))
    with storage.index_transaction() as connection:
        numbers = [connection.execute(storage.prepare_insert_event(event)).lastrowid for event in events]
        storage._store_asset_event_tags(connection, events, numbers)  # noqa: SLF001
        # The asset's own row tells of its last event.
        storage._store_asset_event(connection, events[-1], numbers[-1])  # noqa: SLF001
