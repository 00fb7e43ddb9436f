"""Reads the first line of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edxorg.lib.tables.table_model import COLUMNS_ADDED

MAX_COLUMNS: Final = 4096
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

_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""A column of edX's database: MySQL takes at most 64 characters. Almost no row of a learner consists of such words, so
a table whose header is missing is not read with its first row in the header's place."""


class HeaderError(ValueError):
    """The first line is no list of names that readers accept; the message says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of all lines, which the header tells.

    Attributes:
        tabs: Number of TABs in a record of plain fields: one less than columns.
        crlf: True if lines end in CR LF.
        wrapped: True if every name is in double quotes, by a writer that quotes all fields.
    """

    columns: tuple[str, ...]
    tabs: int
    crlf: bool
    wrapped: bool


def read_header(line: bytes, known_columns: frozenset[str] = frozenset()) -> Layout:
    """Read the first line, without its LF.

    The messages give the number of the column at fault. They do not quote it, since the line is a learner's record if
    the header is missing.

    Raises:
        HeaderError: A name is not like `_NAME`, is repeated (readers that ignore case, as DuckDB and most lakes do,
            would rename or drop the second one), or is taken by a column that is added; or there are too many; or
            none is among `known_columns`, if there are any.
    """
    crlf = line.endswith(b"\r")
    parts = line.removesuffix(b"\r").split(b"\t")
    if len(parts) > MAX_COLUMNS:
        raise HeaderError(f"it has {len(parts):,} columns, and MySQL allows {MAX_COLUMNS:,}")
    wrapped = all(map(_WRAPPED_NAME.fullmatch, parts))
    if wrapped:
        parts = [part[1:-1] for part in parts]
    places: dict[str, int] = {}
    for place, part in enumerate(parts, start=1):
        if not _NAME.fullmatch(part):
            raise HeaderError(
                f"column {place:,} of {len(parts):,} is not named with letters, digits and underscores, at most 64 and "
                "no digit first. The file may begin with a record instead of the header"
            )
        name = part.decode().casefold()
        if name in COLUMNS_ADDED:
            raise HeaderError(f"column {place:,} is named {name}, which is added to every table")
        if name in places:
            raise HeaderError(f"columns {places[name]:,} and {place:,} have the same name")
        places[name] = place
    if known_columns and known_columns.isdisjoint(places):
        raise HeaderError(
            f"none of its {len(parts):,} names is a column of this table. The file may begin with a record instead of "
            "the header"
        )
    columns = tuple(part.decode() for part in parts)
    return Layout(columns, len(columns) - 1, crlf, wrapped)
