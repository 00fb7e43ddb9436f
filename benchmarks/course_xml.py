"""Measures time and memory of reading a course's OLX export, next to only reading the members of its tar."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement, measured
from edxorg.samples.sample_course_xml import write_sample_course_xml
from ol_orchestrate.lib.openedx import StaticAssets, course_outputs, read_course

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 5
_SEED = 1


def run(blocks: int) -> None:
    """Print a table for a sample course with this many blocks (6,000 for one of the largest)."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "course.xml.tar.gz", Path(folder) / "out"
        sample = write_sample_course_xml(path, blocks=blocks, seed=_SEED)
        members = _best(lambda: _read_members(path))
        reading = _best(lambda: _read_course(path))
        writing = _best(lambda: _write_outputs(path, out))
    print(f"course XML: {blocks:,} blocks, {sample.xml_files:,} XML files, {sample.bytes_unpacked / 1e6:,.1f} MB")
    print(f"{'':36} {'seconds':>8} {'CPU s':>8} {'ratio':>8} {'peak MB':>8} {'load':>6}")
    _print_row("reading the tar's members", members, members)
    _print_row("reading the course", reading, members)
    _print_row("reading it and writing all outputs", writing, members)


def _best(step: Callable[[], None]) -> Measurement:
    """The round that took the least processor time: others on the machine only ever add to it."""
    rounds = []
    for _ in range(_ROUNDS):
        with measured() as measurement:
            step()
        rounds.append(measurement)
    return min(rounds, key=lambda each: each.cpu_seconds)


def _print_row(name: str, measurement: Measurement, reference: Measurement) -> None:
    ratio = measurement.cpu_seconds / reference.cpu_seconds
    print(
        f"{name:36} {measurement.seconds:8.3f} {measurement.cpu_seconds:8.3f} {ratio:8.2f} "
        f"{measurement.peak_bytes / 1e6:8.0f} {measurement.load:6.1f}"
    )


def _read_members(path: Path) -> None:
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            if (content := tar.extractfile(member)) is not None:
                content.read()


def _read_course(path: Path) -> None:
    with StaticAssets() as assets, path.open("rb") as file:
        read_course(file, static_assets=assets)


def _write_outputs(path: Path, out: Path) -> None:
    with StaticAssets() as assets, path.open("rb") as file, out.open("wb") as written:
        course = read_course(file, static_assets=assets)
        assets.write_archive(written)
        for output in course_outputs(course, source_system="prod").values():
            output.data_version()
            written.writelines(output.chunks("2024-05-06T00:00:00+00:00"))
