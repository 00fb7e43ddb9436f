"""The edX catalogue: what the Discovery API answers, and the four tables made of it; knows nothing of Dagster."""

from edxorg.lib.catalogue.answers import Course, CourseRun, Program, ProgramCourse
from edxorg.lib.catalogue.listings import PROGRAMS, Collected, Listing, Output, collect, courses_of
from edxorg.lib.catalogue.tables import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    Column,
    Table,
)

__all__ = [
    "COURSE_METADATA",
    "COURSE_RUN_METADATA",
    "PROGRAMS",
    "PROGRAM_COURSE_METADATA",
    "PROGRAM_METADATA",
    "Collected",
    "Column",
    "Course",
    "CourseRun",
    "Listing",
    "Output",
    "Program",
    "ProgramCourse",
    "Table",
    "collect",
    "courses_of",
]
