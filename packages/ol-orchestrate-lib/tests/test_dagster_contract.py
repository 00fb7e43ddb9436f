"""The names that are private to Dagster, of the landing wing and of alerts: the locked Dagster has them as expected."""

import inspect
import json
import re
import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest

import ol_orchestrate.landing

PRODUCT = Path(ol_orchestrate.landing.__file__).parents[1]
PRIVATE = re.compile(r"^ *(from|import) dagster[\w.]*\._|\.event_log_storage\b", re.MULTILINE)
"""An import of a private name, or the way to all that is private in the storage of events."""

EVENTS = "dagster._core.events"
EVENT_LOG = "dagster._core.storage.event_log"
PRIVATE_NAMES = {
    f"{EVENTS}:DagsterEvent": "event_type_value job_name step_handle node_handle step_kind_value logging_tags "
    "event_specific_data message pid step_key",
    f"{EVENTS}:StepMaterializationData": "materialization asset_lineage",
    f"{EVENTS}:AssetMaterializationPlannedData": "asset_key partition partitions_subset",
    f"{EVENTS}:DagsterEvent.build_asset_materialization_planned_event": "job_name step_key "
    "asset_materialization_planned_data",
    f"{EVENTS}.log:EventLogEntry": "error_info level user_message run_id timestamp step_key job_name dagster_event",
    f"{EVENT_LOG}:SqlEventLogStorage.index_connection": "self",
    f"{EVENT_LOG}:SqlEventLogStorage.index_transaction": "self",
    f"{EVENT_LOG}:SqlEventLogStorage.prepare_insert_event": "self event",
    f"{EVENT_LOG}:SqlEventLogStorage.store_event_batch": "self events",
    f"{EVENT_LOG}:SqlEventLogStorage._store_asset_event": "self conn event event_id",
    f"{EVENT_LOG}:SqlEventLogStorage._store_asset_event_tags": "self conn events event_ids",
    f"{EVENT_LOG}:SqliteEventLogStorage.path_for_shard": "self run_id",
    f"{EVENT_LOG}:SqliteEventLogStorage.run_connection": "self run_id",
    f"{EVENT_LOG}:EventLogStorage.get_latest_storage_id_by_partition": "self asset_key event_type partitions "
    "after_cursor",
    f"{EVENT_LOG}:EventLogStorage.get_latest_tags_by_partition": "self asset_key event_type tag_keys asset_partitions "
    "before_cursor after_cursor",
    f"{EVENT_LOG}:EventLogStorage.get_event_tags_for_asset": "self asset_key filter_tags filter_event_id",
    f"{EVENT_LOG}:EventLogStorage.get_latest_asset_partition_materialization_attempts_without_materializations": "self "
    "asset_key after_storage_id",
    f"{EVENT_LOG}:EventLogStorage.get_asset_check_execution_history": "self check_key limit cursor status "
    "partition_filter",
    "dagster._core.execution.context.compute:OpExecutionContext.get_step_execution_context": "self",
}
"""Names that `landing/attempts.py`, `landing/batch.py` and `landing/records.py` use, with their parameters."""

TABLES = {
    "event_logs": "id run_id event dagster_event_type timestamp step_key asset_key partition",
    "asset_keys": "id asset_key last_materialization last_run_id asset_details wipe_timestamp "
    "last_materialization_timestamp tags create_timestamp cached_status_data",
    "asset_event_tags": "id event_id asset_key key value event_timestamp",
}
"""Tables that a materialization leaves rows in, with their columns."""

ADVICE = (
    f"Dagster {dg.__version__} is not as landing/attempts.py, landing/batch.py and landing/records.py expect: compare "
    "them with Dagster's own modules"
)


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_the_locked_dagster_has_each_private_name_with_its_parameters(name: str) -> None:
    module, _, attributes = name.partition(":")
    try:
        found = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{ADVICE}: {name} is gone ({error})")
    parameters = [each for each in inspect.signature(found).parameters if each != "_"]  # type: ignore[arg-type]
    assert parameters == PRIVATE_NAMES[name].split(), f"{ADVICE}: {name} has other parameters"


def test_dagster_keeps_a_materialization_in_the_tables_and_the_form_that_a_batch_writes(tmp_path: Path) -> None:
    tags = {"dagster/data_version": "1", "x/y": "z"}
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("asset", partition="first", tags=tags))
    filled = {}
    with closing(sqlite3.connect(tmp_path / "history" / "runs" / "index.db")) as index:
        for (table,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if index.execute(f"SELECT count(*) FROM {table}").fetchone() != (0,):  # noqa: S608
                filled[table] = " ".join(column[1] for column in index.execute(f"PRAGMA table_info({table})"))
        [(event,)] = index.execute("SELECT event FROM event_logs").fetchall()
    of_dagster = {"alembic_version", "secondary_indexes"}
    assert {table: filled[table] for table in filled.keys() - of_dagster} == TABLES, f"{ADVICE}: its tables differ"
    data = json.loads(event).get("dagster_event", {}).get("event_specific_data", {})
    assert data.get("materialization", {}).get("tags") == tags, f"{ADVICE}: it stores events as {event}"


def test_no_other_module_uses_private_names_of_dagster() -> None:
    modules = {path.relative_to(PRODUCT).as_posix(): path.read_text() for path in PRODUCT.rglob("*.py")}
    users = {name for name, text in modules.items() if PRIVATE.search(text) and not name.startswith("testing/")}
    # Failed ticks are told from others by their status, which `test_alerts.py` tries.
    assert users == {"alerts.py", "landing/attempts.py", "landing/batch.py", "landing/records.py"}
