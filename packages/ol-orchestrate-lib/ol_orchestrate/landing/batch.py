"""Records partitions and materializations in as few writes as Dagster's storage allows.

Each materialization costs a run 15 to 80 ms if events are stored one by one, and 1 to 3 ms in batches.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.private_folders import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dagster._core.events import DagsterEvent
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage

T = TypeVar("T")

PARTITIONS_AT_ONCE = 10_000
"""SQLite refuses longer lists."""

EVENTS_AT_ONCE = 500

LOCK_OF_RECORDS = 0x6564786F7267
"""Number of the advisory lock in Postgres; any number that no other program uses there."""


class HalfRecordedError(ServiceError):
    """One of Dagster's two SQLite databases has stored the events, and the other has not."""


def add_partitions(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> int:
    """Register the partition keys that are missing, and return their number."""
    name = partitions.name
    if name is None:
        raise ValueError("only dynamic partitions with a name take new keys")
    # On SQLite, Dagster fails if another process adds one of them at the same moment.
    with others_wait(instance):
        known = set(instance.get_dynamic_partitions(name))
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        for some in batched(missing, PARTITIONS_AT_ONCE):
            instance.add_dynamic_partitions(name, some)
    return len(missing)


def record(
    context: dg.OpExecutionContext,
    results: Iterable[T],
    to_record: Callable[[Sequence[T]], Iterable[dg.AssetMaterialization]],
) -> Iterator[dg.AssetMaterialization]:
    """Record results as materializations of one asset, in batches.

    All belong to one asset, because a batch updates the asset's own row only for its last event.

    Args:
        context: The op's context.
        results: The results that are to be recorded, as far as is known now.
        to_record: Makes the materializations of a batch's results that are still to be recorded. Until they are
            stored, no other run of the instance records anything.

    Yields:
        The events that the op has to yield itself: none, unless this Dagster stores events in another way.
    """
    for some in batched(results, EVENTS_AT_ONCE):
        with others_wait(context.instance):
            batch = list(to_record(some))
            if not _is_stored(context, partial(_store_batch, context, batch)):
                yield from batch


def record_attempts(context: dg.OpExecutionContext, asset: dg.AssetKey, partitions: Sequence[str]) -> None:
    """Let Dagster know that a run is to make partitions that it does not know as the run's own.

    It shows these as at work, or as failed if the run fails, and conditions see it, as with partitions of a run's own.
    """
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent  # noqa: PLC0415

    step_key = context.get_step_execution_context().step.key
    planned = [
        DagsterEvent.build_asset_materialization_planned_event(
            context.job_name, step_key, AssetMaterializationPlannedData(asset, partition=partition)
        )
        for partition in partitions
    ]
    for some in batched(planned, EVENTS_AT_ONCE):
        with others_wait(context.instance):
            is_stored = _is_stored(context, partial(_store_attempts, context, some))
        for event in [] if is_stored else some:
            context.instance.report_dagster_event(event, context.run_id, logging.DEBUG)


@contextmanager
def others_wait(instance: dg.DagsterInstance) -> Iterator[None]:
    """Have all other processes that record or register wait; a process that dies frees the lock."""
    from dagster._core.storage.event_log import (  # noqa: PLC0415
        InMemoryEventLogStorage,
        SqlEventLogStorage,
        SqliteEventLogStorage,
    )
    from sqlalchemy import text  # noqa: PLC0415

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        with locked(Path(storage.path_for_shard("index")).parent):
            yield
    elif isinstance(storage, SqlEventLogStorage) and not isinstance(storage, InMemoryEventLogStorage):
        with storage.index_transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_OF_RECORDS})"))
            yield
    else:
        yield


def _is_stored(context: dg.OpExecutionContext, store: Callable[[], None]) -> bool:
    """Store a batch of events; return False if that failed, so that they have to be stored one by one.

    Raises:
        HalfRecordedError: They must not be stored once more.
    """
    try:
        store()
    except HalfRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - not a public interface: any change in it may raise anything
        context.log.warning("Recording one by one, since a batch could not be stored: %s", error)
        return False
    return True


def _store_batch(context: dg.OpExecutionContext, batch: Sequence[dg.AssetMaterialization]) -> None:
    if not batch:
        return
    # Dagster has no public way to store events in bulk. One by one they cost 15 to 80 ms each, and a run in the process
    # of a command keeps all events that its steps yield.
    from dagster._core.events import DagsterEvent, StepMaterializationData  # noqa: PLC0415
    from dagster._core.storage.event_log import SqliteEventLogStorage  # noqa: PLC0415

    step_key = context.get_step_execution_context().step.key
    events = _entries(
        context,
        [
            DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=context.job_name,
                step_key=step_key,
                message=f"Materialized {materialization.asset_key.to_user_string()}, {materialization.partition}",
                event_specific_data=StepMaterializationData(materialization, []),
            )
            for materialization in batch
        ],
    )
    storage = context.instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        _store_batch_on_sqlite(storage, context.run_id, events)
    else:
        storage.store_event_batch(events)


def _store_attempts(context: dg.OpExecutionContext, planned: Sequence[DagsterEvent]) -> None:
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage  # noqa: PLC0415

    storage, events = context.instance.event_log_storage, _entries(context, planned)
    if isinstance(storage, SqliteEventLogStorage):
        _store_batch_on_sqlite(storage, context.run_id, events)
    elif isinstance(storage, SqlEventLogStorage):
        # Dagster's own batch takes no such events.
        _store_in_index(storage, events)
    else:
        raise TypeError(f"{type(storage)} is no SQL storage")


def _entries(context: dg.OpExecutionContext, events: Sequence[DagsterEvent]) -> list[dg.EventLogEntry]:
    now = time.time()
    return [
        dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.DEBUG,
            user_message="",
            run_id=context.run_id,
            timestamp=now - number / 1000,
            step_key=event.step_key,
            job_name=context.job_name,
            dagster_event=event,
        )
        # The UI shows one event for each time of an asset, in milliseconds.
        for number, event in zip(range(len(events) - 1, -1, -1), events, strict=True)
    ]


def _store_batch_on_sqlite(storage: SqliteEventLogStorage, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
    """Store events as Dagster does, with both databases opened once; its own batch opens them for each event.

    Each database takes all events or none. The index, from which records are read, is first: if it fails, nothing is
    written, and the events can be stored in another way. After that they must not be.

    Raises:
        HalfRecordedError: The events are recorded, but the run's own log lacks them.
    """
    _store_in_index(storage, events)
    try:
        _store_in_log_of_run(storage, run_id, events)
    except Exception:  # noqa: BLE001 - whatever it was, it left nothing behind
        try:
            _store_in_log_of_run(storage, run_id, events)
        except Exception as error:
            raise HalfRecordedError(
                f"{len(events):,} materializations are recorded, but Dagster's log of this run cannot be written "
                f"({error}): make room for it, and run again"
            ) from error


def _store_in_index(storage: SqlEventLogStorage, events: Sequence[dg.EventLogEntry]) -> None:
    with storage.index_transaction() as connection:
        added = [connection.execute(storage.prepare_insert_event(event)) for event in events]
        numbers = [int(each.inserted_primary_key[0]) for each in added]  # type: ignore[index]
        storage._store_asset_event_tags(connection, events, numbers)  # noqa: SLF001
        # The asset's own row holds its last event.
        storage._store_asset_event(connection, events[-1], numbers[-1])  # noqa: SLF001


def _store_in_log_of_run(storage: SqliteEventLogStorage, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
    with storage.run_connection(run_id) as connection:
        for event in events:
            connection.execute(storage.prepare_insert_event(event))
