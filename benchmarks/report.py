"""The share of an archive's run that its report takes."""

from __future__ import annotations

import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from benchmarks.instances import QUIET
from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.ops import ingest_archive
from edxorg.ops.archive_reports import ArchiveReports
from edxorg.samples.sample_archive import write_sample_archive
from ol_orchestrate.lib.stores import open_store

JOB = "retrieve_edxorg_raw_data"
FIRST = date(2024, 1, 3)


class _TimedReports(ArchiveReports):
    seconds = 0.0

    def tell(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as it is there
        start = time.perf_counter()
        try:
            return super().tell(*arguments, **named)
        finally:
            _TimedReports.seconds = time.perf_counter() - start


def run(courses: int, weeks: int) -> None:
    """Run the job for archives of some weeks, and print the table."""
    vars(ingest_archive)["ArchiveReports"] = _TimedReports
    table = Table("archive", "run, seconds", "report, seconds", "share")
    with tempfile.TemporaryDirectory() as folder, dg.instance_for_test(temp_dir=folder) as instance:
        settings = Settings(archive_url=f"file://{folder}/archives", landing_zone_url=f"file://{folder}/lake")
        Path(folder, "archives").mkdir()
        archives, job = raw_data_archives(settings), build_definitions(settings).resolve_job_def(JOB)
        for week in range(weeks):
            name = f"mitx-{FIRST + timedelta(weeks=week)}.tar.gz"
            write_sample_archive(Path(folder, "archives", name), courses=courses, seed=week)
            archives.register(instance, open_store(settings.archive_url).read(name).info)
            start = time.perf_counter()
            job.execute_in_process(instance=instance, partition_key=name, run_config=QUIET)
            seconds = time.perf_counter() - start
            report = _TimedReports.seconds
            table.add_row(name, f"{seconds:.1f}", f"{report:.2f}", f"{100 * report / seconds:.1f} %")
    Console(width=100).print(table)
