"""The invented university: pure functions of a seed and a few numbers, computed when they are asked for."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from edxorg.samples import invented, times
from edxorg.samples.courses import Course, Site, course_of
from edxorg.samples.learners import Learner, learner_of
from edxorg.samples.prose import Prose
from edxorg.samples.story import Action, Enrollment, Session, actions, enroll, enroll_instructor

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_DAY: Final = date(2024, 1, 17)

PROGRAMS: Final = 5
"""The most programs that have courses of the packages."""

_SIZES: Final = (0.4, 0.7, 1.0, 1.2, 1.7)
"""Courses differ in size: learners are drawn to them by these weights, one course after the other."""

_SIZE_ON_EDGE: Final = 0.3
_ENROLLMENTS: Final = (1, 1, 2, 2, 3)
_FIRST_ENROLLMENT_ID: Final = 5_000_000
_WEEK: Final = 7
_RETIRED_LEARNER: Final = 0
_COURSES_OF_PROGRAM: Final = 3
_IN_PROGRAM, _IN_PROGRAM_EVERY = 3, 50
_COURSES_KEPT: Final = 512


@dataclass(frozen=True)
class University:
    """The story that all sources tell.

    Attributes:
        seed: The same seed and numbers give the same story, on every machine.
        organization: The first part of all course keys.
        courses: The number of course runs on both sites, CCX sections included.
        learners: The number of learners; each enrolls in one to three courses.
        first_day: The story begins at this midnight, UTC.
        days: Its length.
        hazards: Names of oddities to put in; see `edxorg.samples.hazards`.
        chapters: Chapters of each course, or different numbers of them.
    """

    seed: int = 0
    organization: str = "MITx"
    courses: int = 5
    learners: int = 300
    first_day: date = FIRST_DAY
    days: int = 14
    hazards: frozenset[str] = field(default_factory=frozenset)
    chapters: int | None = None

    @cached_property
    def first(self) -> int:
        """The midnight at which the story begins."""
        return times.midnight(self.first_day)

    @cached_property
    def end(self) -> int:
        """The midnight at which it ends."""
        return self.first + self.days * times.DAY

    @cached_property
    def prose(self) -> Prose:
        """Texts to pick from."""
        return Prose.invent(self.seed)

    @cached_property
    def log_days(self) -> tuple[date, ...]:
        """The days with a tracking log."""
        return tuple(times.day_of(self.first + day * times.DAY) for day in range(self.days))

    @cached_property
    def archive_days(self) -> tuple[date, ...]:
        """The dates of the weekly archives: each has what had happened before its date."""
        weeks = range(_WEEK, self.days + 1, _WEEK) or (self.days,)
        return tuple(times.day_of(self.first + day * times.DAY) for day in weeks)

    @cached_property
    def retires_at(self) -> int | None:
        """The time when the platform retires the first learner, between the first two archives of a longer story."""
        return self.first + 8 * times.DAY + 12 * times.HOUR if self.days > _WEEK + 1 else None

    def course(self, index: int) -> Course:
        """The course with this index."""
        return self._course_of(index)

    @cached_property
    def _course_of(self) -> _CourseOf:
        return _CourseOf(self)

    def all_courses(self) -> Iterator[Course]:
        """All courses, in the order of their indexes."""
        return map(self.course, range(self.courses))

    def course_keys(self, site: Site) -> tuple[str, ...]:
        """The keys of the courses on a site."""
        return self._course_keys[site]

    @cached_property
    def _course_keys(self) -> dict[Site, tuple[str, ...]]:
        courses = list(self.all_courses())
        return {site: tuple(course.course_key for course in courses if course.site is site) for site in Site}

    @cached_property
    def programs(self) -> tuple[tuple[Course, ...], ...]:
        """The courses of each program."""
        listed = [course for course in self.all_courses() if course.in_catalogue][: PROGRAMS * _COURSES_OF_PROGRAM]
        starts = range(0, len(listed), _COURSES_OF_PROGRAM)
        return tuple(tuple(listed[start : start + _COURSES_OF_PROGRAM]) for start in starts)

    def program_of(self, number: int) -> tuple[Course, ...]:
        """Return the courses that a learner takes to complete a program; none for most."""
        turn, place = divmod(number, _IN_PROGRAM_EVERY)
        return self.programs[turn % len(self.programs)] if place == _IN_PROGRAM else ()

    def learner(self, number: int) -> Learner:
        """Return the learner with this number; numbers from `learners` on are instructors'."""
        return learner_of(number, seed=self.seed, prose=self.prose)

    def instructor(self, course: Course) -> Learner:
        """The instructor, who has an account as learners have."""
        return replace(self.learner(self.learners + course.index), name=course.instructor)

    @cached_property
    def rosters(self) -> list[array[int]]:
        """The numbers of each course's learners."""
        rosters = [array("L") for _ in range(self.courses)]
        indexes = range(self.courses)
        weights = [
            _SIZE_ON_EDGE if course.site is Site.EDGE else _SIZES[course.index % len(_SIZES)]
            for course in self.all_courses()
        ]
        rng = invented.seeded(self.seed, "rosters")
        for number in range(self.learners):
            # Each course has a learner, as far as there are learners.
            chosen = [course.index for course in self.program_of(number)]
            chosen = chosen or rng.choices(indexes, weights, k=rng.choice(_ENROLLMENTS))
            for index in dict.fromkeys((number, *chosen) if number < self.courses else chosen):
                rosters[index].append(number)
        return rosters

    def enrollment(self, course: Course, number: int) -> Enrollment:
        """Return the story of a learner in a course."""
        return enroll(
            invented.seeded(self.seed, "enrollment", course.index, number),
            course,
            self.learner(number),
            number=self._enrollment_id(course, number),
            first=self.first,
            days=self.days,
            retired=self.retires_at if number == _RETIRED_LEARNER else None,
            in_program=course in self.program_of(number),
        )

    def enrollments(self, course: Course, until: int | None = None) -> Iterator[Enrollment]:
        """All enrollments in a course, the instructor's first; those made before a time only, if that is given."""
        number = self._enrollment_id(course, self.learners + course.index)
        yield enroll_instructor(course, self.instructor(course), number=number, first=self.first)
        for learner in self.rosters[course.index]:
            enrollment = self.enrollment(course, learner)
            if until is None or enrollment.created < until:
                yield enrollment

    def site_enrollments(self, site: Site) -> Iterator[Enrollment]:
        """All enrollments in the courses of a site."""
        for course in self.all_courses():
            if course.site is site:
                yield from self.enrollments(course)

    def actions(self, enrollment: Enrollment, session: Session) -> Iterator[Action]:
        """All that a learner does in a session."""
        rng = invented.seeded(self.seed, "session", enrollment.id, session.number)
        return actions(rng, enrollment, session)

    def _enrollment_id(self, course: Course, number: int) -> int:
        return _FIRST_ENROLLMENT_ID + number * self.courses + course.index


class _CourseOf:
    """Returns courses by their index; the last ones are cached."""

    def __init__(self, university: University) -> None:
        self._university = university
        self._kept = lru_cache(maxsize=_COURSES_KEPT)(self._course)

    def __call__(self, index: int) -> Course:
        return self._kept(index)

    def _course(self, index: int) -> Course:
        university = self._university
        return course_of(
            index,
            seed=university.seed,
            organization=university.organization,
            first_day=university.first_day,
            chapters=university.chapters,
        )
