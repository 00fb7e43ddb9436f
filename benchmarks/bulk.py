"""Measures work in bulk, each run a process: courses after an archive, and a backfill of days of logs.

The reference is the same work without Dagster, in a process that reads, converts and writes one file after the other;
it takes turns with the runs.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.instances import QUIET, STORAGES, Opened
from benchmarks.measure import Measurement, measured
from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.job_names import ARCHIVE_JOB
from edxorg.lib.settings import Settings
from edxorg.samples.sample_course_xml import write_sample_course_xml
from edxorg.samples.sample_log import write_sample_log
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ARCHIVE = "mitx-2024-01-03.tar.gz"


def run(storages: Sequence[str], courses: int, blocks: int, days: int, events: int) -> None:
    """Print a table for each storage."""
    for storage in storages:
        with STORAGES[storage]() as opened:
            _courses(storage, opened, courses, blocks)
        with STORAGES[storage]() as opened:
            _days(storage, opened, days, events)


_RUN_OF_COURSES = """
import json, sys
import dagster as dg
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from ol_orchestrate.landing.course_outputs import tags_of_courses

home, lake, courses = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
definitions = build_definitions(Settings(archive_url=lake, landing_zone_url=lake))
job = definitions.resolve_implicit_global_asset_job_def()
key = dg.AssetKey(["edxorg", "raw_data", "course_xml"])
assets = sorted(definitions.resolve_asset_graph().get(key).child_keys)
with dg.DagsterInstance.from_config(home) as instance:
    if courses:
        result = job.execute_in_process(
            instance=instance,
            partition_key=courses[0],
            asset_selection=assets,
            tags=tags_of_courses(courses[1:]),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success
"""

_COURSES_ALONE = """
import json, sys
from pathlib import Path
from ol_orchestrate.lib.openedx import StaticAssets, course_outputs, read_course

export, outputs, courses = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
for course in courses:
    course_id, _, site = course.partition("|")
    with open(export, "rb") as file, StaticAssets() as static_assets:
        blocks = iter(lambda: file.read(1 << 20), b"")
        read = read_course(blocks, name=course, course_id=course_id, static_assets=static_assets)
        for name, output in course_outputs(read, source_system=site).items():
            folder = outputs / name / course
            folder.mkdir(parents=True, exist_ok=True)
            (folder / output.data_version()).write_bytes(b"".join(output.chunks("2024-01-03T00:00:00+00:00")))
        (outputs / f"{course}.json").write_text(json.dumps(static_assets.manifest()))
"""


def _courses(storage: str, opened: Opened, courses: int, blocks: int) -> None:
    """Print the time to bring the courses of an archive up to date: each a run, several a run, and without Dagster."""
    archives, lake = opened.folder / "archives", opened.folder / "lake"
    archives.mkdir()
    export = opened.folder / "export.tar.gz"
    write_sample_course_xml(export, blocks=blocks, seed=0)
    content = export.read_bytes()
    with gzip.open(archives / ARCHIVE, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for course in range(courses):
            info = tarfile.TarInfo(f"MITx-{course}x-1T2020-course-prod-analytics.xml.tar.gz")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    settings = Settings(archive_url=f"file://{archives}", landing_zone_url=f"file://{lake}")
    files = raw_data_archives(settings)
    partition = files.register(opened.instance, open_store(settings.archive_url).read(ARCHIVE).info)
    job = build_definitions(settings).resolve_job_def(ARCHIVE_JOB)
    job.execute_in_process(instance=opened.instance, partition_key=partition, run_config=QUIET)
    names = [f"MITx-{course}x-1T2020|prod" for course in range(courses)]
    print(f"{storage}: {courses} courses of {blocks} blocks, {settings.courses_a_run} a run")
    by_dagster = partial(_process, _RUN_OF_COURSES, str(opened.home), f"file://{lake}")
    alone = partial(_process, _COURSES_ALONE, str(export), str(opened.folder / "alone"))
    _compare(names, settings.courses_a_run, by_dagster, alone)


_RUN_OF_DAYS = """
import json, sys
import dagster as dg
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings

home, logs, lake, days = *sys.argv[1:4], json.loads(sys.argv[4])
definitions = build_definitions(Settings(archive_url=logs, landing_zone_url=lake))
job = definitions.resolve_job_def("refresh_edxorg_tracking_logs")
with dg.DagsterInstance.from_config(home) as instance:
    if days:
        result = job.execute_in_process(
            instance=instance,
            tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success
"""

_DAYS_ALONE = """
import json, shutil, sys
from pathlib import Path
from edxorg.lib.tracking_log import normalize_log
from edxorg.lib.workers import WorkerPool

if __name__ == "__main__":
    logs, outputs, days = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    outputs.mkdir(exist_ok=True)
    for day in days:
        with open(logs / day, "rb") as file, WorkerPool(object) as pool:
            blocks = iter(lambda: file.read(1 << 20), b"")
            log = normalize_log(blocks, name=day, pool=pool, progress=lambda _: None)
        with (outputs / day).open("wb") as output:
            for block in log.output.reader():
                output.write(block)
        log.close()
"""


def _days(storage: str, opened: Opened, days: int, events: int) -> None:
    """Print the time of a backfill of logs, and that of the same work without Dagster."""
    logs, lake = opened.folder / "logs", opened.folder / "lake"
    logs.mkdir()
    first = date(2024, 5, 6)
    names = [f"mitx-edx-events-{first + timedelta(days=day)}.log.gz" for day in range(days)]
    sample = write_sample_log(logs / names[0], events=events, seed=1)
    for name in names[1:]:
        shutil.copy(logs / names[0], logs / name)
    settings = Settings(archive_url=f"file://{logs}", landing_zone_url=f"file://{lake}")
    files, store = raw_tracking_logs(settings), open_store(settings.archive_url)
    for name in names:
        files.register(opened.instance, store.read(name).info)
    print(f"{storage}: {days} logs of {sample.bytes_compressed / 1e6:.1f} MB, {settings.logs_a_run} a run")
    by_dagster = partial(_process, _RUN_OF_DAYS, str(opened.home), f"file://{logs}", f"file://{lake}")
    alone = partial(_process, _DAYS_ALONE, str(logs), str(opened.folder / "alone"))
    _compare(names, settings.logs_a_run, by_dagster, alone)


def _compare(
    names: Sequence[str], at_once: int, by_dagster: Callable[[str], Measurement], alone: Callable[[str], Measurement]
) -> None:
    """Do some of the work at once, by a run and alone by turns, and print the sums."""
    loading = by_dagster("[]")
    pairs = [(by_dagster(json.dumps(some)), alone(json.dumps(some))) for some in batched(names, at_once)]
    _print([of_run for of_run, _ in pairs], [without for _, without in pairs], loading)


def _process(script: str, *arguments: str) -> Measurement:
    with tempfile.TemporaryDirectory() as folder, measured(own=False) as measurement:
        # Worker processes load the main module by its path.
        file = Path(folder, "program.py")
        file.write_text(script)
        subprocess.run([sys.executable, str(file), *arguments], check=True)  # noqa: S603 - our own
    return measurement


def _print(runs: Sequence[Measurement], alone: Sequence[Measurement], loading: Measurement) -> None:
    print(f"{'':34} {'seconds':>8} {'CPU s':>8} {'peak MB':>8}")
    for name, some in (("loading alone", [loading]), (f"{len(runs)} runs", runs), ("without Dagster", alone)):
        seconds, cpu = sum(each.seconds for each in some), sum(each.cpu_seconds for each in some)
        print(f"{name:34} {seconds:8.1f} {cpu:8.1f} {max(each.peak_bytes for each in some) / 1e6:8.0f}")
    loads = len(runs) * loading.cpu_seconds
    cpu, own = sum(each.cpu_seconds for each in runs), sum(each.cpu_seconds for each in alone)
    seconds = sum(each.seconds for each in runs) / sum(each.seconds for each in alone)
    print(
        f"runs to work without Dagster: seconds {seconds:.2f}, CPU {cpu / own:.2f}; runs to runs without loading, CPU "
        f"{cpu / (cpu - loads):.2f}; load {max(each.load for each in runs):.1f}"
    )
