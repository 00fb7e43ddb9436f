"""Programs, courses and course runs in responses of the Discovery API, as far as they are read.

The fields are those of course-discovery's serializers. Only fields that identify a record are required: responses of
different years differ in all others, and an absent field reads like one that is null. Nothing is converted: a value of
another type than the documented one is an error, since readers of the tables rely on the types.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MAX_KEY = 255
"""Characters of a key; the keys of all rows are held in memory."""

Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]
Number = int | float
Part = TypeVar("Part")
Many = Annotated[list[Part], Field(fail_fast=True)]
"""A list that reports only its first part with an error: an error for each part takes more memory than the response."""


class ApiRecord(BaseModel):
    """A part of a response; fields that are not declared are not kept."""

    model_config = ConfigDict(strict=True, frozen=True)


class Organization(ApiRecord):
    """An institution, such as `MITx`."""

    key: Key


class Image(ApiRecord):
    """A picture of a course or run."""

    src: str | None = None
    description: str | None = None


class Subject(ApiRecord):
    """A field of study."""

    name: str | None = None


class Person(ApiRecord):
    """A teacher."""

    given_name: str | None = None
    family_name: str | None = None


class CourseRun(ApiRecord):
    """A course, held once; times are ISO 8601 text in UTC."""

    key: Key
    title: str | None = None
    short_description: str | None = None
    full_description: str | None = None
    marketing_url: str | None = None
    level_type: str | None = None
    content_language: str | None = None
    start: str | None = None
    end: str | None = None
    enrollment_start: str | None = None
    enrollment_end: str | None = None
    announcement: str | None = None
    pacing_type: str | None = None
    type: str | None = None
    availability: str | None = None
    status: str | None = None
    is_enrollable: bool | None = None
    image: Image | None = None
    seats: Many[dict[str, Any]] | None = None
    staff: Many[Person] | None = None
    weeks_to_complete: Number | None = None
    min_effort: Number | None = None
    max_effort: Number | None = None
    estimated_hours: Number | None = None
    modified: str | None = None


class Course(ApiRecord):
    """A course of a catalogue, with its runs."""

    key: Key
    title: str | None = None
    owners: Many[Organization] | None = None
    short_description: str | None = None
    full_description: str | None = None
    level_type: str | None = None
    marketing_url: str | None = None
    image: Image | None = None
    course_type: str | None = None
    subjects: Many[Subject] | None = None
    prerequisites: list[Any] | None = None
    prerequisites_raw: str | None = None
    modified: str | None = None
    course_runs: Many[CourseRun] | None = None


class ProgramCourse(ApiRecord):
    """A course as a program lists it."""

    key: Key
    title: str | None = None
    short_description: str | None = None
    course_type: str | None = None


class Program(ApiRecord):
    """A program, such as a MicroMasters, with its courses."""

    uuid: Key
    title: str | None = None
    subtitle: str | None = None
    type: str | None = None
    status: str | None = None
    authoring_organizations: Many[Organization] | None = None
    data_modified_timestamp: str | None = None
    courses: Many[ProgramCourse] | None = None
