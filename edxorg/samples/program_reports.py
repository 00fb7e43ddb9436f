"""Program reports: a row for each learner in each course run of a program, as edX reports them to partners."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples import times
from edxorg.samples.progress import progress_of
from edxorg.samples.story import PASSING
from edxorg.samples.table_rows import DOWNLOADABLE, certificate_of, grade_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.samples.catalogue import Catalogue, Record
    from edxorg.samples.courses import Course
    from edxorg.samples.story import Enrollment

COLUMNS: Final = (
    "authoring institution",
    "program type",
    "program uuid",
    "program title",
    "user id",
    "username",
    "name",
    "user roles",
    "course run key",
    "course title",
    "track",
    "letter grade",
    "grade",
    "currently enrolled",
    "purchased as bundle",
    "completed",
    "completed program",
    "date completed",
    "date program certificate awarded",
    "last activity date",
    "date first enrolled",
    "date last unenrolled",
    "date first upgraded to verified",
    "course run start date",
)

_NOTHING: Final = "null"


@dataclass
class ReportTruth:
    """The truth about one report: its rows, and those that completed the course run, by course key."""

    rows: int = 0
    enrolled: Counter[str] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)


def report_name(catalogue: Catalogue, number: int) -> str:
    """The path of a program's report below the reports' folder."""
    return f"{catalogue.university.archive_days[-1]}/program_learner_report-{catalogue.programs[number]['uuid']}.csv"


def write_report(out: Path, catalogue: Catalogue, number: int) -> ReportTruth:
    """Write the report of a program, as of the end of the story; learners without an account any more are left out.

    Raises:
        OSError: The file cannot be written.
    """
    truth = ReportTruth()
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for course in catalogue.courses_of_programs[number]:
            for row in _rows(catalogue, catalogue.programs[number], course):
                truth.rows += 1
                truth.enrolled[course.course_key] += 1
                truth.completed[course.course_key] += row["completed"] == "true"
                writer.writerow(row)
    return truth


def _rows(catalogue: Catalogue, program: Record, course: Course) -> Iterator[dict[str, Any]]:
    university = catalogue.university
    about_program = {
        "authoring institution": ", ".join(each["key"] for each in program["authoring_organizations"]),
        "program type": program["type"] or _NOTHING,
        "program uuid": program["uuid"],
        "program title": program["title"],
        "purchased as bundle": "false",
        "completed program": "false",
        "user roles": _NOTHING,
        "course run key": course.course_key,
        "course title": course.root.title,
        "course run start date": f"{course.start}T00:00:00Z",
    }
    for enrollment in university.enrollments(course, university.end):
        if not enrollment.staff and enrollment.retired is None:
            yield about_program | _row(catalogue, course, enrollment)


def _row(catalogue: Catalogue, course: Course, enrollment: Enrollment) -> dict[str, Any]:
    until = catalogue.university.end
    progress = progress_of(catalogue.university, enrollment, until)
    certificate = certificate_of(enrollment, progress, until)
    done = certificate is not None and certificate[1] == DOWNLOADABLE
    certified = certificate[0] if certificate is not None and done else None
    # Both formats stand in real reports.
    awarded = _time(certified) if enrollment.id % 2 else _time(certified).replace("T", " ").replace("Z", " Z")
    return {
        "user id": enrollment.user_id,
        "username": enrollment.learner.username,
        "name": enrollment.learner.name,
        "track": enrollment.mode_at(until),
        "letter grade": "Pass" if progress.earned >= PASSING * course.problems else _NOTHING,
        "grade": grade_of(progress, course) if progress.subsections else _NOTHING,
        "currently enrolled": str(enrollment.is_active_at(until)).lower(),
        "completed": str(done).lower(),
        "date completed": _time(certified),
        "date program certificate awarded": awarded if enrollment.id % 5 == 0 else _NOTHING,
        "last activity date": _time(progress.last_at),
        "date first enrolled": _time(enrollment.created),
        "date last unenrolled": _time(
            enrollment.left if enrollment.left is not None and enrollment.left < until else None
        ),
        "date first upgraded to verified": _time(_upgraded(enrollment, until)),
    }


def _upgraded(enrollment: Enrollment, until: int) -> int | None:
    if enrollment.mode != "verified":
        return None
    at = enrollment.created if enrollment.upgraded is None else enrollment.upgraded
    return at if at < until else None


def _time(at: int | None) -> str:
    return _NOTHING if at is None else times.zulu(at)
