"""Tables in each dialect that edX has used, through the converter, and back through readers that users have."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edxorg.lib.tables import Dialect, Escapes
from edxorg_tests.support.tables import (
    Converted,
    Value,
    convert,
    csv_all,
    csv_minimal,
    csv_value,
    exporter,
    exporter_value,
    mysql_batch,
    mysql_batch_value,
    mysqlpipe,
    mysqlpipe_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Writer = Callable[[Sequence[Sequence[Value]]], bytes]
    ValueWriter = Callable[[Value], str]

HEADER = ["id", "meta", "bio", "goals", "created"]

WRITERS = [
    pytest.param(exporter, exporter_value, id="exporter"),
    pytest.param(mysql_batch, mysql_batch_value, id="mysql-batch"),
    pytest.param(mysqlpipe, mysqlpipe_value, id="mysqlpipe"),
    pytest.param(csv_minimal, csv_value, id="csv-minimal"),
    pytest.param(csv_all, csv_value, id="csv-all"),
]

CONTROLS = [chr(code) for code in range(32)]
ODD = [
    '"',
    '""',
    "\\",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "'",
    "#",
    ",",
    ";",
    "|",
    " ",
    "é",
    "𝄞",
    "a",
    "{",
    "}",
    "NULL",
]
anything = st.lists(st.sampled_from(CONTROLS + ODD), max_size=5).map("".join)
random_tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(anything, min_size=columns, max_size=columns), min_size=1, max_size=8)
)

WORDS = [
    "Carpe",
    "diem",
    '"Carpe diem"',
    '"so',
    'to speak"',
    "5'",
    '2"',
    "C:\\temp",
    "a\\",
    "\\",
    "é",
    "\u2028",
    "~",
    "",
]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)
texts = st.tuples(st.sampled_from([" ", "\n", "\r\n", "\t", "\r"]), words).map(
    lambda each: each[0].join(["x", *each[1]])
)
answers = st.dictionaries(
    st.sampled_from(["old_names", "a_2_1", "seed"]), texts | st.none() | st.integers(), max_size=3
)
documents = answers.map(json.dumps) | st.just("")


@st.composite
def real_tables(draw: st.DrawFn) -> list[list[Value]]:
    """Tables as learners fill them: JSON, free text, names, times."""
    count = draw(st.integers(1, 12))
    return [
        [str(place), draw(documents), draw(texts | st.none()), draw(texts | st.none()), "2024-01-31 10:00:00"]
        for place in range(count)
    ]


@pytest.mark.parametrize(("write", "expected"), WRITERS)
@given(table=real_tables())
def test_realistic_rows_come_out_as_they_are_or_not_at_all(
    write: Writer, expected: ValueWriter, table: list[list[Value]]
) -> None:
    converted = convert(write([HEADER, *table]))
    written = {row[0]: [expected(value) for value in row] for row in table}
    assert [row[0] for row in converted.rows] == sorted((row[0] for row in converted.rows), key=int)
    for row in converted.rows:
        assert row == written[row[0]]


@pytest.mark.parametrize(("write", "expected"), WRITERS[:3])
@given(table=real_tables())
def test_realistic_rows_with_escapes_undone_are_those_of_the_database(
    write: Writer,
    expected: ValueWriter,  # noqa: ARG001 - the other test's
    table: list[list[Value]],
) -> None:
    data = write([HEADER, *table])
    converted = convert(data, escapes=Escapes.DECODE)
    if converted.rows != convert(data).rows:  # which a file with a pair that no exporter writes leaves alone
        database = {row[0]: [value or "" for value in row] for row in table}
        for row in converted.rows:
            assert row == database[row[0]]


@pytest.mark.parametrize("write", [exporter, mysql_batch, csv_minimal, csv_all])
@given(table=real_tables())
def test_nothing_is_rejected_that_its_dialect_can_tell(write: Writer, table: list[list[Value]]) -> None:
    converted = convert(write([HEADER, *table]))
    if converted.report.dialect is not Dialect.MIXED:
        assert converted.report.rejected.total() == 0
        assert converted.report.rows_out == len(table)


def normal(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Empty and null are the same, as all readers have it that know no quotes around nothing."""
    return [[value or "" for value in row] for row in rows]


