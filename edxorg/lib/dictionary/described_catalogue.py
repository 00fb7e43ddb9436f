"""The edX catalogue: programs, courses and course runs of the Discovery API."""

from __future__ import annotations

from typing import Final

from edxorg.lib.object_keys import api_data_asset
from ol_orchestrate.lib.dictionary import ADDED, Output, columns_of

_RETRIEVED_AT: Final = (
    f"retrieved_at timestamp Start of the run that asked, ISO 8601 in UTC; no part of the version. <- {ADDED}"
)


def _output(name: str, row: str, columns: str = "", *, key: str = "") -> Output:
    described = columns_of(columns, "Discovery API")
    return Output(api_data_asset(name), row, described, key=tuple(key.split()), view=f"api_{name}")


CATALOGUE: Final = (
    _output(
        "program_metadata",
        "A program such as a MicroMasters, as edX lists it.",
        f"""
        uuid                    string    Identifies the program.
        title                   string    Title as learners see it.
        subtitle                string    One sentence about the program; may be empty.
        type                    string    Kind of program, such as MicroMasters or XSeries.
        status                  string    `unpublished`, `active`, `retired` or `deleted`.
        authoring_organizations string    Keys of the institutions, joined by comma and space.
        data_modified_timestamp timestamp When edX last changed the program.
        {_RETRIEVED_AT}
        """,
        key="uuid",
    ),
    _output(
        "program_course_metadata",
        "A course of a program.",
        """
        program_uuid             string The program.
        course_key               string Key of the course, `{org}+{number}`.
        course_title             string Title of the course.
        course_short_description string HTML.
        course_type              string Slug of the course type, such as `verified-audit`.
        """,
        key="program_uuid course_key",
    ),
    _output(
        "course_metadata",
        "A course that is offered, as edX lists it.",
        f"""
        course_key        string    Key of the course, `{{org}}+{{number}}`.
        title             string    Title as learners see it.
        owner             string    Keys of the institutions that own it, joined by comma and space.
        short_description string    HTML.
        full_description  string    HTML.
        level_type        string    Introductory, Intermediate or Advanced.
        marketing_url     string    Page of the course on edX.org.
        image             object    Picture: `url`, `description`; `null` where there is no url.
        course_type       string    Slug of the course type, such as `verified-audit`.
        subjects          array     Fields of study: `name`.
        prerequisites     array     Prerequisites as a list; edX fills in the next column.
        prerequisites_raw string    Prerequisites as HTML.
        modified          timestamp When edX last changed the course.
        {_RETRIEVED_AT}
        """,
        key="course_key",
    ),
    _output(
        "course_run_metadata",
        "A run of such a course, past ones too.",
        f"""
        course_key        string    Key of the course, `{{org}}+{{number}}`.
        run_key           string    Key of the run, `course-v1:{{org}}+{{number}}+{{run}}`.
        title             string    Title of this run.
        short_description string    HTML.
        full_description  string    HTML.
        marketing_url     string    Page of the course on edX.org.
        level_type        string    Introductory, Intermediate or Advanced.
        languages         string    Language of the content, such as `en-us`.
        start_on          timestamp When the run starts.
        end_on            timestamp When the run ends.
        enrollment_start  timestamp When enrollment opens.
        enrollment_end    timestamp When enrollment closes.
        announcement      timestamp When the run was announced.
        pacing_type       string    `instructor_paced` or `self_paced`.
        enrollment_type   string    `credit`, `professional`, `verified`, `honor` or `audit`.
        availability      string    Archived, Current, Starting Soon or Upcoming; moves with the clock.
        status            string    `published`, `unpublished`, `reviewed`, `review_by_legal` or `review_by_internal`.
        is_enrollable     boolean   True if learners can enroll now.
        image             object    Picture: `url`, `description`; `null` where there is no url.
        seats             array     Ways to enroll, as the API gives them; prices are text.
        staff             array     Who teaches: `first_name`, `last_name`.
        weeks_to_complete number    Weeks.
        min_effort        number    Hours a week, at least.
        max_effort        number    Hours a week, at most.
        estimated_hours   number    Hours in all, as edX estimates them.
        modified          timestamp When edX last changed the run.
        {_RETRIEVED_AT}
        """,
        key="course_key run_key",
    ),
    _output(
        "programs_raw",
        "A program with all fields that the Discovery API gives, sorted by `uuid`. A change of `availability` alone, "
        "which moves with the clock, makes no new version.",
    ),
    _output(
        "courses_raw",
        "A course that is offered, with its runs and all fields that the Discovery API gives, sorted by `key`. A "
        "change of `availability` alone, which moves with the clock, makes no new version.",
    ),
)
"""All of them; no course data, so their names in SQL begin with `api`."""
