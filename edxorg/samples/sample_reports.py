"""Program reports: a row for each learner in each course run of a program, as edX reports them to partners."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples import times
from edxorg.samples.learner_progress import progress_of
from edxorg.samples.story import PASSING
from edxorg.samples.table_rows import DOWNLOADABLE, certificate_of, grade_of
from edxorg.samples.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from edxorg.samples.courses import Course
    from edxorg.samples.sample_catalogue import Catalogue, Record
    from edxorg.samples.story import Enrollment
    from edxorg.samples.university import University

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
    """The truth about one report.

    Attributes:
        rows: Its rows, one for each learner and course run.
        enrolled, completed: Learners by course key: all, and those who completed the course run.
        completed_program: Learners who completed all courses of the program.
    """

    rows: int = 0
    enrolled: Counter[str] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)
    completed_program: int = 0


def report_name(catalogue: Catalogue, number: int) -> str:
    """The path of a program's report below the reports' folder."""
    return f"{catalogue.university.archive_days[-1]}/program_learner_report-{catalogue.programs[number]['uuid']}.csv"


def write_report(out: Path, catalogue: Catalogue, number: int) -> ReportTruth:
    """Write the report of a program, as of the end of the story; retired learners are left out.

    Raises:
        OSError: The file cannot be written.
    """
    truth = ReportTruth()
    with whole_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        courses = catalogue.packed_courses(number)
        completed = _completed(catalogue.university, courses)
        truth.completed_program = len(completed)
        for course in courses:
            for row in _rows(catalogue, catalogue.programs[number], course, completed):
                truth.rows += 1
                truth.enrolled[course.course_key] += 1
                truth.completed[course.course_key] += row["completed"] == "true"
                writer.writerow(row)
    return truth


def _completed(university: University, courses: Collection[Course]) -> dict[int, int]:
    """Return the time of the last certificate of each learner who has one in all courses, by the learner's number."""
    completed = dict.fromkeys(university.rosters[next(iter(courses)).index], 0) if courses else {}
    for course in courses:
        certified = {}
        for learner in completed.keys() & university.rosters[course.index]:
            at = _certified(university, university.enrollment(course, learner))
            if at is not None:
                certified[learner] = max(at, completed[learner])
        completed = certified
    return completed


def _certified(university: University, enrollment: Enrollment) -> int | None:
    """Return the time when a certificate was granted, if one was."""
    at = enrollment.certified_at()
    if at is None or at >= university.end or enrollment.retired is not None:
        return None
    certificate = certificate_of(enrollment, progress_of(university, enrollment, university.end), university.end)
    return at if certificate is not None and certificate[1] == DOWNLOADABLE else None


def _rows(
    catalogue: Catalogue, program: Record, course: Course, completed: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    university = catalogue.university
    about_program = {
        "authoring institution": ", ".join(each["key"] for each in program["authoring_organizations"]),
        "program type": program["type"] or _NOTHING,
        "program uuid": program["uuid"],
        "program title": program["title"],
        "purchased as bundle": "false",
        "user roles": _NOTHING,
        "course run key": course.course_key,
        "course title": course.root.title,
        "course run start date": f"{course.start} 00:00:00 Z",
    }
    for enrollment in university.enrollments(course, university.end):
        if not enrollment.staff and enrollment.retired is None:
            yield about_program | _row(university, course, enrollment, completed.get(enrollment.learner.number))


def _row(university: University, course: Course, enrollment: Enrollment, awarded: int | None) -> dict[str, Any]:
    until = university.end
    progress = progress_of(university, enrollment, until)
    certificate = certificate_of(enrollment, progress, until)
    certified = certificate[0] if certificate is not None and certificate[1] == DOWNLOADABLE else None
    award = _time(awarded)
    if awarded is not None and enrollment.turn % 2:
        # Both formats stand in real reports, but only here.
        award = times.zulu(awarded)
    return {
        "user id": enrollment.user_id,
        "username": enrollment.learner.username,
        "name": enrollment.learner.name,
        "track": enrollment.mode_at(until),
        "letter grade": "Pass" if progress.earned >= PASSING * course.problems else _NOTHING,
        "grade": grade_of(progress, course) if progress.subsections else _NOTHING,
        "currently enrolled": str(enrollment.is_active_at(until)).lower(),
        "completed": str(certified is not None).lower(),
        "completed program": str(awarded is not None).lower(),
        "date completed": _time(certified),
        "date program certificate awarded": award,
        "last activity date": _NOTHING if progress.last_at is None else times.day_of(progress.last_at),
        "date first enrolled": _time(enrollment.created),
        "date last unenrolled": _time(_before(until, enrollment.left)),
        "date first upgraded to verified": _time(_before(until, enrollment.verified_at)),
    }


def _before(until: int, at: int | None) -> int | None:
    return at if at is not None and at < until else None


def _time(at: int | None) -> str:
    return _NOTHING if at is None else f"{times.mysql(at)} Z"
