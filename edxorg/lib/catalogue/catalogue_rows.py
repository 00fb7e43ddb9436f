"""The four tables of the catalogue, and how a record becomes a row.

The fields of a row's model are the table's columns, in this order; the data dictionary says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from edxorg.lib.catalogue.responses import Number  # noqa: TC001 - the models below are built from it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edxorg.lib.catalogue.responses import (
        ApiRecord,
        Course,
        CourseRun,
        Image,
        Organization,
        Program,
        ProgramCourse,
    )


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """An output of the catalogue.

    Attributes:
        name: Last part of the asset key.
        row: Model of a row, without `retrieved_at`. Only the columns that identify a row are never null.
        stamped: True if `retrieved_at` is the last column.
    """

    name: str
    row: type[BaseModel]
    stamped: bool


class _Row(BaseModel):
    @classmethod
    def _from(cls, record: ApiRecord, **others: object) -> Self:
        """Return the row with the record's fields of the same names, and with others."""
        same = {name: getattr(record, name) for name in cls.model_fields if hasattr(record, name)}
        return cls(**(same | others))


class ProgramRow(_Row):
    """A program."""

    uuid: str
    title: str | None
    subtitle: str | None
    type: str | None
    status: str | None
    authoring_organizations: str | None
    data_modified_timestamp: str | None

    @classmethod
    def of(cls, program: Program) -> Self:
        """Return the row of a program."""
        return cls._from(program, authoring_organizations=_keys(program.authoring_organizations))


class ProgramCourseRow(BaseModel):
    """A course of a program."""

    program_uuid: str
    course_key: str
    course_title: str | None
    course_short_description: str | None
    course_type: str | None

    @classmethod
    def of(cls, program: Program, course: ProgramCourse) -> Self:
        """Return the row of a course of a program."""
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
        """Return the picture, if there is an address of one."""
        return cls(url=image.src, description=image.description) if image and image.src else None


class SubjectValue(BaseModel):
    """A field of study."""

    name: str | None


class StaffValue(BaseModel):
    """A teacher."""

    first_name: str | None
    last_name: str | None


class CourseRow(_Row):
    """A course of the catalogue."""

    course_key: str
    title: str | None
    owner: str | None
    short_description: str | None
    full_description: str | None
    level_type: str | None
    marketing_url: str | None
    image: ImageValue | None
    course_type: str | None
    subjects: list[SubjectValue] | None
    prerequisites: list[Any] | None
    prerequisites_raw: str | None
    modified: str | None

    @classmethod
    def of(cls, course: Course) -> Self:
        """Return the row of a course."""
        subjects = course.subjects
        return cls._from(
            course,
            course_key=course.key,
            owner=_keys(course.owners),
            image=ImageValue.of(course.image),
            subjects=None if subjects is None else [SubjectValue(name=subject.name) for subject in subjects],
        )


class CourseRunRow(_Row):
    """A run of a course of the catalogue."""

    course_key: str
    run_key: str
    title: str | None
    short_description: str | None
    full_description: str | None
    marketing_url: str | None
    level_type: str | None
    languages: str | None
    start_on: str | None
    end_on: str | None
    enrollment_start: str | None
    enrollment_end: str | None
    announcement: str | None
    pacing_type: str | None
    enrollment_type: str | None
    availability: str | None
    status: str | None
    is_enrollable: bool | None
    image: ImageValue | None
    seats: list[dict[str, Any]] | None
    staff: list[StaffValue] | None
    weeks_to_complete: Number | None
    min_effort: Number | None
    max_effort: Number | None
    estimated_hours: Number | None
    modified: str | None

    @classmethod
    def of(cls, course: Course, run: CourseRun) -> Self:
        """Return the row of a run of a course."""
        staff = run.staff
        return cls._from(
            run,
            course_key=course.key,
            run_key=run.key,
            languages=run.content_language,
            start_on=run.start,
            end_on=run.end,
            enrollment_type=run.type,
            image=ImageValue.of(run.image),
            staff=None
            if staff is None
            else [StaffValue(first_name=person.given_name, last_name=person.family_name) for person in staff],
        )


PROGRAM_METADATA = CatalogueTable("program_metadata", ProgramRow, stamped=True)
PROGRAM_COURSE_METADATA = CatalogueTable("program_course_metadata", ProgramCourseRow, stamped=False)
COURSE_METADATA = CatalogueTable("course_metadata", CourseRow, stamped=True)
COURSE_RUN_METADATA = CatalogueTable("course_run_metadata", CourseRunRow, stamped=True)


def _keys(organizations: Iterable[Organization] | None) -> str | None:
    return None if organizations is None else ", ".join(organization.key for organization in organizations)
