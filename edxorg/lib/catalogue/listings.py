"""Turns the pages of a listing into its two tables and its raw records, whole or not at all.

A listing can change while it is read: a record that is added or taken away moves the others across the borders of the
pages, so that one comes twice or never. Records are therefore counted by their key, and compared with the largest
total that the API named: a run that gets fewer has missed some, and must be repeated.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

import msgspec
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

Record = TypeVar("Record", bound=BaseModel)

MAX_ROWS = 200_000
"""Limit of the rows of a listing with all its parts, whose keys are held in memory; edX has some 20,000."""

PROGRAMS_RAW = "programs_raw"
COURSES_RAW = "courses_raw"

MOVES_WITH_THE_CLOCK = frozenset({"availability"})
"""Fields that the API derives from the time of the request, which make no new version of a raw record."""


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
        raw: Name of the output of the records as the API gives them.
    """

    path: str
    page: type[Page[Record]]
    rows: Callable[[Record], RecordRows]
    records: CatalogueTable
    parts: CatalogueTable
    raw: str


PROGRAMS = ApiListing(
    path="/api/v1/programs/",
    page=Page[Program],
    rows=RecordRows.of_program,
    records=PROGRAM_METADATA,
    parts=PROGRAM_COURSE_METADATA,
    raw=PROGRAMS_RAW,
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
        raw=COURSES_RAW,
    )


class Output(NamedTuple):
    """An output, ready to be stored.

    Attributes:
        name: Last part of the asset key.
        content: JSON lines in UTF-8, sorted by key.
        version: SHA-256 of the lines without what moves with the clock, lower-case hex.
        row_count: Number of lines.
        repeated: Number of rows that came more than once; the last one is kept.
    """

    name: str
    content: Spool
    version: str
    row_count: int
    repeated: int


class Collected(NamedTuple):
    """A whole listing; a context manager that gives the outputs' space back."""

    records: Output
    parts: Output
    raw: Output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for output in self:
            output.content.close()


def collect(listing: ApiListing[Record], pages: Iterable[Page[Record]], *, retrieved_at: datetime) -> Collected:
    """Read all pages and write all outputs.

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
            for record, text in zip(page.results, page.results_as_sent(), strict=True):
                rows = listing.rows(record)
                records_repeated += rows.key in arrivals.entries
                parts_repeated += arrivals.keep(rows, text)
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
            _write_raw(listing.raw, arrivals.read(entry.text for entry in entries), records_repeated),
        )


class _Entry(NamedTuple):
    row: int
    text: int
    parts: dict[str, int]


class _Arrivals:
    """Rows and texts of records in the order of arrival, in a spool, and the latest ones of each key."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self._spool = RecordSpool()

    def keep(self, rows: RecordRows, text: bytes) -> int:
        """Store a record and its parts in place of an earlier arrival; return the number of repeated parts."""
        parts = {key: self._store(part) for key, part in rows.parts or []}
        self.entries[rows.key] = _Entry(self._store(rows.row), self._spool.append([text]), parts)
        return len(rows.parts or []) - len(parts)

    def _store(self, row: BaseModel) -> int:
        return self._spool.append([row.model_dump_json().encode()])

    def read(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Yield the rows or texts with these numbers, each a JSON object."""
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
    return Output(table.name, content, version.hexdigest(), count, repeated)


def _write_raw(name: str, texts: Iterable[bytes], repeated: int) -> Output:
    content, version, count = Spool(), hashlib.sha256(), 0
    for text in texts:
        version.update(msgspec.json.encode(_lasting(_with_all_digits(text)), order="deterministic") + b"\n")
        content.write(text + b"\n")
        count += 1
    return Output(name, content, version.hexdigest(), count, repeated)


_with_all_digits = msgspec.json.Decoder(float_hook=str).decode


def _lasting(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the part of a JSON value that does not move with the clock."""
    match value:
        case dict():
            return {name: _lasting(each) for name, each in value.items() if name not in MOVES_WITH_THE_CLOCK}
        case list():
            return [_lasting(each) for each in value]
        case _:
            return value
