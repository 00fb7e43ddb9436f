"""Turns the pages of a listing into its two tables, whole or not at all.

A listing can change while it is read: a record that is added or taken away moves the others across the borders of the
pages, so that one comes twice or never. Records are therefore counted by their key, and compared with the largest
total that the API named: a run that gets fewer has missed some, and must be repeated.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar

from pydantic import BaseModel

from edxorg.lib.catalogue.catalogue_rows import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    CatalogueTable,
    CourseRow,
    CourseRunRow,
    ProgramCourseRow,
    ProgramRow,
)
from edxorg.lib.catalogue.responses import Course, Program
from ol_orchestrate.lib.errors import BadInputError, SourceChangedError
from ol_orchestrate.lib.openedx_api import Page
from ol_orchestrate.lib.record_spool import RecordSpool
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

Record = TypeVar("Record", bound=BaseModel)

MAX_ROWS = 200_000
"""Limit of the rows of a listing with all its parts, whose keys are held in memory; edX has some 20,000."""


class RecordRows(NamedTuple):
    """The rows of one record.

    Attributes:
        row: The record's row in the first table.
        parts: Keys and rows of its parts; None if the record lacks the list of them.
    """

    key: str
    row: BaseModel
    parts: Sequence[tuple[str, BaseModel]] | None

    @classmethod
    def of_program(cls, program: Program) -> Self:
        """Return the rows of a program and its courses."""
        courses = program.courses
        parts = None if courses is None else [(course.key, ProgramCourseRow.of(program, course)) for course in courses]
        return cls(program.uuid, ProgramRow.of(program), parts)

    @classmethod
    def of_course(cls, course: Course) -> Self:
        """Return the rows of a course and its runs."""
        runs = course.course_runs
        parts = None if runs is None else [(run.key, CourseRunRow.of(course, run)) for run in runs]
        return cls(course.key, CourseRow.of(course), parts)


@dataclass(frozen=True, slots=True)
class ApiListing(Generic[Record]):
    """A listing of the Discovery API, and the tables made of its records.

    Attributes:
        path: Path below the API's address.
        page: Model of its pages.
        rows: Makes the rows of a record.
        records: Table of the records.
        parts: Table of their parts.
    """

    path: str
    page: type[Page[Record]]
    rows: Callable[[Record], RecordRows]
    records: CatalogueTable
    parts: CatalogueTable


PROGRAMS = ApiListing(
    path="/api/v1/programs/",
    page=Page[Program],
    rows=RecordRows.of_program,
    records=PROGRAM_METADATA,
    parts=PROGRAM_COURSE_METADATA,
)
"""All programs that the client may see."""


def courses_of(catalogue: int) -> ApiListing[Course]:
    """Return the listing of a catalogue's courses; number 10 holds those of MITx.

    A catalogue lists courses with a run that can be enrolled in, so a course that is gone from it is not deleted.
    """
    return ApiListing(
        path=f"/api/v1/catalogs/{catalogue}/courses/",
        page=Page[Course],
        rows=RecordRows.of_course,
        records=COURSE_METADATA,
        parts=COURSE_RUN_METADATA,
    )


class Output(NamedTuple):
    """One table, ready to be stored.

    Attributes:
        content: JSON lines in UTF-8, sorted by key.
        version: SHA-256 of the lines without `retrieved_at`, lower-case hex.
        row_count: Number of lines.
        repeated: Number of rows that came more than once; the last one is kept.
    """

    table: CatalogueTable
    content: Spool
    version: str
    row_count: int
    repeated: int


class Collected(NamedTuple):
    """A whole listing; a context manager that gives the outputs' space back."""

    records: Output
    parts: Output

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.records.content.close()
        self.parts.content.close()


def collect(listing: ApiListing[Record], pages: Iterable[Page[Record]], *, retrieved_at: datetime) -> Collected:
    """Read all pages and write both tables.

    One page and the keys of all rows are held in memory, and the rows in spools.

    Args:
        listing: The listing that the pages belong to.
        pages: The pages from first to last, as `OpenEdxApi.pages` yields them.
        retrieved_at: Start of the run.

    Raises:
        SourceChangedError: Fewer records arrived than the API announced.
        BadInputError: There is no record at all, or none has a list of parts: a lost permission or a new form of the
            API is more likely than an empty catalogue, and must not replace a whole one. Or there are more than
            `MAX_ROWS` rows.
    """
    with closing(_Arrivals()) as arrivals:
        announced, records_repeated, parts_repeated, row_count, has_parts = 0, 0, 0, 0, False
        for page in pages:
            announced = max(announced, page.count)
            for record in page.results:
                rows = listing.rows(record)
                records_repeated += rows.key in arrivals.entries
                parts_repeated += arrivals.keep(rows)
                has_parts = has_parts or rows.parts is not None
                row_count += 1 + len(rows.parts or [])
                if row_count > MAX_ROWS:
                    message = f"{listing.path}: over {MAX_ROWS:,} rows. Nothing is replaced; check the API's address"
                    raise BadInputError(message)
        arrived = len(arrivals.entries)
        if arrived < announced:
            message = (
                f"{listing.path}: {arrived} of {announced} records arrived, {records_repeated} more were repetitions;"
                " the listing changed while it was read. Nothing is replaced, run again"
            )
            raise SourceChangedError(message)
        if not has_parts:
            lack = f"no record has rows for {listing.parts.name}" if arrived else "there is no record"
            message = f"{listing.path}: {lack}. Nothing is replaced; check this client's permissions"
            raise BadInputError(message)
        stamp = f',"retrieved_at":"{retrieved_at.astimezone(UTC).isoformat()}"}}'.encode()
        entries = [entry for _, entry in sorted(arrivals.entries.items())]
        parts = (number for entry in entries for _, number in sorted(entry.parts.items()))
        return Collected(
            _write(listing.records, arrivals.read(entry.row for entry in entries), stamp, records_repeated),
            _write(listing.parts, arrivals.read(parts), stamp, parts_repeated),
        )


class _Entry(NamedTuple):
    row: int
    parts: dict[str, int]


class _Arrivals:
    """Rows in the order of arrival, in a spool, and the number of the latest one of each key."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self._spool = RecordSpool()

    def keep(self, rows: RecordRows) -> int:
        """Store a record and its parts in place of an earlier arrival; return the number of repeated parts."""
        parts = {key: self._store(part) for key, part in rows.parts or []}
        self.entries[rows.key] = _Entry(self._store(rows.row), parts)
        return len(rows.parts or []) - len(parts)

    def _store(self, row: BaseModel) -> int:
        return self._spool.append([row.model_dump_json().encode()])

    def read(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Yield the rows with these numbers, each a JSON object."""
        return map(self._spool.read, numbers)

    def close(self) -> None:
        self._spool.close()


def _write(table: CatalogueTable, rows: Iterable[bytes], stamp: bytes, repeated: int) -> Output:
    """Write rows as lines; `stamp` takes the place of the closing brace where the table is stamped."""
    content, version, count = Spool(), hashlib.sha256(), 0
    for row in rows:
        version.update(row + b"\n")
        content.write((row[:-1] + stamp if table.stamped else row) + b"\n")
        count += 1
    return Output(table, content, version.hexdigest(), count, repeated)
