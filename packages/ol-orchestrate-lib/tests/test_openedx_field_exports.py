"""Exports as others met them in the field: invented ones here, and the real ones where they are at hand."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ol_orchestrate.lib.openedx import Course, StaticAssets, course_outputs, read_course

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

POINTER = '<course url_name="R1" org="ExX" course="T1"/>'
STUDIO_POINTER = '<course url_name="course" org="ExX" course="T1"/>'
WHOLE_COURSE = (
    '<course url_name="R1" org="ExX" course="T1" display_name="Whole course" start="2024-01-01T00:00">'
    '<chapter display_name="Week 1"><sequential display_name="S"><vertical url_name="v1">'
    '<video url_name="vid1" edx_video_id="abc"/></vertical></sequential></chapter></course>'
)
GROUPS = (
    '<abtest url_name="ab1" experiment="e"><group name="a" portion="0.5"><problem url_name="pa">x</problem>'
    '<html>inline page</html></group><default><problem url_name="pb">y</problem></default></abtest>'
    '<section display_name="Old"><problem>nameless</problem><video youtube="1.0:x"/></section>'
)
COURSE_OF_C1 = '<course display_name="T"><chapter url_name="c1"/></course>'
POLICY = {
    "course/R1": {
        "display_name": "Title in policy",
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-06-01T00:00:00Z",
        "self_paced": True,
    },
    "chapter/c1": {"display_name": "Week one"},
}


def studio_run(title: str, start: str) -> dict[str, str]:
    course = f'<course display_name="{title}" start="&quot;{start}&quot;"><chapter url_name="c1"/></course>'
    return {"course.xml": STUDIO_POINTER, "course/course.xml": course, "chapter/c1.xml": "<chapter/>"}


def game(level: str) -> str:
    return f'<game url_name="g" level="{level}" xblock-family="xblock.v1"/>'


INVENTED: dict[str, dict[str, str]] = {
    "olx_abtest_group": {
        "course.xml": POINTER,
        "course/R1.xml": COURSE_OF_C1,
        "chapter/c1.xml": f"<chapter><sequential>{GROUPS}</sequential></chapter>",
    },
    "olx_course_xml_is_the_course": {
        "course.xml": WHOLE_COURSE,
        "course/R1.xml": '<course><chapter url_name="c0"/></course>',
        "chapter/c0.xml": '<chapter display_name="Left over"/>',
    },
    "olx_course_xml_with_attributes": {
        "course.xml": POINTER.replace("/>", ' display_name="Title from course.xml"/>'),
        "course/R1.xml": '<course><chapter url_name="c0"/></course>',
        "chapter/c0.xml": '<chapter display_name="C"/>',
    },
    "olx_dates_in_policy": {
        "course.xml": POINTER,
        "course/R1.xml": '<course><chapter url_name="c1"/></course>',
        "chapter/c1.xml": "<chapter/>",
        "policies/R1/policy.json": json.dumps(POLICY),
    },
    "olx_nan_in_policy": {
        "course.xml": POINTER,
        "course/R1.xml": COURSE_OF_C1,
        "chapter/c1.xml": "<chapter/>",
        "policies/R1/policy.json": json.dumps(
            {"course/R1": {"tabs": [{"type": "courseware"}], "weight": float("nan")}}
        ),
    },
    "olx_one_inline_name_in_two_units": {
        "course.xml": POINTER,
        "course/R1.xml": COURSE_OF_C1,
        "chapter/c1.xml": '<chapter><sequential url_name="s1"/></chapter>',
        "sequential/s1.xml": '<sequential><vertical url_name="zz_first"/><vertical url_name="aa_second"/></sequential>',
        "vertical/zz_first.xml": f"<vertical>{game('easy')}</vertical>",
        "vertical/aa_second.xml": f"<vertical>{game('hard')}</vertical>",
    },
    "olx_run_is_course_a": studio_run("Spring run", "2016-01-01T00:00:00+00:00"),
    "olx_run_is_course_b": studio_run("Fall run", "2016-09-01T00:00:00+00:00"),
}


class Outputs(NamedTuple):
    course: Course
    rows: dict[str, list[dict[str, Any]]]
    files: list[str]

    def blocks(self, *columns: str) -> list[tuple[Any, ...]]:
        return [tuple(row[column] for column in columns) for row in self.rows["course_xml_blocks"]]


def packed(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"course/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue())


@pytest.fixture(params=["invented", "field"])
def source(request: pytest.FixtureRequest, real_data: Callable[[str], Path]) -> Path | None:
    """The folder of exports, unless they are invented."""
    return real_data("field") if request.param == "field" else None


def outputs_of(source: Path | None, name: str, course_id: str = "ExX-T1-R1") -> Outputs:
    data = packed(INVENTED[name]) if source is None else (source / f"{name}.tar.gz").read_bytes()
    with StaticAssets() as assets:
        course = read_course(io.BytesIO(data), course_id=course_id, static_assets=assets)
        files = [file["path"] for file in assets.manifest()["files"]]
    outputs = course_outputs(course, source_system="prod")
    rows = {name: [json.loads(line) for line in output.chunks("then")] for name, output in outputs.items()}
    assert {row["course_id"] for each in rows.values() for row in each} == {course.course_id}
    return Outputs(course, rows, files)


def metadata(**expected: object) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(("title", "course_start", "course_end", "enrollment_start", "enrollment_end"))
    names = {"course_id": "course-v1:ExX+T1+R1", "institution": "ExX", "course_number": "T1", "semester": "R1"}
    return [{**names, **nothing, "self_paced": False, "instructor_info": None, **expected}]


def nothing_but(found: Outputs, *outputs: str) -> bool:
    """Return true if all outputs are empty but these, the metadata and the blocks."""
    empty = {name for name, rows in found.rows.items() if not rows}
    expected = {"course_video", "course_policy", "course_certificate_signatory", "course_grading_policy"}
    return empty == expected - set(outputs) and found.files == []


def test_blocks_below_groups_of_an_ab_test_are_blocks_of_the_sequential(source: Path | None) -> None:
    found = outputs_of(source, "olx_abtest_group")
    sequential = "c1_sequential_1"
    assert found.blocks("block_type", "block_id", "block_parent") == [
        ("course", "R1", None),
        ("chapter", "c1", "R1"),
        ("sequential", sequential, "c1"),
        ("problem", "pa", sequential),
        ("html", f"{sequential}_html_1", sequential),
        ("problem", "pb", sequential),
        ("problem", f"{sequential}_problem_2", sequential),
        ("video", f"{sequential}_video_3", sequential),
    ]
    assert found.blocks("raw_xml")[4] == ("<html>inline page</html>",)
    assert found.rows["course_metadata"] == metadata(title="T")
    (video,) = found.rows["course_video"]
    assert video["video_block_id"] == f"{sequential}_video_3"
    assert nothing_but(found, "course_video")
    assert found.course.problems == ()
    assert found.course.missing == ()


def test_a_course_xml_that_holds_the_course_is_the_course(source: Path | None) -> None:
    found = outputs_of(source, "olx_course_xml_is_the_course")
    assert found.blocks("block_type", "block_id", "block_parent", "block_display_name", "xml_path") == [
        ("course", "R1", None, "Whole course", "course/course.xml"),
        ("chapter", "R1_chapter_1", "R1", "Week 1", "course/course.xml"),
        ("sequential", "R1_chapter_1_sequential_1", "R1_chapter_1", "S", "course/course.xml"),
        ("vertical", "v1", "R1_chapter_1_sequential_1", "", "course/course.xml"),
        ("video", "vid1", "v1", "", "course/course.xml"),
        ("chapter", "c0", None, "Left over", "course/chapter/c0.xml"),
    ]
    assert found.blocks("raw_xml")[0] == (WHOLE_COURSE,)
    assert found.rows["course_metadata"] == metadata(title="Whole course", course_start="2024-01-01T00:00")
    assert [row["edx_video_id"] for row in found.rows["course_video"]] == ["abc"]
    assert nothing_but(found, "course_video")
    assert [problem.path for problem in found.course.problems] == ["course/course/R1.xml"]
    assert "not used" in found.course.problems[0].what


def test_a_course_xml_with_attributes_is_the_course(source: Path | None) -> None:
    found = outputs_of(source, "olx_course_xml_with_attributes")
    assert found.blocks("block_type", "block_id", "block_parent", "block_display_name", "xml_path") == [
        ("course", "R1", None, "Title from course.xml", "course/course.xml"),
        ("chapter", "c0", None, "C", "course/chapter/c0.xml"),
    ]
    assert found.rows["course_metadata"] == metadata(title="Title from course.xml")
    assert nothing_but(found)
    assert [problem.path for problem in found.course.problems] == ["course/course/R1.xml"]


def test_dates_and_titles_of_the_policy_override_the_xml(source: Path | None) -> None:
    found = outputs_of(source, "olx_dates_in_policy")
    assert found.rows["course_metadata"] == metadata(
        title="Title in policy",
        course_start="2024-01-01T00:00:00Z",
        course_end="2024-06-01T00:00:00Z",
        self_paced=True,
    )
    assert found.blocks("block_id", "block_display_name", "xml_attributes") == [
        ("R1", "Title in policy", {}),
        ("c1", "Week one", {}),
    ]
    (policy,) = found.rows["course_policy"]
    assert (policy["self_paced"], policy["tabs"]) == (True, [])
    assert nothing_but(found, "course_policy")
    assert found.course.problems == ()


def test_nan_in_a_policy_is_null_and_the_rest_of_the_policy_is_there(source: Path | None) -> None:
    found = outputs_of(source, "olx_nan_in_policy")
    (policy,) = found.rows["course_policy"]
    assert policy["tabs"] == [{"type": "courseware"}]
    assert found.course.policies.course == {"tabs": [{"type": "courseware"}], "weight": None}
    assert found.rows["course_metadata"] == metadata(title="T")
    assert found.blocks("block_id", "block_parent") == [("R1", None), ("c1", "R1")]
    assert nothing_but(found, "course_policy")
    (problem,) = found.course.problems
    assert problem.path == "course/policies/R1/policy.json"
    assert "NaN" in problem.what


def test_of_two_definitions_of_an_inline_name_the_first_in_reading_order_counts(source: Path | None) -> None:
    found = outputs_of(source, "olx_one_inline_name_in_two_units")
    assert found.blocks("block_id", "block_parent", "xml_path") == [
        ("R1", None, "course/course/R1.xml"),
        ("c1", "R1", "course/chapter/c1.xml"),
        ("s1", "c1", "course/sequential/s1.xml"),
        ("zz_first", "s1", "course/vertical/zz_first.xml"),
        ("g", "zz_first", "course/vertical/zz_first.xml"),
        ("aa_second", "s1", "course/vertical/aa_second.xml"),
    ]
    level = {"url_name": "g", "level": "easy", "xblock-family": "xblock.v1"}
    assert found.blocks("xml_attributes", "raw_xml")[4] == (level, game("easy"))
    assert found.rows["course_metadata"] == metadata(title="T")
    assert nothing_but(found)
    (problem,) = found.course.problems
    assert problem.path == "course/vertical/aa_second.xml"
    assert 'another definition of <game url_name="g"/>' in problem.what


@pytest.mark.parametrize(
    ("name", "run", "title", "start"),
    [
        ("olx_run_is_course_a", "1T2016", "Spring run", "2016-01-01T00:00:00+00:00"),
        ("olx_run_is_course_b", "3T2016", "Fall run", "2016-09-01T00:00:00+00:00"),
    ],
)
def test_runs_that_are_all_called_course_are_told_apart(
    source: Path | None, name: str, run: str, title: str, start: str
) -> None:
    found = outputs_of(source, name, f"ExX-T1-{run}")
    assert found.rows["course_metadata"] == metadata(
        course_id=f"course-v1:ExX+T1+{run}", semester=run, title=title, course_start=start
    )
    assert found.blocks("block_id", "block_parent", "block_display_name") == [
        ("course", None, title),
        ("c1", "course", ""),
    ]
    assert nothing_but(found)
    assert found.course.problems == ()
