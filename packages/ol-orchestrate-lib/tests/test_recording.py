"""Recording many objects: one by one, and in batches on a real Postgres."""

import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from ol_orchestrate.landing import batch, records
from ol_orchestrate.landing.batch import add_partitions, record
from ol_orchestrate.landing.records import latest_tags

ASSETS = [dg.AssetKey(["edxorg", "raw_data", "db_table", table]) for table in ("auth_user", "teams")]
PARTITIONS = [f"MITx-{number}-2020|prod" for number in range(8)]


def tags_of(version: str, partition: str) -> dict[str, str]:
    return {"dagster/data_version": f"{version} of {partition}", "edxorg/row_count": "3"}


def materializations(asset: dg.AssetKey, version: str) -> Iterator[dg.AssetMaterialization]:
    for partition in PARTITIONS:
        yield dg.AssetMaterialization(asset, partition=partition, tags=tags_of(version, partition))


@dg.op(out=dg.Out(dg.Nothing), config_schema=str)
def record_all(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    for asset in ASSETS:
        yield from record(context, materializations(asset, context.op_config), iter)
    yield dg.Output(None)


@dg.job
def recording_job() -> None:
    record_all()


def check_recording(instance: dg.DagsterInstance, *, one_by_one: bool = False) -> None:
    for version in ("first", "second"):
        config = {"ops": {"record_all": {"config": version}}}
        result = recording_job.execute_in_process(instance=instance, run_config=config)
        assert result.success
        yielded = [event for event in result.all_events if event.is_step_materialization]
        assert len(yielded) == (len(ASSETS) * len(PARTITIONS) if one_by_one else 0)
        for asset in ASSETS:
            tags = {partition: tags_of(version, partition) for partition in PARTITIONS}
            assert latest_tags(instance, asset) == tags
            some = PARTITIONS[3:5]
            assert latest_tags(instance, asset, some) == {partition: tags[partition] for partition in some}
    assert set(instance.all_asset_keys()) == set(ASSETS)
    records_of_asset = instance.fetch_materializations(ASSETS[0], limit=1000).records
    assert len(records_of_asset) == 2 * len(PARTITIONS)
    milliseconds = {round(each.timestamp * 1000) for each in records_of_asset}
    assert len(milliseconds) == 2 * len(PARTITIONS), "the UI shows one event for each time"


@pytest.mark.parametrize("other_way", ["_read_tags_of_events", "_stored_tags"])
def test_batches_on_sqlite_are_read_from_stored_events_or_through_dagster(
    other_way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, other_way, another_dagster)
    with dg.instance_for_test() as instance:
        check_recording(instance)


def test_batches_on_postgres_are_recorded_whole(postgres_url: str, tmp_path: Path) -> None:
    with on_postgres(postgres_url, tmp_path) as instance:
        check_recording(instance)


def on_postgres(url: str, home: Path) -> dg.DagsterInstance:
    storage = f"telemetry:\n  enabled: false\nstorage:\n  postgres:\n    postgres_url: {url}\n"
    (home / "dagster.yaml").write_text(storage)
    return dg.DagsterInstance.from_config(str(home))


SEEN_BY_ANOTHER_RUN: list[int] = []


@dg.op(out=dg.Out(dg.Nothing))
def record_while_another_run_looks(
    context: dg.OpExecutionContext,
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    seen = SEEN_BY_ANOTHER_RUN

    def look() -> None:
        with batch.others_wait(context.instance):
            seen.append(len(latest_tags(context.instance, ASSETS[0])))

    another = threading.Thread(target=look)

    def still_to_record(some: Sequence[dg.AssetMaterialization]) -> Sequence[dg.AssetMaterialization]:
        another.start()
        another.join(0.3)
        return some

    yield from record(context, materializations(ASSETS[0], "first"), still_to_record)
    another.join(30)
    yield dg.Output(None)


@dg.job
def looking_job() -> None:
    record_while_another_run_looks()


def check_that_another_run_sees_all_or_nothing(instance: dg.DagsterInstance) -> None:
    SEEN_BY_ANOTHER_RUN.clear()
    assert looking_job.execute_in_process(instance=instance).success
    assert [len(PARTITIONS)] == SEEN_BY_ANOTHER_RUN


def test_a_run_that_wants_to_record_waits_until_another_one_has_on_sqlite() -> None:
    with dg.instance_for_test() as instance:
        check_that_another_run_sees_all_or_nothing(instance)


def test_a_run_that_wants_to_record_waits_until_another_one_has_on_postgres(postgres_url: str, tmp_path: Path) -> None:
    with on_postgres(postgres_url, tmp_path) as instance:
        check_that_another_run_sees_all_or_nothing(instance)


def another_dagster(*_: object) -> None:
    raise TypeError("another version of Dagster")


def test_a_batch_that_cannot_be_stored_is_recorded_one_by_one(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_store_batch", another_dagster)
    with on_postgres(postgres_url, tmp_path) as instance:
        check_recording(instance, one_by_one=True)


def test_a_batch_leaves_in_sqlite_what_dagster_leaves_there_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_batches = stored(tmp_path / "batches", one_by_one=False)
    monkeypatch.setattr(batch, "_store_batch", another_dagster)
    assert in_batches == stored(tmp_path / "itself", one_by_one=True)


@pytest.mark.parametrize("part", ["_store_asset_event", "run_connection"], ids=["the index", "the run's log"])
def test_a_batch_that_fails_half_way_is_stored_once_in_each_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    undisturbed = stored(tmp_path / "undisturbed", one_by_one=False)
    store_batch, whole_part = batch._store_batch_on_sqlite, getattr(SqliteEventLogStorage, part)  # noqa: SLF001
    failures = []

    def failing_once(*arguments: Any) -> None:  # noqa: ANN401
        def fail(*_: object) -> None:
            monkeypatch.setattr(SqliteEventLogStorage, part, whole_part)
            failures.append(part)
            raise sqlite3.OperationalError("disk I/O error")

        if not failures:
            monkeypatch.setattr(SqliteEventLogStorage, part, fail)
        store_batch(*arguments)

    monkeypatch.setattr(batch, "_store_batch_on_sqlite", failing_once)
    home = tmp_path / "disturbed"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        for version in ("first", "second"):
            config = {"ops": {"record_all": {"config": version}}}
            assert recording_job.execute_in_process(instance=instance, run_config=config).success
    assert failures == [part]
    assert in_databases(home) == undisturbed


def test_a_log_of_a_run_that_cannot_be_written_fails_the_run_and_records_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(batch, "_store_in_log_of_run", fail)
    with dg.instance_for_test() as instance:
        config = {"ops": {"record_all": {"config": "first"}}}
        result = recording_job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
        assert not result.success
        recorded = instance.fetch_materializations(ASSETS[0], limit=1000).records
    assert sorted(record.partition_key or "" for record in recorded) == sorted(PARTITIONS)


LAST_PARTITION = "$.event_log_entry.dagster_event.event_specific_data.materialization.partition"
STORED = {
    "run": ["SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs WHERE asset_key IS NOT NULL"],
    "index": [
        "SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs WHERE asset_key IS NOT NULL",
        "SELECT partition, key, value FROM asset_event_tags t JOIN event_logs e ON e.id = event_id",
        f"SELECT asset_key, json_extract(last_materialization, '{LAST_PARTITION}') FROM asset_keys",  # noqa: S608
    ],
}
"""The content of Dagster's databases about materializations, without the values that differ from run to run."""


def stored(home: Path, *, one_by_one: bool) -> dict[str, list[list[object]]]:
    """Record on SQLite; return the content of the databases."""
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        check_recording(instance, one_by_one=one_by_one)
    return in_databases(home)


def in_databases(home: Path) -> dict[str, list[list[object]]]:
    """Return the content of Dagster's databases on SQLite about materializations, all runs together."""
    found: dict[str, list[list[object]]] = {}
    for database in (home / "history" / "runs").glob("*.db"):
        kind = "index" if database.stem == "index" else "run"
        with closing(sqlite3.connect(database)) as connection:
            rows = [sorted(connection.execute(query)) for query in STORED[kind]]
        found[kind] = [
            sorted([*before, *now]) for before, now in zip(found.get(kind, [[]] * len(rows)), rows, strict=True)
        ]
        assert all(found[kind])
    return found


def test_partitions_are_added_once_and_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "PARTITIONS_AT_ONCE", 3)
    partitions = dg.DynamicPartitionsDefinition(name="course_and_source")
    with dg.instance_for_test() as instance:
        assert add_partitions(instance, partitions, [*PARTITIONS[:5], *PARTITIONS[:2]]) == 5
        assert add_partitions(instance, partitions, PARTITIONS) == 3
        assert add_partitions(instance, partitions, PARTITIONS) == 0
        assert list(instance.get_dynamic_partitions("course_and_source")) == PARTITIONS


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A Postgres server of this test's own; skipped where none is installed."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None or not (programs / "initdb").exists():
        pytest.skip("no PostgreSQL server is installed")
    # It refuses to run as root.
    as_other_user: list[str] = []
    folder = Path("/tmp") / f"pg-{os.getpid()}-{time.monotonic_ns()}"  # noqa: S108 - pytest's own are closed to others
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        as_other_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = ["-D", str(folder / "data")]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*as_other_user, str(programs / "pg_ctl"), *data]
    log = ["-l", str(folder / "log")]
    try:
        initdb = [*as_other_user, str(programs / "initdb"), *data, "-A", "trust", "-U", "test"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)  # noqa: S603
        subprocess.run([*control, *log, "-w", "-o", options, "start"], check=True, capture_output=True, cwd=folder)  # noqa: S603
        yield f"postgresql+psycopg2://test@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd="/")  # noqa: S603
        shutil.rmtree(folder, ignore_errors=True)
