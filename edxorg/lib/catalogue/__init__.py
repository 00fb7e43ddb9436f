"""The edX catalogue: the responses of the Discovery API, the four tables made of them, and all their records.

- `responses.py`: programs, courses and runs as the API gives them;
- `listings.py`: from all pages of a listing to its two tables and its raw records;
- `catalogue_rows.py`: the columns of the tables, and from a record to its row.
"""

from edxorg.lib.catalogue.catalogue_rows import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    CatalogueTable,
)
from edxorg.lib.catalogue.listings import (
    COURSES_RAW,
    PROGRAMS,
    PROGRAMS_RAW,
    ApiListing,
    Collected,
    Output,
    collect,
    courses_of,
)
from edxorg.lib.catalogue.responses import Course, CourseRun, Program, ProgramCourse

__all__ = [
    "COURSES_RAW",
    "COURSE_METADATA",
    "COURSE_RUN_METADATA",
    "PROGRAMS",
    "PROGRAMS_RAW",
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
