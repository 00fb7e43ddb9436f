"""The converter against the model of its rules, on random tables."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edxorg.lib.tables import Dialect, Escapes, cutting
from edxorg_tests.support.table_model import (
    BACKSLASH,
    CR,
    LF,
    STUDENTMODULE,
    TAB,
    Model,
    assert_as_the_model,
)
from edxorg_tests.support.tables import convert, split

CRUMBS = [
    *(b'"', b'""', b"\t", b"\n", b"\r", b"\r\n", b"\\", b"\\\\", b"\\\t", b"\\\n", b"\\n", b"\\q", b"\0", b"\xff"),
    *(b"a", b"7", "é".encode(), "\u2028".encode(), b"NULL", b'"{""a"": 1}"', b'{"a": 1}', b'"[""b""]"', b'"c"'),
]
HEADERS = [b"one", b"one\ttwo", b"one\ttwo\tthree", b'"one"\t"two"', STUDENTMODULE]


@st.composite
def soups(draw: st.DrawFn) -> bytes:
    """A header, and lines in which some crumbs are frequent."""
    line_end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    header = draw(st.sampled_from(HEADERS))
    crumbs = st.sampled_from(draw(st.lists(st.sampled_from(CRUMBS), min_size=1, max_size=6)))
    fields = st.lists(crumbs, max_size=3).map(b"".join)
    columns = header.count(b"\t") + 1
    rows = st.lists(fields, min_size=columns, max_size=columns).map(b"\t".join)
    torn = st.lists(fields, max_size=columns + 1).map(b"\t".join)
    lines = draw(st.lists(st.one_of(rows, rows, rows, torn), max_size=12))
    last = draw(st.sampled_from([b"", line_end]))
    return header + line_end + line_end.join(lines) + last


@given(soups(), st.lists(st.integers(0, 500), max_size=4))
@example(b'one\ttwo\nx\\\n"b""c"\ty\n', [])  # RFC 4180 finds a record behind the escaped LF
def test_rows_rejects_and_counts_are_those_of_the_model(data: bytes, places: list[int]) -> None:
    assert_as_the_model(data, split(data, *places))


@given(soups(), st.sampled_from([Dialect.PLAIN, Dialect.ESCAPED, Dialect.QUOTED]))
def test_rows_rejects_and_counts_with_a_forced_dialect_are_those_of_the_model(data: bytes, dialect: Dialect) -> None:
    assert_as_the_model(data, [data], dialect)


@given(soups(), st.integers(1, 40))
def test_the_size_of_chunks_does_not_matter(data: bytes, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "CHUNK", chunk)
        assert_as_the_model(data, [data])


ALONE = -1
PAIRS = {ord("n"): LF, ord("r"): CR, ord("t"): TAB, ord("0"): 0, TAB: TAB, LF: LF, 0: 0, BACKSLASH: BACKSLASH}
PAIRS[ALONE] = BACKSLASH


def undone(value: bytes) -> bytes | None:
    """The value without escapes, a byte at a time; None if there is a pair that no exporter writes."""
    out = bytearray()
    rest = iter(value)
    for byte in rest:
        decoded = PAIRS.get(next(rest, ALONE)) if byte == BACKSLASH else byte
        if decoded is None:
            return None
        out.append(decoded)
    return b"" if value == b"NULL" else bytes(out)


@given(soups(), st.sampled_from([Dialect.PLAIN, Dialect.ESCAPED, Dialect.QUOTED]))
def test_values_are_those_of_the_model_where_escapes_are_undone(data: bytes, dialect: Dialect) -> None:
    model = Model(data)
    rows, _ = model.rows(dialect, dialect)
    got = convert([data], dialect=dialect, escapes=Escapes.DECODE)
    if dialect is not Dialect.QUOTED and undone(b"\n".join([*model.lines, b""])) is not None:
        # In a plain field a backslash may be the last byte: the TAB or LF after it ends the field.
        rows = [[undone(value) or b"" for value in row] for row in rows]
    assert (got.rows if rows else []) == [[value.decode() for value in row] for row in rows]
