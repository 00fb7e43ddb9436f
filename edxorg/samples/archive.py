"""A made-up weekly package as MIT keeps it (`mitx-YYYY-MM-DD.tar.gz`): for demos, tests and measurements.

Names, tables, dialects and oddities are those of real packages; everybody and every course in it is invented. The
content of the tar is the same on every machine for the same arguments. The gzip around it depends on the version of
the compression library.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from itertools import repeat
from math import ceil
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast

from isal import igzip

from edxorg.samples.courses import SampleCourse, sample_course
from edxorg.samples.learners import LearnerData, TableBody
from edxorg.samples.olx import MODIFIED, course_xml
from edxorg.samples.tables import STUDENT_MODULE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS_PER_COURSE: Final = 17_250
"""Rows of all tables of a course of middling size, as in MITx's own packages."""

_BYTES_PER_ROW: Final = 276
_BYTES_PER_COURSE: Final = 172_000
"""What a course takes however few rows it has: its XML, its structure, and the tar headers of its tables."""

_FEWEST_COURSES: Final = 10
_SIZES: Final = (0.4, 0.7, 1.0, 1.2, 1.7)
"""Courses differ in size; one after the other takes the next of these, in middling courses."""

_ROWS_PER_POST: Final = 53
_COMPRESSION: Final = 1

_FAILED_COURSE: Final = 5
_FAILED_AGAIN_AFTER: Final = 30
_FAILED_TABLE: Final = "student_languageproficiency"
_TRACEBACK: Final = b"""Traceback (most recent call last):
  File "exporter/main.py", line 1, in run_task
MySQLdb.OperationalError: (2013, 'Lost connection to MySQL server during query')
"""
_OPT_IN: Final = (
    b"user_id,username,email,full_name,course_id,is_opted_in_for_email,preference_set_datetime\n"
    b"1000000,dofika_0,dofika_0@example.com,Dofika Navelo,course-v1:MITx+1.100x+2012_Fall,True,2016-03-01 12:00:00\n"
)
_APPLE_DOUBLE: Final = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(139)


class SampleScale(NamedTuple):
    """How large a sample is: arguments of `write_sample_archive`."""

    courses: int
    rows_per_course: int


@dataclass
class SampleArchiveSummary:
    """What `write_sample_archive` wrote.

    The members are objects, empty tables, and what is missing, unrecognised or to be ignored.
    """

    courses: int = 0
    members: int = 0
    objects: int = 0
    """Members to deliver: tables with rows, course structures, course XML and forums."""
    empty_tables: int = 0
    """Tables with a header only."""
    missing_at_source: int = 0
    unrecognised: int = 0
    ignored: int = 0
    ambiguous: int = 0
    """Members whose course id has more than three parts."""
    rows: int = 0
    """Records of all tables, without headers."""
    rejected_rows: int = 0
    """Those among them that cannot be delivered, because they or their neighbours are broken."""
    bytes_unpacked: int = 0
    bytes_compressed: int = 0


def scale_for(bytes_unpacked: int) -> SampleScale:
    """How many courses of which size make an archive of about so many bytes before compression.

    Small archives have at least ten small courses, so that most oddities are in them; the smallest takes 1.8 MB.
    """
    middling = _BYTES_PER_COURSE + ROWS_PER_COURSE * _BYTES_PER_ROW
    courses = max(_FEWEST_COURSES, round(bytes_unpacked / middling))
    rows = (bytes_unpacked / courses - _BYTES_PER_COURSE) / _BYTES_PER_ROW
    return SampleScale(courses, max(1, round(rows)))


