"""Measures ticks of sensors, as a code server evaluates them, on SQLite."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.impl import get_external_sensor_execution

from benchmarks.measure import Measurement, measured
from edxorg.assets.edxorg_archive import raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from ol_orchestrate.landing.batch import add_partitions
from ol_orchestrate.lib.stores import join_url, open_store

_RECORDED = 2000
"""Files that have a record and a run; making each takes 50 ms and more."""


def run(objects: int, partitions: int) -> None:
    """Print a table for a bucket of so many objects, beside so many partitions (10,000 and 100,000)."""
    with tempfile.TemporaryDirectory() as folder, dg.instance_for_test(temp_dir=folder) as instance:
        settings = Settings(
            archive_url=f"file://{folder}/archives",
            program_reports_url=f"file://{folder}/archives",
            program_reports_destination_url=f"file://{folder}/copies",
            archive_source_configured=True,
        )
        _make_files(Path(folder, "archives"), objects)
        _make_history(instance, settings, partitions)
        repository = build_definitions(settings).get_repository_def()
        print(f"sensors: {objects:,} objects, {partitions:,} partitions")
        print(f"{'':36} {'seconds':>8} {'CPU s':>8} {'peak MB':>8} {'load':>6} {'runs':>6}")
        for sensor in ("gcs_edxorg_tracking_log_sensor", "edxorg_program_reports_sensor"):
            for attempt in ("first", "second"):
                with measured() as measurement:
                    answer = _evaluate(repository, instance, sensor)
                _print_row(f"{sensor}, {attempt}", measurement, len(answer.run_requests or []))


def _log_names(count: int) -> list[str]:
    days = (date(2000, 1, 1) + timedelta(days=number) for number in range(count))
    return [f"mitx-edx-events-{day}.log.gz" for day in days]


def _make_files(folder: Path, count: int) -> None:
    folder.mkdir()
    for name in _log_names(count):
        (folder / name).write_bytes(b"1")


def _make_history(instance: dg.DagsterInstance, settings: Settings, partitions: int) -> None:
    logs = raw_tracking_logs(settings)
    add_partitions(instance, logs.partitions_def(), _log_names(partitions))
    found = sorted(open_store(settings.archive_url).list(), key=lambda each: each.key)
    for each in found[:_RECORDED]:
        url = join_url(settings.archive_url, each.key)
        arrived = logs.arrived(url, size=each.size, created=each.modified, version=each.version)
        instance.report_runless_asset_event(arrived)
        create_run_for_test(
            instance,
            job_name="refresh_edxorg_tracking_logs",
            status=dg.DagsterRunStatus.SUCCESS,
            tags={"dagster/partition": each.key},
        )


def _evaluate(repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, sensor: str) -> SensorExecutionData:
    origin = RegisteredCodeLocationOrigin("edxorg")
    answer = get_external_sensor_execution(repository, origin, instance.get_ref(), sensor, *(None,) * 5)
    if not isinstance(answer, SensorExecutionData):
        raise TypeError(answer)
    return answer


def _print_row(name: str, measurement: Measurement, runs: int) -> None:
    print(
        f"{name:36} {measurement.seconds:8.3f} {measurement.cpu_seconds:8.3f} "
        f"{measurement.peak_bytes / 1e6:8.0f} {measurement.load:6.1f} {runs:6}"
    )
