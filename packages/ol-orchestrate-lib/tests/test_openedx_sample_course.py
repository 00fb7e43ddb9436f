"""A made-up course of known size: everything in it is found, quickly, and in little memory."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.openedx import StaticAssets, course_outputs, read_course

if TYPE_CHECKING:
    from pathlib import Path

sample = pytest.importorskip("edxorg.samples.sample_course_xml")


@pytest.mark.parametrize("blocks", [1, 2, 50, 1_000])
def test_the_summary_of_the_sample_agrees_with_the_reader(tmp_path: Path, blocks: int) -> None:
    path = tmp_path / "course.xml.tar.gz"
    summary = sample.write_sample_course_xml(path, blocks=blocks, seed=3, static_bytes=100)
    with StaticAssets() as assets, path.open("rb") as file:
        course = read_course(file, static_assets=assets)
        assert assets.manifest()["file_count"] == summary.static_assets
    assert Counter(block.key.block_type for block in course.blocks) == summary.blocks
    assert (len(course.blocks), course.course_id) == (blocks, summary.course_key)
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert summary.xml_files == sum(name.endswith(".xml") for name in names)
    assert blocks * 0.9 < summary.xml_files <= blocks + 2, "some problems stand inline"
    assert len(names) == len(set(names))
    assert all(block.parent for block in course.blocks[1:])
    assert not course.missing
    assert not course.problems


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in "abc")
    for path, seed in ((first, 1), (second, 1), (other, 2)):
        sample.write_sample_course_xml(path, blocks=100, seed=seed, static_bytes=17_000_000)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar, tarfile.open(other) as another:
        assert tar.getnames() != another.getnames()


MEASURE = """
import resource, sys
from pathlib import Path
from ol_orchestrate.lib.openedx import StaticAssets, read_course
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with StaticAssets() as assets, Path(sys.argv[1]).open("rb") as file, Path(sys.argv[2]).open("wb") as out:
    before = peak()
    read_course(file, static_assets=assets)
    assets.write_archive(out)
    print(peak() - before)
"""


def test_static_files_pass_through_within_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "course.xml.tar.gz"
    sample.write_sample_course_xml(path, blocks=10, seed=1, static_bytes=64 << 20)
    command = [sys.executable, "-c", MEASURE, str(path), str(tmp_path / "out.tar.gz")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - our own
    assert grown < 32 << 10  # in KiB
    assert (tmp_path / "out.tar.gz").stat().st_size > 32 << 20


def test_the_passports_of_the_sample_are_in_no_output(tmp_path: Path) -> None:
    path = tmp_path / "course.xml.tar.gz"
    sample.write_sample_course_xml(path, blocks=20, seed=1)
    with tarfile.open(path) as tar:
        secret = b"NOT-A-REAL-SECRET"
        course_file = tar.extractfile("MITx-1.100x-1T2024/course/1T2024.xml")
        assert course_file is not None
        assert secret in course_file.read()
    with path.open("rb") as file:
        outputs = course_outputs(read_course(file), source_system="prod")
    assert all(secret not in line for output in outputs.values() for line in output.chunks("now"))
