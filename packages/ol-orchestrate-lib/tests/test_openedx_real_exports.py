"""Exports and a structure that other people's systems wrote; skipped where they are not at hand."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.openedx import (
    StaticAssets,
    course_outputs,
    read_course,
    read_course_structure,
    structure_outputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

COURSES = {
    "olx/MITxT-8.01.3x-3T2022": ("course-v1:MITxT+8.01.3x+3T2022", 1, 0),
    "olx/latex2edx-demo-2014": ("course-v1:MITx+MIT.latex2edx+2014_Spring", 48, 1),
    "olx/mitx-grading-library": ("course-v1:MITx+grading-library+course", 139, 0),
    "olx/openedx-demo-course": ("course-v1:OpenedX+DemoX+DemoCourse", 401, 11),
    "olx/oxa-kitchen-sink": ("course-v1:Microsoft+KS101+course", 55, 2),
    "edx-package/edX-DemoX-Demo_Course-course-acceptance": ("course-v1:ExampleX+Acceptance+accept", 1, 0),
}
NO_BLOCKS = {"about", "assets", "drafts", "info", "policies", "static", "tabs"}


@pytest.fixture(params=COURSES, ids=lambda name: PurePosixPath(name).name)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def export(real_data: Callable[[str], Path], name: str) -> Path:
    return real_data(f"{name}.xml.tar.gz")


def files_of(path: Path) -> list[PurePosixPath]:
    """The paths of an export's files below its root folder."""
    with tarfile.open(path) as tar:
        paths = [PurePosixPath(member.name) for member in tar if member.isreg()]
    return [PurePosixPath(*path.parts[1:]) for path in paths if not path.name.startswith("._")]


def test_each_real_export_gives_its_course(name: str, export: Path) -> None:
    with export.open("rb") as file:
        course = read_course(file)
    assert (course.course_id, len(course.blocks), len(course.videos)) == COURSES[name]
    expected = []
    if name.startswith("edx-package"):
        expected = ["missing: the course has no content"]
    elif course.course_id.endswith("+course"):
        expected = ["its run is `course`, as in all exports of Studio until 2018; they land in one place"]
    assert [problem.what for problem in course.problems] == expected


def test_blocks_by_type_agree_with_the_files(export: Path) -> None:
    with export.open("rb") as file:
        course = read_course(file)
    in_files = Counter(
        path.parts[0]
        for path in files_of(export)
        if len(path.parts) > 1 and path.suffix == ".xml" and path.parts[0] not in NO_BLOCKS
    )
    own = [block for block in course.blocks if PurePosixPath(block.path).stem == block.key.block_id]
    own_files = Counter(
        block.key.block_type for block in own if not block.path.endswith("/course.xml") or in_files["course"]
    )
    assert own_files == in_files


def test_every_child_is_a_block_or_missing(export: Path) -> None:
    with export.open("rb") as file:
        course = read_course(file)
    there = {block.key for block in course.blocks}
    missing = {reference.child for reference in course.missing}
    assert {child for block in course.blocks for child in block.children} <= there | missing
    assert not there & missing


def test_the_bundle_holds_every_file_that_belongs_into_it(export: Path) -> None:
    with StaticAssets() as assets, export.open("rb") as file:
        read_course(file, static_assets=assets)
        paths = [each["path"] for each in assets.manifest()["files"]]
    not_assets = {"assets", "drafts", "policies", "static"}
    expected = {str(path) for path in files_of(export) if path.suffix != ".xml" and path.parts[0] not in not_assets}
    assert set(paths) == expected


def test_no_lti_passport_of_the_demo_course_is_in_an_output(real_data: Callable[[str], Path]) -> None:
    with real_data("olx/openedx-demo-course.xml.tar.gz").open("rb") as file:
        course = read_course(file)
    delivered = b"".join(
        line for output in course_outputs(course, source_system="prod").values() for line in output.chunks("now")
    )
    assert b"codeboard_secret" not in delivered
    assert b"jupyter:811a44" not in delivered


def test_the_signatories_of_the_kitchen_sink_are_read(real_data: Callable[[str], Path]) -> None:
    with real_data("olx/oxa-kitchen-sink.xml.tar.gz").open("rb") as file:
        outputs = course_outputs(read_course(file), source_system="prod")
    (line,) = outputs["course_certificate_signatory"].chunks("now")
    row = json.loads(line)
    assert (row["name"], row["id"], row["certificate_id"]) == ("House owner", 2010872476, 861723001)
    assert row["course_id"] == "course-v1:Microsoft+KS101+course"


def test_a_structure_without_a_course_block_is_read(real_data: Callable[[str], Path]) -> None:
    with real_data("edx-package/edX-DemoX-Demo_Course-course_structure-acceptance.json").open("rb") as file:
        structure = read_course_structure(file)
    outputs = structure_outputs(structure, course_id="edX-DemoX-Demo_Course", source_system="prod")
    (line,) = outputs["course_blocks"].chunks("now")
    row = json.loads(line)
    assert (row["block_index"], row["block_title"]) == (0, "About Exams and Certificates")
    assert len(structure.missing) == 1
