"""The catalogue of the university: courses, their runs and programs in the form of the Discovery API.

Courses of the packages come first. The others ended more than three years ago, so the exporter leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples import invented, times
from edxorg.samples.university import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from edxorg.samples.courses import Course
    from edxorg.samples.university import University

Record = dict[str, Any]

_SUBJECTS: Final = ("Physics", "Economics & Finance", "Computer Science", "Biology & Life Sciences", "Energy")
_LEVELS: Final = ("Introductory", "Intermediate", "Advanced")
_MAX_RUNS: Final = 6
_YEARS_AGO: Final = 10
_DATED_YEARS: Final = 9
_COURSES_BESIDES: Final = 25
_BEGINNING: Final = 1_409_529_600 * times.SECOND
"""2014-09-01: nothing in the catalogue is older."""


@dataclass(frozen=True)
class Catalogue:
    """The catalogue of a university.

    Attributes:
        university: The story.
        course_count: The number of courses; those of the packages first, as far as it goes.
        program_count: The number of programs; those with courses of the packages first.
    """

    university: University
    course_count: int
    program_count: int

    @classmethod
    def of(cls, university: University) -> Catalogue:
        """Return a catalogue of all courses in the packages, and some more."""
        own = sum(course.in_catalogue for course in university.all_courses())
        return cls(university, own + _COURSES_BESIDES, PROGRAMS)

    @cached_property
    def courses(self) -> list[Record]:
        """Return the records of `/api/v1/catalogs/…/courses/`."""
        listed = [course for course in self.university.all_courses() if course.in_catalogue]
        return [
            self._course(number, listed[number] if number < len(listed) else None)
            for number in range(self.course_count)
        ]

    @cached_property
    def programs(self) -> list[Record]:
        """Return the records of `/api/v1/programs/`."""
        return [self._program(number) for number in range(self.program_count)]

    def packed_courses(self, number: int) -> tuple[Course, ...]:
        """Return the courses of a program that are in the packages: all that it has, or none."""
        programs = self.university.programs
        return programs[number] if number < len(programs) else ()

    def _rng(self, kind: str, number: int) -> Random:
        return invented.seeded(self.university.seed, "catalogue", kind, number)

    def _course(self, number: int, packed: Course | None) -> Record:
        rng, organization = self._rng("course", number), self.university.organization
        title, short, *full = invented.sentences(rng, 6, words=12)
        (uuid,) = invented.uuids(rng, 1)
        number_in_key = f"{rng.randint(1, 24)}.{number:04d}x" if packed is None else packed.number
        course: Record = {
            "key": f"{organization}+{number_in_key}",
            "uuid": uuid,
            "title": " ".join(title.rstrip(".").split()[:4]) if packed is None else packed.root.title,
            "owners": [_organization(owner) for owner in _owners(rng, organization)],
            "short_description": f"<p>{short}</p>",
            "full_description": f"<p>{' '.join(full)}</p>",
            "level_type": rng.choice((*_LEVELS, None)),
            "marketing_url": f"https://www.edx.example/course/{uuid}",
            "image": rng.choice((None, _image(uuid))),
            "course_type": rng.choice(("verified-audit", "audit", "professional")),
            "subjects": [{"name": name, "slug": name.lower()} for name in rng.sample(_SUBJECTS, 2)],
            "prerequisites": [],
            "prerequisites_raw": rng.choice(("", "<p>Calculus.</p>")),
            "modified": _time(rng),
        }
        course["course_runs"] = sorted(self._runs(rng, course, packed), key=itemgetter("key"))
        return course

    def _runs(self, rng: Random, course: Record, packed: Course | None) -> Iterator[Record]:
        first_year = self.university.first_day.year - _YEARS_AGO
        for year in range(first_year, first_year + 1 + rng.randrange(_MAX_RUNS)):
            yield _run(rng, course, f"course-v1:{course['key']}+1T{year}")
        if packed is not None:
            dates = {"start": f"{packed.start}T00:00:00Z", "end": f"{packed.end}T00:00:00Z"}
            over = packed.end <= self.university.first_day
            yield (
                _run(rng, course, packed.course_key)
                | dates
                | {
                    "pacing_type": "self_paced" if packed.self_paced else "instructor_paced",
                    "availability": "Archived" if over else "Current",
                    "is_enrollable": True,
                    "staff": [_person(rng, packed.instructor)],
                }
            )

    def _program(self, number: int) -> Record:
        rng, organization = self._rng("program", number), self.university.organization
        own = {course.course_key for course in self.packed_courses(number)}
        chosen = [course for course in self.courses if own & {run["key"] for run in course["course_runs"]}]
        others = self.courses[sum(course.in_catalogue for course in self.university.all_courses()) :] or self.courses
        chosen = chosen or rng.sample(others, min(len(others), rng.randint(2, 5)))
        title, subtitle = invented.sentences(rng, 2, words=5)
        (uuid,) = invented.uuids(rng, 1)
        fields = ("key", "uuid", "title", "short_description", "course_type", "owners", "image")
        return {
            "uuid": uuid,
            "title": title.rstrip("."),
            "subtitle": rng.choice((subtitle, "")),
            "type": rng.choice(("MicroMasters", "XSeries", "Professional Certificate", None)),
            "status": rng.choice(("active", "active", "retired", "unpublished")),
            "marketing_slug": f"{organization.lower()}-{uuid[:8]}",
            "hidden": False,
            "courses": [{field: course[field] for field in fields} for course in chosen],
            "authoring_organizations": [_organization(key) for key in _owners(rng, organization)],
            "data_modified_timestamp": _time(rng),
        }


def _run(rng: Random, course: Record, key: str) -> Record:
    start, end, deadline = sorted(_time(rng) for _ in range(3))
    inherited = ("title", "short_description", "full_description", "marketing_url", "level_type", "image")
    return {
        **{field: course[field] for field in inherited},
        "key": key,
        "uuid": invented.uuids(rng, 1)[0],
        "content_language": rng.choice(("en-us", "es-419", None)),
        "start": start,
        "end": rng.choice((end, None)),
        "enrollment_start": None,
        "enrollment_end": rng.choice((end, None)),
        "announcement": None,
        "pacing_type": rng.choice(("instructor_paced", "self_paced")),
        "type": rng.choice(("verified", "audit", "professional")),
        "availability": "Archived",
        "status": "published",
        "is_enrollable": rng.random() < 1 / 2,
        "seats": [_seat(rng, "verified", "150.00", deadline), _seat(rng, "audit", "0.00", None)],
        "staff": [_person(rng, name) for name in invented.names(rng, rng.randint(0, 3))],
        "weeks_to_complete": rng.randint(2, 16),
        "min_effort": rng.choice((None, 2, 5)),
        "max_effort": rng.choice((None, 8, 12)),
        "estimated_hours": rng.choice((0, 40, 62.5)),
        "modified": _time(rng),
    }


def _seat(rng: Random, kind: str, price: str, deadline: str | None) -> Record:
    return {
        "type": kind,
        "price": price,
        "currency": "USD",
        "upgrade_deadline": deadline,
        "upgrade_deadline_override": None,
        "credit_provider": None,
        "credit_hours": None,
        "sku": invented.hex_ids(rng, 1, digits=7)[0].upper(),
        "bulk_sku": None,
    }


def _person(rng: Random, name: str) -> Record:
    given, family = name.split(" ")
    return {
        "uuid": invented.uuids(rng, 1)[0],
        "given_name": given,
        "family_name": rng.choice((family, None)),
        "bio": None,
    }


def _owners(rng: Random, organization: str) -> list[str]:
    """Return the organization, and now and then a second one of the same institution."""
    return [organization, f"{organization}T"] if rng.random() < 1 / 3 else [organization]


def _organization(key: str) -> Record:
    uuid = invented.as_uuid(invented.hex_of("organization", key))
    return {"uuid": uuid, "key": key, "name": f"{key}, an invented institution"}


def _image(uuid: str) -> Record:
    return {"src": f"https://media.edx.example/{uuid}.jpg", "description": None, "width": None, "height": None}


def _time(rng: Random) -> str:
    return times.zulu(_BEGINNING + int(rng.random() * _DATED_YEARS * 365 * times.DAY))
