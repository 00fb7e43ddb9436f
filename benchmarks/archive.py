"""The archive job: unpacking alone, a plain `csv` loop, delivering to a folder, and a whole Dagster run."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from isal import igzip
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement, measured
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.samples.sample_archive import write_sample_archive
from ol_orchestrate.lib.archives import gunzip
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.tar import tar_entries

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "mitx-2024-01-31.tar.gz"


def run(courses: int) -> None:
    """Make a sample archive, and print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sample = write_sample_archive(folder / NAME, courses=courses, seed=0)
        print(
            f"{sample.bytes_compressed / 1e6:.0f} MB gz, {sample.bytes_unpacked / 1e6:.0f} MB, "
            f"{sample.members:,} members, {sample.rows:,} rows, {sample.objects:,} objects"
        )
        lake, job_lake = folder / "lake", folder / "job"
        in_this_process, in_another = True, False
        steps: list[tuple[str, bool, Callable[[], object]]] = [
            ("unpack only", in_this_process, lambda: _unpack(folder)),
            ("unpack only, tarfile", in_this_process, lambda: _unpack_with_tarfile(folder)),
            ("plain csv loop", in_this_process, lambda: _csv_loop(folder)),
            ("to a folder", in_this_process, lambda: _ingest(folder, lake)),
            ("to a folder, all there", in_this_process, lambda: _ingest(folder, lake)),
            ("Dagster job, SQLite", in_another, lambda: _job(folder, job_lake)),
            ("the same again", in_another, lambda: _job(folder, job_lake)),
        ]
        ratios = {"x unpacking": "unpack only", "x tarfile": "unpack only, tarfile", "x csv loop": "plain csv loop"}
        table = Table("work", *("seconds", "CPU s", "MB/s", *ratios, "peak MB", "load"))
        results: dict[str, Measurement] = {}
        for name, own, work in steps:
            with measured(own=own) as result:
                work()
            results[name] = result
            table.add_row(
                name,
                f"{result.seconds:.1f}",
                f"{result.cpu_seconds:.1f}",
                f"{sample.bytes_unpacked / 1e6 / result.seconds:.0f}",
                *(
                    f"{result.seconds / results[other].seconds:.2f}" if other in results else ""
                    for other in ratios.values()
                ),
                f"{result.peak_bytes / 1e6:.0f}",
                f"{result.load:.1f}",
            )
        Console(width=100).print(table)  # in a file as well, which has 80 columns otherwise


def _unpack(folder: Path) -> None:
    for entry in tar_entries(gunzip(open_store(f"file://{folder}").read(NAME))):
        for _ in entry.blocks:
            pass


def _unpack_with_tarfile(folder: Path) -> None:
    """The same with the standard library's reader of tar, over the same reader of gzip."""
    opened = igzip.open(folder / NAME)  # type: ignore[no-untyped-call]
    with opened as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            while content and content.read(1 << 20):
                pass


def _csv_loop(folder: Path) -> None:
    """Do it in the simplest way: `csv` in and out, a hash for each row."""
    csv.field_size_limit(sys.maxsize)
    for entry in tar_entries(gunzip(open_store(f"file://{folder}").read(NAME))):
        if not entry.name.endswith(".sql"):
            continue
        text = b"".join(entry.blocks).decode(errors="replace")
        out = io.StringIO()
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        for row in csv.reader(text.splitlines(keepends=True), delimiter="\t", quoting=csv.QUOTE_NONE):
            writer.writerow([*row, hashlib.sha256("\t".join(row).encode()).hexdigest()])
        hashlib.sha256(out.getvalue().encode()).hexdigest()


def _ingest(folder: Path, lake: Path) -> None:
    source = open_store(f"file://{folder}").read(NAME)
    with PendingRecords() as pending:
        result = ingest_archive(source, IngestOptions(f"file://{lake}"), NothingRecorded(), pending)
        result.finish([])
    if result.report.failed:
        raise SystemExit(result.report.sum_of_outcomes())


def _job(folder: Path, lake: Path) -> None:
    command = [sys.executable, "-m", "edxorg", "ingest", "archive", str(folder / NAME)]
    command += ["--landing-zone", str(lake), "--json"]
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "home")}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
