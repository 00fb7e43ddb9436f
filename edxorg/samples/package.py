"""Makes the members of a weekly package for any container, one after the other and never held whole."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, cast

from edxorg.samples import times
from edxorg.samples.courses import Site
from edxorg.samples.hazards import STRUCK_TABLES, strike_row
from edxorg.samples.learner_progress import Progress, progress_of
from edxorg.samples.sample_forum import Forum
from edxorg.samples.sample_olx import APPLE_DOUBLE, broken_problem, course_xml
from edxorg.samples.sample_tables import STUDENT_MODULE, TABLES, VERIFICATIONS
from edxorg.samples.table_rows import CourseRows, certificate_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import date

    from edxorg.samples.courses import Course
    from edxorg.samples.sample_tables import Table
    from edxorg.samples.story import Enrollment
    from edxorg.samples.university import University

_IN_MEMORY: Final = 1 << 20
_PIECE: Final = 1 << 18
_ROWS_HELD: Final = 500

_FAILED_COURSE: Final = 1
_FAILED_AGAIN_AFTER: Final = 30
_FAILED_TABLE: Final = "student_languageproficiency"
_TRACEBACK: Final = b"""Traceback (most recent call last):
  File "exporter/main.py", line 1, in run_task
MySQLdb.OperationalError: (2013, 'Lost connection to MySQL server during query')
"""
_TWIN_TABLE: Final = "student_courseaccessrole"
_SHRUNKEN_TABLE: Final = "user_api_usercoursetag"
_OPT_IN_COLUMNS: Final = (
    "user_id",
    "username",
    "email",
    "full_name",
    "course_id",
    "is_opted_in_for_email",
    "preference_set_datetime",
)


class PackageMember(NamedTuple):
    """A file of a package.

    Attributes:
        name: Its path.
        size: Its bytes.
        pieces: Its content; to be read before the next member is asked for.
    """

    name: str
    size: int
    pieces: Iterator[bytes]


@dataclass
class TableTruth:
    """The truth about one table of a course: its records, those to reject, by reason, and those that it has lost."""

    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    lost: int = 0


@dataclass
class CourseTruth:
    """The truth about one course in one archive, counted from the story.

    Attributes:
        course_key: The key in the tables.
        ambiguous: True if the file names can be taken apart in more than one way.
        blocks, videos: Numbers of blocks and videos.
        tables: Tables by name; empty ones, and those that could not be exported, have no rows.
        enrollments: Enrollments by mode.
        active: Enrollments that were not given up.
        certificates: Certificates by status.
        posts: Posts by `_type`.
        forum_rejected: Lines of the forum that are no posts.
        broken_blocks: Blocks of the structure whose OLX cannot be read.
        has_old_olx: True if the OLX names its run `course`, as Studio did until 2018.
    """

    course_key: str
    ambiguous: bool
    blocks: int
    videos: int
    tables: dict[str, TableTruth] = field(default_factory=dict)
    enrollments: Counter[str] = field(default_factory=Counter)
    active: int = 0
    certificates: Counter[str] = field(default_factory=Counter)
    posts: Counter[str] = field(default_factory=Counter)
    forum_rejected: int = 0
    broken_blocks: int = 0
    has_old_olx: bool = False


@dataclass
class ArchiveTruth:
    """The truth about one archive, counted while it was written.

    Attributes:
        by_course: The courses, by course id and site (`MITx-6.00x-2012_Fall|prod`).
        members: All members: the sum of the next six.
        objects: Members of courses to deliver: tables with rows, course structures, course XML and forums.
        email_opt_in: Files with an organization's e-mail preferences.
        empty_tables: Tables with a header only.
        missing_at_source: Notes that a table could not be exported.
        unrecognised: Members that fit no known name.
        ignored: Members that are no data.
        twins: Members to deliver that have the name of an earlier one, which they replace.
        ambiguous: Members whose course id has more than three parts.
        vanished: Courses that the archive before had.
        rows: Records of all tables, without headers.
        rejected_rows: Records among them to reject.
        bytes_unpacked, bytes_compressed: Sizes of the file.
    """

    by_course: dict[str, CourseTruth] = field(default_factory=dict)
    members: int = 0
    objects: int = 0
    email_opt_in: int = 0
    empty_tables: int = 0
    missing_at_source: int = 0
    unrecognised: int = 0
    ignored: int = 0
    twins: int = 0
    ambiguous: int = 0
    vanished: list[str] = field(default_factory=list)
    rows: int = 0
    rejected_rows: int = 0
    bytes_unpacked: int = 0
    bytes_compressed: int = 0

    @property
    def courses(self) -> int:
        """The number of courses."""
        return len(self.by_course)


class Spool:
    """The content of a member while it grows; on disk, if it becomes large."""

    def __init__(self) -> None:
        self._file = cast("IO[bytes]", SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - see `close`
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self.size += len(data)

    def pieces(self, repeats: int = 1) -> Iterator[bytes]:
        """Yield the whole content, so many times."""
        for _ in range(repeats):
            self._file.seek(0)
            while piece := self._file.read(_PIECE):
                yield piece

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


class _TableFile:
    """A table of a course while it grows."""

    def __init__(self, table: Table, truth: TableTruth, hazard: str | None, most_rows: int | None) -> None:
        self.table, self.truth, self.body = table, truth, Spool()
        self._hazard, self._most_rows = hazard, most_rows
        self._held: list[str] = []

    def add(self, row: str) -> None:
        """Append a row."""
        number = self.truth.rows
        if number == self._most_rows:
            self.truth.lost += 1
            return
        self.truth.rows += 1
        if self._hazard is not None:
            self.body.write(strike_row(self._hazard, number, row, self.truth.rejected))
            return
        self._held.append(row)
        if len(self._held) == _ROWS_HELD:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held."""
        if self._held:
            self.body.write(("\n".join(self._held) + "\n").encode())
            self._held.clear()


