"""A table's first line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edxorg.lib.tables.model import COLUMNS_ADDED

MOST_COLUMNS: Final = 4096
"""MySQL's own limit for one table; the dumps come from MySQL."""

STUDENTMODULE: Final = (
    "id",
    "module_type",
    "module_id",
    "student_id",
    "state",
    "grade",
    "created",
    "modified",
    "max_grade",
    "done",
    "course_id",
)
"""The fixed header of `courseware_studentmodule`, which is written by another program than the other tables and puts a
backslash before a raw LF or TAB (openedx/edx-analytics-pipeline, `database_exports.py` and `csv_util.py`)."""

_WRAPPED_NAME: Final = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')


class HeaderError(ValueError):
    """The first line is no list of names that readers would take; the message says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says about all lines.

    Attributes:
        columns: The names.
        tabs: TABs in a record of plain fields: one less than columns.
        crlf: Whether lines end in CR LF.
        wrapped: Whether every name is in double quotes, as a writer does that puts them around everything.
    """

    columns: tuple[str, ...]
    tabs: int
    crlf: bool
    wrapped: bool


def read_header(line: bytes) -> Layout:
    """Read the first line, without its LF.

    Raises:
        HeaderError: A name is missing, repeated (readers that ignore case, as DuckDB and most lakes do, would rename
            or drop the second one), taken by a column that is added, or not printable; or there are too many.
    """
    crlf = line.endswith(b"\r")
    parts = line.removesuffix(b"\r").split(b"\t")
    if len(parts) > MOST_COLUMNS:
        raise HeaderError(f"it has {len(parts):,} columns, and MySQL allows {MOST_COLUMNS:,}")
    wrapped = all(map(_WRAPPED_NAME.fullmatch, parts))
    if wrapped:
        parts = [part[1:-1].replace(b'""', b'"') for part in parts]
    try:
        columns = tuple(part.decode() for part in parts)
    except UnicodeDecodeError:
        raise HeaderError("it is no UTF-8") from None
    taken = set(COLUMNS_ADDED)
    for name in columns:
        if not name:
            raise HeaderError("a column has no name")
        if not name.isprintable() or '"' in name:
            raise HeaderError(f"{name[:80]!a} is no name of a column")
        if name.casefold() in taken:
            kind = "is added to every table" if name.casefold() in COLUMNS_ADDED else "is there twice"
            raise HeaderError(f"the column {name[:80]!r} {kind}")
        taken.add(name.casefold())
    return Layout(columns, len(columns) - 1, crlf, wrapped)