def reread(converted: Converted) -> list[list[str]]:
    return normal(converted.records)


def some_table(rows: list[list[str]]) -> Converted:
    header = [f"c{place}" for place in range(len(rows[0]))]
    converted = convert(csv_minimal([header, *rows]), dialect=Dialect.QUOTED)
    assert converted.output
    assert converted.rows == rows
    return converted


@settings(max_examples=50)
@given(random_tables)
def test_polars_reads_the_same_values(rows: list[list[str]]) -> None:
    converted = some_table(rows)
    frame = pl.read_csv(io.BytesIO(converted.output or b""), separator="\t", infer_schema=False)
    assert normal([frame.columns, *frame.rows()]) == reread(converted)


@settings(max_examples=50)
@given(random_tables)
def test_pandas_reads_the_same_values(rows: list[list[str]]) -> None:
    # Its parser ends a value at a NUL, whatever is done about it.
    converted = some_table([[value.replace("\0", "") for value in row] for row in rows])
    frame = pd.read_csv(io.BytesIO(converted.output or b""), sep="\t", dtype=str, keep_default_na=False)
    assert normal([list(frame.columns), *frame.to_numpy().tolist()]) == reread(converted)


@pytest.mark.parametrize("extra", [{}, {"header": True, "max_line_size": 64 << 20}])
@settings(max_examples=40)
@given(rows=random_tables)
def test_duckdb_reads_the_same_values_as_the_lake_sets_it(
    tmp_path_factory: pytest.TempPathFactory, extra: dict[str, Any], rows: list[list[str]]
) -> None:
    converted = some_table(rows)
    assert duckdb_rows(tmp_path_factory.getbasetemp() / "table.tsv", converted, extra) == reread(converted)


def duckdb_rows(path: Path, converted: Converted, extra: dict[str, Any]) -> list[list[str]]:
    path.write_bytes(converted.output or b"")
    with duckdb.connect() as connection:
        relation = connection.from_csv_auto(
            str(path),
            delimiter="\t",
            quotechar='"',
            escapechar='"',
            all_varchar=True,
            strict_mode=False,
            ignore_errors=True,
            **extra,
        )
        return normal([relation.columns, *relation.fetchall()])


@pytest.mark.parametrize(("write", "expected"), WRITERS)
def test_every_character_comes_through_every_dialect(write: Writer, expected: ValueWriter, tmp_path: Path) -> None:
    odd: list[str] = [*CONTROLS, "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\\", '5" 2"', "𝄞"]
    table: list[list[Value]] = [[str(place), "", f"x{value}y", "z", "now"] for place, value in enumerate(odd)]
    converted = convert(write([HEADER, *table]))
    assert converted.problem is None
    got = {row[0]: row for row in converted.rows}
    for row in table:
        assert got[str(row[0])] == [expected(value) for value in row]
    assert duckdb_rows(tmp_path / "table.tsv", converted, {}) == reread(converted)


@given(st.binary(max_size=300), st.sampled_from([None, *Dialect]), st.sampled_from(Escapes))
def test_any_bytes_fail_only_with_a_problem(data: bytes, dialect: Dialect | None, escapes: Escapes) -> None:
    converted = convert(data, dialect=dialect, escapes=escapes)  # which counts
    assert converted.problem or converted.output or not converted.report.records_in
    if converted.output:
        assert converted.report.rows_out == len(converted.rows)


@given(st.lists(st.sampled_from(["a\t", "b\n", "\r\n", '"', "\\", "é", "\t"]).map(str.encode), max_size=40))
def test_bytes_that_look_more_like_a_table_fail_only_with_a_problem(crumbs: list[bytes]) -> None:
    converted = convert(b"a\tb\n" + b"".join(crumbs))
    assert converted.problem or converted.output or not converted.report.records_in
