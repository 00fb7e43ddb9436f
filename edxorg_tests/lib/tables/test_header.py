"""The first line of a table: which ones are a header, and what it tells of all lines."""

from __future__ import annotations

import pytest

from edxorg.lib.tables.header import STUDENTMODULE, HeaderError, Layout, read_header
from edxorg.lib.tables.table_model import COLUMNS_ADDED


def problem(line: bytes, known: frozenset[str] = frozenset()) -> str:
    with pytest.raises(HeaderError) as refused:
        read_header(line, known)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "layout"),
    [
        (b"id\tname", Layout(("id", "name"), 1, crlf=False, wrapped=False)),
        (b"id\tname\r", Layout(("id", "name"), 1, crlf=True, wrapped=False)),
        (b'"id"\t"name"', Layout(("id", "name"), 1, crlf=False, wrapped=True)),
        (b'"id"\t"name"\r', Layout(("id", "name"), 1, crlf=True, wrapped=True)),
        (b"_A1", Layout(("_A1",), 0, crlf=False, wrapped=False)),
        (b"k" * 64, Layout(("k" * 64,), 0, crlf=False, wrapped=False)),
    ],
)
def test_a_header_tells_how_lines_are_laid_out(line: bytes, layout: Layout) -> None:
    assert read_header(line) == layout


@pytest.mark.parametrize(
    ("line", "place"),
    [
        *((b"", "1 of 1"), (b"id\t", "2 of 2"), (b"1\tx", "1 of 2"), (b"a\tb c\td", "2 of 3"), (b"\xc3\xa9", "1 of 1")),
        *(
            (b"k" * 65, "1 of 1"),
            (b'"a"\tb', "1 of 2"),
            (b'a\t"b"', "2 of 2"),
            (b'"a""b"', "1 of 1"),
            (b'""', "1 of 1"),
        ),
        *((b'"a', "1 of 1"), (b"a\r\r", "1 of 1"), (b"a\n", "1 of 1"), (b'"a"b"', "1 of 1")),
    ],
)
def test_a_name_is_a_word(line: bytes, place: str) -> None:
    assert problem(line) == (
        f"column {place} is not named with letters, digits and underscores, at most 64 and no digit first. The file "
        "may begin with a record instead of the header"
    )


def test_names_differ_by_more_than_case() -> None:
    assert problem(b"a\tid\tb\tID") == "columns 2 and 4 have the same name"


@pytest.mark.parametrize("name", COLUMNS_ADDED)
def test_names_of_added_columns_are_taken(name: str) -> None:
    assert problem(f"id\t{name.upper()}".encode()) == f"column 2 is named {name}, which is added to every table"


def test_there_may_be_4096_columns() -> None:
    names = [b"c%d" % number for number in range(4097)]
    assert read_header(b"\t".join(names[:-1])).tabs == 4095
    assert problem(b"\t".join(names)) == "it has 4,097 columns, and MySQL allows 4,096"


def test_one_name_of_a_known_table_is_enough() -> None:
    assert read_header(b"x\tID", frozenset({"id", "y"})).columns == ("x", "ID")
    assert problem(b"x\tz", frozenset({"id", "y"})) == (
        "none of its 2 names is a column of this table. The file may begin with a record instead of the header"
    )


def test_the_header_of_studentmodule_is_the_documented_one() -> None:
    header = "id module_type module_id student_id state grade created modified max_grade done course_id"
    assert " ".join(STUDENTMODULE) == header
