"""Courses from an archive to their outputs, with Dagster's own daemons over the real location."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from dagster._core.execution.backfill import BulkActionStatus

from edxorg.assets import course_content
from edxorg.jobs import max_runtime
from edxorg_tests.support.course_files import (
    STRUCTURE_OUTPUTS,
    XML_OUTPUTS,
    asset_key,
    course_xml,
    flatten_edxorg_course_structure,
    structure,
)
from edxorg_tests.support.daemons import (
    EXTRACT,
    FLATTEN,
    IGNORED_WARNINGS,
    LocationWithDaemons,
    course_members,
    location_with_daemons,
)
from ol_orchestrate.assets.openedx_course_archives import extract_edxorg_courserun_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ol_orchestrate.landing.course_outputs import CourseOutputs

pytestmark = pytest.mark.filterwarnings(*IGNORED_WARNINGS)


@pytest.fixture
def location(tmp_path: Path) -> Iterator[LocationWithDaemons]:
    with location_with_daemons(tmp_path, courses_a_run=3) as location:
        yield location


def test_each_course_runs_once_for_each_change(location: LocationWithDaemons) -> None:
    courses = "abcd"
    assert location.ticks(1) == {}
    location.ingest("mitx-2024-01-03.tar.gz", course_members(courses))
    assert location.ticks(2) == {(output, course): 1 for course in courses for output in (FLATTEN, EXTRACT)}
    assert location.runs == 2, "three courses are in one, and one in the other"
    assert [location.materialized(output) for output in (FLATTEN, EXTRACT)] == [4, 4]
    location.ingest("mitx-2024-01-10.tar.gz", course_members(courses))
    assert location.ticks(1) == {}, "nothing has changed"

    changed = {
        "a_structure": structure("B"),
        "a_xml": course_xml("B"),
        "b_structure": structure() + b"\n",  # and so are the rows of this one, beside a course that fails
        "c_structure": b"{}",
        "d_xml": course_xml() + gzip.compress(b""),  # its outputs are as they were
    }
    location.ingest("mitx-2024-01-17.tar.gz", course_members(courses, **changed))
    assert location.ticks(3) == {
        (FLATTEN, "a"): 1,
        (EXTRACT, "a"): 1,
        (FLATTEN, "b"): 1,
        (FLATTEN, "c"): 2,
        (EXTRACT, "d"): 1,
    }
    assert location.ticks(2) == {}, "neither what failed twice nor what had nothing to record"
    assert not location.instance.get_backfills(), "which would fail, as some outputs stayed as they were"
    assert location.failed(flatten_edxorg_course_structure) == ["MITx-c-1T2020|prod"]
    assert location.failed(extract_edxorg_courserun_metadata) == []
    automated = [run for run in location.instance.get_runs() if run.job_name == "__ASSET_JOB"]
    assert automated
    assert all(run.tags.items() >= max_runtime.OTHERS.items() for run in automated)


def test_a_run_that_breaks_down_leaves_no_course_behind(
    location: LocationWithDaemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a bug, or a database that is away for a moment: what a run had not done is asked for once more."""
    location.ticks(1)
    location.ingest("mitx-2024-01-03.tar.gz", course_members("abc"))
    broken = ["MITx-b-1T2020"]

    def break_down(outputs: CourseOutputs) -> None:
        if outputs.course.course_id in broken:
            broken.clear()
            raise RuntimeError("no course's fault")
        flatten(outputs)

    flatten = course_content._flatten  # noqa: SLF001 - the work of one course
    monkeypatch.setattr(course_content, "_flatten", break_down)
    location.ticks(3)
    assert not broken
    assert [location.materialized(output) for output in (FLATTEN, EXTRACT)] == [3, 3]
    assert location.failed(flatten_edxorg_course_structure) == []


def test_a_backfill_of_unchanged_courses_succeeds(location: LocationWithDaemons) -> None:
    courses = ["MITx-a-1T2020|prod", "MITx-b-1T2020|prod"]
    location.ticks(1)
    location.ingest("mitx-2024-01-03.tar.gz", course_members("ab"))
    location.ticks(2)
    outputs = [*STRUCTURE_OUTPUTS, *XML_OUTPUTS]
    before = location.everything_recorded()
    assert location.backfill(outputs, courses) == BulkActionStatus.COMPLETED_SUCCESS
    assert location.everything_recorded() == before
    for output in outputs:
        assert len(location.recorded(asset_key(output))) == 4, "two courses, each recorded once more"
    assert location.ticks(2) == {}, "no other version of anything"
