"""Records of one line, JSON in quotes, and values as they are written."""

from __future__ import annotations

import csv
from itertools import product

import pytest

from edxorg.lib.tables.table_model import Dialect, RejectReason
from edxorg.lib.tables.table_records import (
    Record,
    fitted_record,
    may_hold_json,
    needs_quotes,
    read_plain,
    row_text,
    unwrap_json,
    written,
)


@pytest.mark.parametrize(
    ("found", "raw", "crlf", "kept", "reason"),
    [
        (2, b"a\r", True, b"a", None),
        (2, b"a\r", False, b"a\r", None),
        (2, b"a", False, b"a", None),
        (2, b"a", True, b"a", RejectReason.LINE_END),
        (1, b"a", True, b"a", RejectReason.TOO_FEW_FIELDS),
        (3, b"a\r", True, b"a", RejectReason.TOO_MANY_FIELDS),
    ],
)
def test_a_record_that_does_not_fit_has_a_reason(
    found: int,
    raw: bytes,
    crlf: bool,  # noqa: FBT001
    kept: bytes,
    reason: RejectReason | None,
) -> None:
    expected = Record(3, kept, Dialect.ESCAPED, found, reason)
    assert fitted_record(3, raw, Dialect.ESCAPED, found, 2, crlf=crlf) == expected


def test_a_plain_record_is_a_line() -> None:
    lines = [b"1\ta", b"2\tb\tc\r"]
    assert read_plain(lines, 0, 1, crlf=False) == Record(1, b"1\ta", Dialect.PLAIN, 1, None)
    assert read_plain(lines, 1, 1, crlf=True) == Record(1, b"2\tb\tc", Dialect.PLAIN, 2, RejectReason.TOO_MANY_FIELDS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b'"{""a"": 1}"', b'{"a": 1}'),
        (b'"[""a""]"', b'["a"]'),
        (b'"{}"', b'"{}"'),
        (b'"{"a": 1}"', b'"{"a": 1}"'),
        (b'"{""a"": 1]"', b'"{""a"": 1]"'),
        (b'"[""a""}"', b'"[""a""}"'),
        (b'{""a"": 1}"', b'{""a"": 1}"'),
        (b'"{""a"": 1}', b'"{""a"": 1}'),
        (b'"{"""a": 1}"', b'"{"""a": 1}"'),
        (b"a", b"a"),
        (b"", b""),
        (b'"', b'"'),
    ],
)
def test_json_in_quotes_is_unwrapped(field: bytes, value: bytes) -> None:
    assert unwrap_json(field) == value


def test_json_in_quotes_is_looked_for() -> None:
    assert may_hold_json(b'1\t"{"')
    assert may_hold_json(b'1\t"["')
    assert not may_hold_json(b'{"a": []}\t"x"')


VALUES = [b"".join(parts) for size in range(4) for parts in product([b"a", b"\t", b'"', b"\r", b"\n"], repeat=size)]


def test_values_are_written_as_csv_has_them() -> None:
    for value in VALUES:
        special = any(byte in value for byte in b'\t"\r\n')
        assert needs_quotes(value) is special
        expected = b'"' + value.replace(b'"', b'""') + b'"' if special else value
        assert written(value) == expected
        assert row_text([value]) == expected


def test_rows_are_read_back_as_they_were() -> None:
    for value in VALUES:
        for row in ([value, b"b"], [b"b", value], [b"", value, b""]):
            text = row_text(row)
            assert text == b"\t".join(map(written, row))
            (back,) = csv.reader([text.decode()], delimiter="\t") if b"\n" not in text and b"\r" not in text else [None]
            assert back is None or [each.encode() for each in back] == row
