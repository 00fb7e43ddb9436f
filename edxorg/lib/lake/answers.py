"""Writes the rows of a query in the formats that users ask for."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import duckdb

_ROWS_AT_ONCE = 10_000


def as_table(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the first and the last rows, for a terminal: what is no printable character shows as an escape."""
    text = str(connection.sql(f"FROM (\n{sql}\n)"))
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


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
