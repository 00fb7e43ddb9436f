"""The edX catalogue: what the Discovery API answers, and the four tables made of it; knows nothing of Dagster."""

from edxorg.lib.catalogue.catalogue_rows import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    CatalogueTable,
)
from edxorg.lib.catalogue.listings import PROGRAMS, ApiListing, Collected, Output, collect, courses_of
from edxorg.lib.catalogue.responses import Course, CourseRun, Program, ProgramCourse

__all__ = [
    "COURSE_METADATA",
    "COURSE_RUN_METADATA",
    "PROGRAMS",
    "PROGRAM_COURSE_METADATA",
    "PROGRAM_METADATA",
    "ApiListing",
    "CatalogueTable",
    "Collected",
    "Course",
    "CourseRun",
    "Output",
    "Program",
    "ProgramCourse",
    "collect",
    "courses_of",
]
