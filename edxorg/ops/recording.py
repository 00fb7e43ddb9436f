"""Records partitions and materializations in as few writes as Dagster's storage allows.

Each materialization costs a run 15 to 80 ms if events are stored one by one, and 1 to 3 ms in batches.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from edxorg.lib.object_keys import is_raw_data_asset
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.private_folders import locked
from ol_orchestrate.location_names import EDXORG, LocationNames
from ol_orchestrate.recording import latest_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dagster._core.storage.event_log import SqliteEventLogStorage

    from ol_orchestrate.lib.versions import Recorded

T = TypeVar("T")

PARTITIONS_AT_ONCE = 10_000
"""SQLite refuses longer lists."""

EVENTS_AT_ONCE = 500

LOCK_OF_RECORDS = 0x6564786F7267
"""Number of the advisory lock in Postgres; any number that no other program uses there."""


class HalfRecordedError(ServiceError):
    """One of Dagster's two SQLite databases has stored the events, and the other has not."""


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
        return latest_recorded(self._instance, self._location.key(asset), self._landing_zone)

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


def add_partitions(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> int:
    """Register the partition keys that are missing, and return their number."""
    name = partitions.name
    if name is None:
        raise ValueError("only dynamic partitions with a name take new keys")
    there = set(instance.get_dynamic_partitions(name))
    missing = [key for key in dict.fromkeys(keys) if key not in there]
    for start in range(0, len(missing), PARTITIONS_AT_ONCE):
        instance.add_dynamic_partitions(name, missing[start : start + PARTITIONS_AT_ONCE])
    return len(missing)


def record(
    context: dg.OpExecutionContext,
    results: Iterable[T],
    to_record: Callable[[Sequence[T]], Iterable[dg.AssetMaterialization]],
) -> Iterator[dg.AssetMaterialization]:
    """Record results as materializations of one asset, in batches.

        All belong to one asset, because a batch updates the asset's own row only for its last event.

    Args:
            results: The results that are to be recorded, as far as is known now.
            to_record: Makes the materializations of a batch's results that are still to be recorded. Until they are
                stored, no other run of the instance records anything.

    Yields:
        The events that the op has to yield itself: none, unless this Dagster stores events in another way.
    """
    rest = iter(results)
    while some := list(islice(rest, EVENTS_AT_ONCE)):
        with others_wait(context.instance):
            batch = list(to_record(some))
            try:
                _store_batch(context, batch)
            except HalfRecordedError:
                raise
            except Exception as error:  # noqa: BLE001 - not a public interface: any change in it may raise anything
                context.log.warning("Recording one by one, since a batch could not be stored: %s", error)
                yield from batch


@contextmanager
def others_wait(instance: dg.DagsterInstance) -> Iterator[None]:
    """Have all other runs that record wait, in Dagster's own databases; a process that dies frees the lock."""
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage  # noqa: PLC0415
    from sqlalchemy import text  # noqa: PLC0415

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        with locked(Path(storage.path_for_shard("index")).parent):
            yield
    elif isinstance(storage, SqlEventLogStorage):
        with storage.index_transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_OF_RECORDS})"))
            yield
    else:
        yield


def _store_batch(context: dg.OpExecutionContext, batch: Sequence[dg.AssetMaterialization]) -> None:
    if not batch:
        return
    # Dagster has no public way to store events in bulk. One by one they cost 15 to 80 ms each, and a run in the process
    # of a command keeps all events that its steps yield.
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
    """Store events as Dagster does, with both databases opened once; its own batch opens them for each event.

        Each database takes all events or none. The index, from which records are read, is first: if it fails, nothing
        is written, and the events can be stored in another way. After that they must not be.

    Raises:
        HalfRecordedError: The events are recorded, but the run's own log lacks them.
    """
    with storage.index_transaction() as connection:
        numbers = [connection.execute(storage.prepare_insert_event(event)).lastrowid for event in events]
        storage._store_asset_event_tags(connection, events, numbers)  # noqa: SLF001
        # The asset's own row holds its last event.
        storage._store_asset_event(connection, events[-1], numbers[-1])  # noqa: SLF001
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


def _store_in_log_of_run(storage: SqliteEventLogStorage, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
    with storage.run_connection(run_id) as connection:
        for event in events:
            connection.execute(storage.prepare_insert_event(event))
