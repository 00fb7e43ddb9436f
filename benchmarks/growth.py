"""Measures an instance as it grows: a year of weekly archives, and the automation sensor over a year of records."""

from __future__ import annotations

import gzip
import io
import logging
import tarfile
import time
from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.impl import get_external_sensor_execution
from sqlalchemy import event as sql_event
from sqlalchemy import text
from sqlalchemy.engine import Engine

from benchmarks.instances import QUIET, STORAGES, Opened, on_postgres
from benchmarks.measure import measured
from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML
from edxorg.lib.settings import Settings
from edxorg.location import EDXORG
from ol_orchestrate.landing.batch import add_partitions, record
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

JOB = "retrieve_edxorg_raw_data"
SENSOR = "default_automation_condition_sensor"
TABLES = ("auth_user", "auth_userprofile", "student_courseenrollment", "courseware_studentmodule", "wiki_article")
CHANGED = 500
"""Courses that an archive changes."""


def run(weeks: int, courses: int, recorded_courses: int, partitions: int) -> None:
    """Print the tables, for SQLite and Postgres."""
    logging.disable(logging.INFO)  # of the automation sensor, which names each course
    for name, opened in STORAGES.items():
        with opened() as opened_instance:
            _print_weeks(name, _grow(opened_instance, weeks, courses), courses)
    with on_postgres() as opened_instance:
        _print_ticks(opened_instance, recorded_courses, weeks, partitions)


class Week(NamedTuple):
    """The figures of one archive."""

    seconds: float
    cpu_seconds: float
    statements: int
    database: int
    peak: int


def _grow(opened: Opened, weeks: int, courses: int) -> list[Week]:
    """Bring in an archive a week, in which every table has changed."""
    archives = opened.folder / "archives"
    archives.mkdir()
    settings = Settings(archive_url=f"file://{archives}", landing_zone_url=f"file://{opened.folder}/lake")
    job = build_definitions(settings).resolve_job_def(JOB)
    files = raw_data_archives(settings)
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    sql_event.listen(Engine, "before_cursor_execute", count)
    grown = []
    for number in range(weeks):
        name = f"mitx-{date(2024, 1, 3) + timedelta(weeks=number)}.tar.gz"
        _write_archive(archives / name, courses, number)
        files.register(opened.instance, open_store(settings.archive_url).read(name).info)
        statements = 0
        with measured() as measurement:
            result = job.execute_in_process(instance=opened.instance, partition_key=name, run_config=QUIET)
        if not result.success:
            raise SystemExit(f"{name} failed")
        grown.append(
            Week(measurement.seconds, measurement.cpu_seconds, statements, opened.bytes(), measurement.peak_bytes)
        )
        (archives / name).unlink()
    sql_event.remove(Engine, "before_cursor_execute", count)
    return grown