class Package:
    """A weekly package of a university."""

    def __init__(self, university: University, day: date, *, huge_table_bytes: int = 0) -> None:
        """Pack the state before a day.

        Args:
            university: The story.
            day: The date of the package.
            huge_table_bytes: If more than nothing, `courseware_studentmodule` of the first course repeats its rows
                until it has at least this size.
        """
        self._university, self._until = university, times.midnight(day)
        self._huge_table_bytes = huge_table_bytes
        self._hazards = university.hazards
        self._last = day == university.archive_days[-1]
        self.truth = ArchiveTruth()
        """The truth about the members so far; complete after the last member."""

    def members(self) -> Generator[PackageMember]:
        """All members, in the order of the package."""
        opt_in = Spool()
        opt_in.write(_csv_line(_OPT_IN_COLUMNS))
        try:
            yield from self._strays()
            for course in self._university.all_courses():
                if self._vanished(course):
                    self.truth.vanished.append(course.partition)
                else:
                    yield from self._course_members(course, opt_in)
            self.truth.email_opt_in += 1
            name = f"{self._university.organization}-email_opt_in-prod-analytics.csv"
            yield self._member(name, opt_in.size, opt_in.pieces())
        finally:
            opt_in.close()

    def _vanished(self, course: Course) -> bool:
        last_course = course.index == self._university.courses - 1
        return "vanished-course" in self._hazards and self._last and last_course

    def _strays(self) -> Iterator[PackageMember]:
        organization = self._university.organization
        if "apple-double" in self._hazards:
            self.truth.ignored += 1
            yield self._whole(f"._{organization}-email_opt_in-prod-analytics.csv", APPLE_DOUBLE)
        if "stray-member" in self._hazards:
            self.truth.unrecognised += 1
            yield self._whole("README.txt", b"Nothing that this package was made for.\n")

    def _note_preference(self, enrollment: Enrollment, opt_in: Spool) -> None:
        """Note a learner's choice about e-mail when enrolling; the platform forgets it when it retires the learner."""
        learner = enrollment.learner_at(self._until)
        if enrollment.course.site is Site.PROD and not enrollment.staff and learner is enrollment.learner:
            about = (learner.username, learner.email, learner.name, enrollment.course.course_key)
            preference = (str(enrollment.turn % 2 == 0), times.mysql(enrollment.created))
            opt_in.write(_csv_line((enrollment.user_id, *about, *preference)))

    def _course_members(self, course: Course, opt_in: Spool) -> Iterator[PackageMember]:
        before = self.truth.members
        course_truth = CourseTruth(course.course_key, course.ambiguous, len(course.blocks), course.videos)
        self.truth.by_course[course.partition] = course_truth
        files, posts = self._tables(course, course_truth), Spool()
        try:
            self._fill(course, course_truth, files, posts, opt_in)
            yield from self._table_members(course, files)
            course_truth.broken_blocks = int("broken-olx" in self._hazards and broken_problem(course) is not None)
            course_truth.has_old_olx = "old-olx" in self._hazards and course.index == 0
            structure, xml = course.structure(), course_xml(course, self._hazards)
            yield self._whole(f"{course.course_id}-course_structure-{course.environment}.json", structure)
            yield self._whole(f"{course.course_id}-course-{course.environment}.xml.tar.gz", xml)
            yield self._member(f"{course.course_id}-{course.site}.mongo", posts.size, posts.pieces())
        finally:
            for spool in (posts, *(file.body for file in files.values())):
                spool.close()
        self.truth.objects += 3
        if course.ambiguous:
            self.truth.ambiguous += self.truth.members - before

    def _fill(
        self, course: Course, course_truth: CourseTruth, files: dict[str, _TableFile], posts: Spool, opt_in: Spool
    ) -> None:
        """Write the tables and the forum of a course, and its learners' e-mail preferences."""
        forum = Forum(self._university, course, self._until)
        adders = {name: file.add for name, file in files.items()}
        rows = CourseRows(self._university, course, self._until, adders)
        rows.add_course()
        for enrollment in self._university.enrollments(course, self._until):
            progress = progress_of(self._university, enrollment, self._until)
            rows.add(enrollment, progress)
            self._count_enrollment(course_truth, enrollment, progress)
            self._note_preference(enrollment, opt_in)
            for line in forum.lines(enrollment, progress):
                posts.write(line)
        rows.end()
        for line in forum.end():
            posts.write(line)
        course_truth.posts = forum.posts
        if "forum-garbage" in self._hazards and course.index == 0:
            posts.write(b"2024-01-17T03:00:00.000+0000\tconnected to: localhost\n")
            course_truth.forum_rejected += 1

    def _count_enrollment(self, course_truth: CourseTruth, enrollment: Enrollment, progress: Progress) -> None:
        course_truth.enrollments[enrollment.mode_at(self._until)] += 1
        course_truth.active += enrollment.is_active_at(self._until)
        if certificate := certificate_of(enrollment, progress, self._until):
            course_truth.certificates[certificate[1]] += 1

    def _tables(self, course: Course, course_truth: CourseTruth) -> dict[str, _TableFile]:
        names = [name for name in TABLES if name != VERIFICATIONS or course.index % 2 == 0]
        files = {}
        for name in names:
            hazard = STRUCK_TABLES.get(name) if course.index == 0 else None
            shrunken = (
                "shrunken-table" in self._hazards and self._last and course.index == 0 and name == _SHRUNKEN_TABLE
            )
            course_truth.tables[name] = TableTruth()
            files[name] = _TableFile(
                TABLES[name],
                course_truth.tables[name],
                hazard if hazard in self._hazards else None,
                1 if shrunken else None,
            )
        return files

    def _table_members(self, course: Course, files: dict[str, _TableFile]) -> Iterator[PackageMember]:
        failed = course.index % _FAILED_AGAIN_AFTER == _FAILED_COURSE
        for name, file in files.items():
            path = f"{file.table.folder}{course.course_id}-{name}-{course.environment}.sql"
            file.flush()
            repeats = 1
            if failed and name == _FAILED_TABLE:
                self.truth.missing_at_source += 1
                file.truth.rows = 0
                yield self._whole(f"{path}.failed", _TRACEBACK)
                continue
            if name == STUDENT_MODULE and course.index == 0 and self._huge_table_bytes and file.body.size:
                repeats = -(-self._huge_table_bytes // file.body.size)
            if "twin-members" in self._hazards and course.index == 0 and name == _TWIN_TABLE:
                yield self._older_twin(path, file)
            file.truth.rows *= repeats
            if file.truth.rows:
                self.truth.objects += 1
            else:
                self.truth.empty_tables += 1
            self.truth.rows += file.truth.rows
            self.truth.rejected_rows += file.truth.rejected.total()
            header = file.table.header
            yield self._member(path, len(header) + file.body.size * repeats, _with_header(header, file.body, repeats))

    def _older_twin(self, name: str, file: _TableFile) -> PackageMember:
        """Return a table as it was when it had only one row."""
        first_row, *_ = b"".join(file.body.pieces()).splitlines(keepends=True)
        self.truth.twins += 1
        self.truth.objects += 1
        self.truth.rows += 1
        return self._whole(name, file.table.header + first_row)

    def _whole(self, name: str, content: bytes) -> PackageMember:
        return self._member(name, len(content), iter([content]))

    def _member(self, name: str, size: int, pieces: Iterator[bytes]) -> PackageMember:
        self.truth.members += 1
        return PackageMember(name, size, pieces)


def _with_header(header: bytes, body: Spool, repeats: int) -> Iterator[bytes]:
    yield header
    yield from body.pieces(repeats)


def _csv_line(values: tuple[Any, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue().encode()
