"""Writes the rows of a query in the formats that users ask for."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import duckdb

_ROWS_AT_ONCE = 10_000


_NARROWEST_TABLE = 80
"""Columns of a terminal below which DuckDB makes no table."""

_ANY_WIDTH = 100_000

_RECORDS = 20


def as_table(connection: duckdb.DuckDBPyConnection, sql: str, width: int | None) -> str:
    """Return the first and the last rows: what is no printable character shows as an escape.

    Args:
        width: Columns of the terminal; `None` for a file or a pipe, where nothing is cut off.
    """
    answer = connection.sql(f"FROM (\n{sql}\n)")
    if width is not None and width < _NARROWEST_TABLE:
        text = "\n".join(_as_records(answer))
    else:
        shown = io.StringIO()
        with redirect_stdout(shown):
            answer.show(max_width=width or _ANY_WIDTH)
        text = shown.getvalue().rstrip("\n")
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in f"{text}\n")


def _as_records(answer: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """Yield the first rows for a narrow terminal: a line for each value."""
    rows = answer.limit(_RECORDS + 1).fetchall()
    for number, row in enumerate(islice(rows, _RECORDS), 1):
        yield f"row {number}"
        for name, value in zip(answer.columns, row, strict=True):
            text = "NULL" if value is None else str(value)
            yield "  " + f"{name}: {text}".replace("\n", "\\n")
    if len(rows) > _RECORDS:
        yield f"These are the first {_RECORDS} rows: --format csv gives all"
    if not rows:
        yield f"There are no rows of {', '.join(answer.columns)}"


def write_csv(connection: duckdb.DuckDBPyConnection, sql: str, file: TextIO) -> None:
    """Write all rows with a header; NULL is an empty field."""
    connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n{sql}\n)")  # noqa: S608 - the user's own
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(column[0] for column in connection.description or ())
    writer.writerows(_rows(connection))


def write_json(connection: duckdb.DuckDBPyConnection, sql: str, file: TextIO) -> None:
    """Write all rows as one array of objects."""
    # A column of the query may have any name, and would hide an alias of the whole row.
    connection.execute(f"SELECT to_json(struct_pack(*COLUMNS(*))) FROM (\n{sql}\n)")  # noqa: S608 - the user's own
    separator = "["
    for (row,) in _rows(connection):
        file.write(f"{separator}{row}")
        separator = ",\n"
    file.write("]\n" if separator != "[" else "[]\n")


def write_parquet(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """Write all rows with their types."""
    escaped = str(path).replace("'", "''")
    connection.execute(f"COPY (\n{sql}\n) TO '{escaped}' (FORMAT parquet)")


def _rows(connection: duckdb.DuckDBPyConnection) -> Iterator[Sequence[str | None]]:
    while rows := connection.fetchmany(_ROWS_AT_ONCE):
        yield from rows