def _write_archive(path: Path, courses: int, week: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for course in range(courses):
            for table in TABLES:
                content = b"id\tname\n" + b"".join(b"%d\tw%d\n" % (row, week) for row in range(20))
                info = tarfile.TarInfo(f"MITx-{course}x-1T2020-{table}-prod-analytics.sql")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _print_weeks(name: str, weeks: list[Week], courses: int) -> None:
    print(f"{name}: {len(weeks)} weekly archives of {courses} courses with {len(TABLES)} tables, all of them changed")
    print(f"{'week':>6} {'seconds':>8} {'CPU s':>7} {'statements':>11} {'database MB':>12} {'peak MB':>8}")
    for number in sorted({1, 2, len(weeks) // 4, len(weeks) // 2, len(weeks)} - {0}):
        week = weeks[number - 1]
        print(
            f"{number:6} {week.seconds:8.2f} {week.cpu_seconds:7.2f} {week.statements:11,} "
            f"{week.database / 1e6:12.1f} {week.peak / 1e6:8.0f}"
        )
    few = max(1, min(5, len(weeks) // 3))
    first, last = weeks[1 : 1 + few], weeks[-few:]
    for what, value in (("seconds", lambda week: week.seconds), ("CPU", lambda week: week.cpu_seconds)):
        ratio = median(map(value, last)) / median(map(value, first))
        print(f"last {few} to first {few} after the first one, {what}: {ratio:.2f}")


def _print_ticks(opened: Opened, courses: int, weeks: int, partitions: int) -> None:
    """Print the ticks of the automation sensor over records of many courses and weeks."""
    instance = opened.instance
    settings = Settings(archive_url=f"file://{opened.folder}", landing_zone_url=f"file://{opened.folder}/lake")
    repository = build_definitions(settings).get_repository_def()
    names = [f"MITx-{number}x-1T2020|prod" for number in range(max(courses, partitions))]
    add_partitions(instance, EDXORG.courses, names[:courses])
    _record(instance, names[:courses], "first")
    _copy_records(instance, weeks - 2)
    _record(instance, names[:courses], "last")
    print(f"Postgres: {courses:,} courses, records of {weeks} weeks, {opened.bytes() / 1e6:,.0f} MB")
    print(f"{'automation sensor':34} {'seconds':>8} {'CPU s':>7} {'runs':>6}")
    cursor = _tick(instance, repository, None, "first tick")
    cursor = _tick(instance, repository, cursor, "nothing new")
    _record(instance, names[:CHANGED], "changed")
    cursor = _tick(instance, repository, cursor, f"{CHANGED} courses changed")
    cursor = _tick(instance, repository, cursor, "nothing new")
    start = time.perf_counter()
    add_partitions(instance, EDXORG.courses, names)
    print(f"{partitions:,} partitions added in {time.perf_counter() - start:.1f} s")
    cursor = _tick(instance, repository, cursor, "nothing new but partitions")
    _tick(instance, repository, cursor, "nothing new")


def _tick(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, cursor: str | None, what: str) -> str:
    origin = RegisteredCodeLocationOrigin("edxorg")
    with measured() as measurement:
        answer = get_external_sensor_execution(
            repository, origin, instance.get_ref(), SENSOR, None, None, cursor, None, None
        )
    if not isinstance(answer, SensorExecutionData):
        raise SystemExit(str(answer))
    runs = len(answer.run_requests or [])
    print(f"{what:34} {measurement.seconds:8.2f} {measurement.cpu_seconds:7.2f} {runs:6}")
    return answer.cursor or ""


def _record(instance: dg.DagsterInstance, courses: list[str], version: str) -> None:
    """Record structure and XML of courses by an op, in batches."""

    @dg.op(out=dg.Out(dg.Nothing))
    def recording(context) -> Iterator[dg.AssetMaterialization]:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Dagster reads it
        for asset in (COURSE_STRUCTURE, COURSE_XML):
            made = (
                dg.AssetMaterialization(
                    EDXORG.key(asset), partition=course, tags=EDXORG.tags.of(version, f"file://{course}")
                )
                for course in courses
            )
            yield from record(context, made, iter)

    @dg.job
    def records() -> None:
        recording()

    records.execute_in_process(instance=instance, run_config=QUIET)


_COPIES = (
    """
    INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    SELECT id + :span * week, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition
    FROM event_logs, generate_series(1, :weeks) AS week WHERE asset_key IS NOT NULL
    """,
    """
    INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)
    SELECT event_id + :span * week, asset_key, key,
        CASE WHEN key = 'dagster/data_version' THEN value || '-' || week ELSE value END, event_timestamp
    FROM asset_event_tags, generate_series(1, :weeks) AS week
    """,
)


def _copy_records(instance: dg.DagsterInstance, weeks: int) -> None:
    """Copy all records as those of further weeks: to make each by Dagster takes a millisecond and more."""
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        span = connection.execute(text("SELECT max(id) - min(id) + 1 FROM event_logs")).scalar()
        for statement in _COPIES:
            connection.execute(text(statement), {"weeks": weeks, "span": span})
        connection.execute(text("SELECT setval('event_logs_id_seq', (SELECT max(id) FROM event_logs))"))
        connection.execute(text("ANALYZE"))