def write_sample_archive(
    out: Path,
    *,
    courses: int,
    seed: int,
    rows_per_course: int = ROWS_PER_COURSE,
    huge_table_bytes: int = 0,
    progress: Callable[[SampleArchiveSummary], None] | None = None,
) -> SampleArchiveSummary:
    """Write a package. Nothing larger than one course's largest table is held in memory.

    With 120 courses of the usual size it has 5,222 members, 2.07 million rows and 593 MB, about 104 MB compressed.

    Args:
        out: The file; there only when it is complete, and replaced if it exists.
        courses: How many, at least 1. The oddities are in the first six, and some again in later ones.
        seed: Of the random numbers.
        rows_per_course: Rows of a course's tables, on average.
        huge_table_bytes: If more than nothing, `courseware_studentmodule` of the first course repeats its rows until
            it has at least this size.
        progress: Called with what was written so far, after every member and every copy of the repeated rows.

    Raises:
        OSError: The file cannot be written.
    """
    summary = SampleArchiveSummary()
    learners = LearnerData(seed)
    partial = out.with_name(f"{out.name}.part")
    try:
        with partial.open("wb") as file:
            with cast(
                "BinaryIO",
                igzip.IGzipFile(filename="", fileobj=file, mode="wb", compresslevel=_COMPRESSION, mtime=0),  # type: ignore[no-untyped-call]
            ) as packed:
                package = _Package(packed, summary, progress)
                package.add_strays(sample_course(0, seed=seed, chapters=1))
                for index in range(courses):
                    course = sample_course(index, seed=seed, chapters=2 + index % 3)
                    rows = round(rows_per_course * _SIZES[index % len(_SIZES)])
                    package.add_course(course, learners, rows, huge_table_bytes if index == 0 else 0)
                package.end()
            summary.bytes_compressed = file.tell()
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return summary


class _Package:
    """The tar inside, and the count of what is in it."""

    def __init__(
        self,
        packed: BinaryIO,
        summary: SampleArchiveSummary,
        progress: Callable[[SampleArchiveSummary], None] | None,
    ) -> None:
        self._packed, self._summary, self._progress = packed, summary, progress

    def add_strays(self, course: SampleCourse) -> None:
        """What belongs to no course, or is no data."""
        self._add(f"._{course.course_id}-auth_user-{course.environment}.sql", _APPLE_DOUBLE)
        self._summary.ignored += 1
        self._add(f"{course.organization}-email_opt_in-{course.environment}.csv", _OPT_IN)
        self._summary.unrecognised += 1

    def add_course(self, course: SampleCourse, learners: LearnerData, rows: int, huge_table_bytes: int) -> None:
        """All files of a course."""
        before = self._summary.members
        for table, body in learners.tables(course, rows):
            name = f"{table.folder}{course.course_id}-{table.name}-{course.environment}.sql"
            if course.index % _FAILED_AGAIN_AFTER == _FAILED_COURSE and table.name == _FAILED_TABLE:
                self._add(f"{name}.failed", _TRACEBACK)
                self._summary.missing_at_source += 1
            elif table.name == STUDENT_MODULE:
                self._add_table(name, body, repeats=max(1, ceil(huge_table_bytes / len(body.data))))
            else:
                self._add_table(name, body, repeats=1)
        self._add(f"{course.course_id}-course_structure-{course.environment}.json", course.structure())
        self._add(f"{course.course_id}-course-{course.environment}.xml.tar.gz", course_xml(course))
        self._add(f"{course.course_id}-{course.site}.mongo", learners.forum(course, posts=1 + rows // _ROWS_PER_POST))
        self._summary.objects += 3
        self._summary.courses += 1
        if course.ambiguous:
            self._summary.ambiguous += self._summary.members - before

    def _add_table(self, name: str, body: TableBody, repeats: int) -> None:
        if body.rows:
            self._summary.objects += 1
        else:
            self._summary.empty_tables += 1
        self._summary.rows += body.rows * repeats
        self._summary.rejected_rows += body.rejected * repeats
        self._add(name, body.header, *repeat(body.data, repeats))

    def _add(self, name: str, *pieces: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = sum(map(len, pieces)), MODIFIED, 0o644
        self._write(member.tobuf(tarfile.GNU_FORMAT, "utf-8"))
        for piece in pieces:
            self._write(piece)
        self._write(bytes(-member.size % tarfile.BLOCKSIZE))
        self._summary.members += 1

    def end(self) -> None:
        """Write what marks the end of a tar, which is a whole number of records long."""
        end = 2 * tarfile.BLOCKSIZE
        self._write(bytes(end + -(self._summary.bytes_unpacked + end) % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._packed.write(data)
        self._summary.bytes_unpacked += len(data)
        if self._progress is not None:
            self._progress(self._summary)
