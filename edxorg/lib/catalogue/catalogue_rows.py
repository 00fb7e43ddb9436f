"""The four tables of the catalogue: their columns with types and descriptions, and how a record becomes a row.

The fields of a row's model are the table's columns, in this order; their descriptions are what people see.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_args, get_origin

from pydantic import BaseModel, Field

from edxorg.lib.catalogue.responses import Number  # noqa: TC001 - the models below are built from it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edxorg.lib.catalogue.responses import Course, CourseRun, Image, Organization, Program, ProgramCourse


class Column(NamedTuple):
    """A column as people see it; the type is the JSON type, every column but the keys can be null."""

    name: str
    type: str
    description: str


RETRIEVED_AT = Column("retrieved_at", "string", "Start of the run that asked, ISO 8601 in UTC; no part of the version.")


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """One output of the catalogue.

    Attributes:
        name: Last part of the asset key.
        row: Model of a row, without `retrieved_at`.
        key: Columns that identify a row, and that the rows are sorted by.
        stamped: Whether `retrieved_at` is the last column.
    """

    name: str
    row: type[BaseModel]
    key: tuple[str, ...]
    stamped: bool

    def columns(self) -> tuple[Column, ...]:
        """All columns, in order."""
        fields = self.row.model_fields.items()
        columns = tuple(Column(name, _json_type(field.annotation), field.description or "") for name, field in fields)
        return (*columns, RETRIEVED_AT) if self.stamped else columns


class ProgramRow(BaseModel):
    """A program."""

    uuid: str = Field(description="Identifies the program.")
    title: str | None = Field(description="Title as learners see it.")
    subtitle: str | None = Field(description="One sentence about the program; may be empty.")
    type: str | None = Field(description="Kind of program, such as MicroMasters or XSeries.")
    status: str | None = Field(description="unpublished, active, retired or deleted.")
    authoring_organizations: str | None = Field(description="Keys of the institutions, joined by comma and space.")
    data_modified_timestamp: str | None = Field(description="When edX last changed the program.")

    @classmethod
    def of(cls, program: Program) -> Self:
        """The row of a program."""
        return cls(
            uuid=program.uuid,
            title=program.title,
            subtitle=program.subtitle,
            type=program.type,
            status=program.status,
            authoring_organizations=_keys(program.authoring_organizations),
            data_modified_timestamp=program.data_modified_timestamp,
        )


class ProgramCourseRow(BaseModel):
    """A course of a program."""

    program_uuid: str = Field(description="The program.")
    course_key: str = Field(description="Key of the course, {org}+{number}.")
    course_title: str | None = Field(description="Title of the course.")
    course_short_description: str | None = Field(description="HTML.")
    course_type: str | None = Field(description="Slug of the course type, such as verified-audit.")

    @classmethod
    def of(cls, program: Program, course: ProgramCourse) -> Self:
        """The row of a course of a program."""
        return cls(
            program_uuid=program.uuid,
            course_key=course.key,
            course_title=course.title,
            course_short_description=course.short_description,
            course_type=course.course_type,
        )


class ImageValue(BaseModel):
    """A picture."""

    url: str
    description: str | None

    @classmethod
    def of(cls, image: Image | None) -> Self | None:
        """The picture, if there is an address of one."""
        return cls(url=image.src, description=image.description) if image and image.src else None


class SubjectValue(BaseModel):
    """A field of study."""

    name: str | None


class StaffValue(BaseModel):
    """Somebody who teaches."""

    first_name: str | None
    last_name: str | None


class CourseRow(BaseModel):
    """A course of the catalogue."""

    course_key: str = Field(description="Key of the course, {org}+{number}.")
    title: str | None = Field(description="Title as learners see it.")
    owner: str | None = Field(description="Keys of the institutions that own it, joined by comma and space.")
    short_description: str | None = Field(description="HTML.")
    full_description: str | None = Field(description="HTML.")
    level_type: str | None = Field(description="Introductory, Intermediate or Advanced.")
    marketing_url: str | None = Field(description="Page of the course on edX.org.")
    image: ImageValue | None = Field(description="Picture: url, description; null where there is no url.")
    course_type: str | None = Field(description="Slug of the course type, such as verified-audit.")
    subjects: list[SubjectValue] | None = Field(description="Fields of study: name.")
    prerequisites: list[Any] | None = Field(description="Prerequisites as a list; edX fills in the next column.")
    prerequisites_raw: str | None = Field(description="Prerequisites as HTML.")
    modified: str | None = Field(description="When edX last changed the course.")

    @classmethod
    def of(cls, course: Course) -> Self:
        """The row of a course."""
        subjects = course.subjects
        return cls(
            course_key=course.key,
            title=course.title,
            owner=_keys(course.owners),
            short_description=course.short_description,
            full_description=course.full_description,
            level_type=course.level_type,
            marketing_url=course.marketing_url,
            image=ImageValue.of(course.image),
            course_type=course.course_type,
            subjects=None if subjects is None else [SubjectValue(name=subject.name) for subject in subjects],
            prerequisites=course.prerequisites,
            prerequisites_raw=course.prerequisites_raw,
            modified=course.modified,
        )


class CourseRunRow(BaseModel):
    """A run of a course of the catalogue."""

    course_key: str = Field(description="Key of the course, {org}+{number}.")
    run_key: str = Field(description="Key of the run, course-v1:{org}+{number}+{run}.")
    title: str | None = Field(description="Title of this run.")
    short_description: str | None = Field(description="HTML.")
    full_description: str | None = Field(description="HTML.")
    marketing_url: str | None = Field(description="Page of the course on edX.org.")
    level_type: str | None = Field(description="Introductory, Intermediate or Advanced.")
    languages: str | None = Field(description="Language of the content, such as en-us.")
    start_on: str | None = Field(description="When the run starts.")
    end_on: str | None = Field(description="When the run ends.")
    enrollment_start: str | None = Field(description="When enrolment opens.")
    enrollment_end: str | None = Field(description="When enrolment closes.")
    announcement: str | None = Field(description="When the run was announced.")
    pacing_type: str | None = Field(description="instructor_paced or self_paced.")
    enrollment_type: str | None = Field(description="credit, professional, verified, honor or audit.")
    availability: str | None = Field(description="Archived, Current, Starting Soon or Upcoming; moves with the clock.")
    status: str | None = Field(description="published, unpublished, reviewed, review_by_legal or review_by_internal.")
    is_enrollable: bool | None = Field(description="Whether learners can enrol now.")
    image: ImageValue | None = Field(description="Picture: url, description; null where there is no url.")
    seats: list[dict[str, Any]] | None = Field(description="Ways to enrol, as the API gives them; prices are text.")
    staff: list[StaffValue] | None = Field(description="Who teaches: first_name, last_name.")
    weeks_to_complete: Number | None = Field(description="Weeks.")
    min_effort: Number | None = Field(description="Hours a week, at least.")
    max_effort: Number | None = Field(description="Hours a week, at most.")
    estimated_hours: Number | None = Field(description="Hours in all, as edX estimates them.")
    modified: str | None = Field(description="When edX last changed the run.")

    @classmethod
    def of(cls, course: Course, run: CourseRun) -> Self:
        """The row of a run of a course."""
        staff = run.staff
        return cls(
            course_key=course.key,
            run_key=run.key,
            title=run.title,
            short_description=run.short_description,
            full_description=run.full_description,
            marketing_url=run.marketing_url,
            level_type=run.level_type,
            languages=run.content_language,
            start_on=run.start,
            end_on=run.end,
            enrollment_start=run.enrollment_start,
            enrollment_end=run.enrollment_end,
            announcement=run.announcement,
            pacing_type=run.pacing_type,
            enrollment_type=run.type,
            availability=run.availability,
            status=run.status,
            is_enrollable=run.is_enrollable,
            image=ImageValue.of(run.image),
            seats=run.seats,
            staff=None
            if staff is None
            else [StaffValue(first_name=person.given_name, last_name=person.family_name) for person in staff],
            weeks_to_complete=run.weeks_to_complete,
            min_effort=run.min_effort,
            max_effort=run.max_effort,
            estimated_hours=run.estimated_hours,
            modified=run.modified,
        )


PROGRAM_METADATA = CatalogueTable("program_metadata", ProgramRow, ("uuid",), stamped=True)
PROGRAM_COURSE_METADATA = CatalogueTable(
    "program_course_metadata", ProgramCourseRow, ("program_uuid", "course_key"), stamped=False
)
COURSE_METADATA = CatalogueTable("course_metadata", CourseRow, ("course_key",), stamped=True)
COURSE_RUN_METADATA = CatalogueTable("course_run_metadata", CourseRunRow, ("course_key", "run_key"), stamped=True)


def _keys(organizations: Iterable[Organization] | None) -> str | None:
    return None if organizations is None else ", ".join(organization.key for organization in organizations)


def _json_type(annotation: Any) -> str:  # noqa: ANN401 - any type expression
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
    if isinstance(annotation, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return names.get(get_origin(annotation) or annotation, "object")
