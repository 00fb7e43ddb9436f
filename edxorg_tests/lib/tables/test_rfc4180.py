"""Records of RFC 4180, for every few lines of a few bytes, against a plain reading of the same rules."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from edxorg.lib.tables.rfc4180 import (
    MALFORMED,
    OPEN,
    is_regular,
    quoted_fields,
    quoted_span,
    read_quoted,
    regular_row,
    regular_shows_quoting,
    shows_quoting,
    unwrap_quoted,
)
from edxorg.lib.tables.table_model import Dialect, RejectReason
from edxorg.lib.tables.table_records import Record, row_text

TEXTS: Final = [bytes(each) for size in range(7) for each in product(b'a"\t\n', repeat=size)]


def fields_of(text: bytes) -> list[bytes] | str | None:
    """The fields, as they stand there, of one record that is the whole text; "open", or None if its quotes are wrong.

    A LF outside of quotes ends the record, and is no part of the text.
    """
    fields = []
    at = 0
    while True:
        start = at
        if text[at : at + 1] == b'"':
            at += 1
            while True:
                if at >= len(text):
                    return "open"
                if text[at : at + 1] != b'"':
                    at += 1
                elif text[at + 1 : at + 2] == b'"':
                    at += 2
                else:
                    break
            at += 1
        else:
            while at < len(text) and text[at : at + 1] not in {b"\t", b'"'}:
                at += 1
        fields.append(text[start:at])
        if at == len(text):
            return fields
        if text[at : at + 1] != b"\t":
            return None
        at += 1


def span_of(lines: list[bytes], *, crlf: bool) -> int:
    """The number of lines of the record at the first line."""
    for count in range(1, len(lines) + 1):
        text = b"\n".join(lines[:count])
        if crlf and text.endswith(b"\r") and isinstance(fields_of(text[:-1]), list):
            return count
        fields = fields_of(text)
        if fields is None or (crlf and isinstance(fields, list)):
            return MALFORMED
        if isinstance(fields, list):
            return count
    return OPEN


def test_the_lines_of_a_record_are_counted() -> None:
    for text in TEXTS:
        lines = text.split(b"\n")
        assert quoted_span(lines, 0, crlf=False) == span_of(lines, crlf=False), text
        before = [b'"', b"x", *lines]
        assert quoted_span(before, 2, crlf=False) == span_of(lines, crlf=False), text


def test_the_lines_of_a_record_are_counted_where_each_ends_with_a_cr() -> None:
    for text in TEXTS:
        lines = [line + b"\r" for line in text.split(b"\n")]
        assert quoted_span(lines, 0, crlf=True) == span_of(lines, crlf=True), text
        lines[-1] = lines[-1][:-1]
        assert quoted_span(lines, 0, crlf=True) == span_of(lines, crlf=True), text


@pytest.mark.parametrize("crlf", [True, False])
def test_a_record_has_its_fields(crlf: bool) -> None:  # noqa: FBT001
    end = b"\r" if crlf else b""
    for text in TEXTS:
        lines = [b"before", *(text + end).split(b"\n")]
        span = quoted_span(lines, 1, crlf=crlf)
        record = read_quoted(lines, 1, span, 1, crlf=crlf)
        if span <= 0:
            raw = lines[1].removesuffix(end)
            reason = RejectReason.QUOTES if b'"' in raw else RejectReason.LINE_END
            assert record == (1, raw, Dialect.QUOTED, raw.count(b"\t"), reason)
            continue
        raw = b"\n".join(lines[1 : 1 + span]).removesuffix(end)
        fields = fields_of(raw)
        assert isinstance(fields, list), text
        assert (record.lines, record.raw, record.dialect) == (span, raw, Dialect.QUOTED)
        assert record.tabs == min(len(fields) - 1, 2) or b'"' not in raw
        few = RejectReason.TOO_FEW_FIELDS if len(fields) < 2 else RejectReason.TOO_MANY_FIELDS
        assert record.reason == (None if len(fields) == 2 else few), text
        assert quoted_fields(raw) == fields
        for field in fields:
            value = field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field
            assert unwrap_quoted(field) == value


def test_a_regular_line_has_its_fields_and_nothing_special_in_them() -> None:
    for text in [*TEXTS, b"a\r", b'"a\r"', b'"\ta"\tb']:
        fields = fields_of(text)
        special = isinstance(fields, list) and any(byte in field for field in fields for byte in b"\t\r")
        for tabs in (0, 1, 2):
            expected = isinstance(fields, list) and not special and len(fields) == tabs + 1
            assert b"\n" in text or is_regular(text, tabs) is expected, text


def test_a_regular_line_is_written_as_its_values() -> None:
    for text in TEXTS:
        for tabs in (0, 1, 2):
            if b"\n" not in text and is_regular(text, tabs):
                fields = fields_of(text)
                assert isinstance(fields, list)
                assert regular_row(text) == row_text([unwrap_quoted(field) for field in fields]), text
                inside = [field[1:-1] for field in fields if field.startswith(b'"')]
                assert regular_shows_quoting(text) is any(b'"' in field for field in inside), text


@pytest.mark.parametrize("crlf", [True, False])
def test_quotes_show_quoting_if_they_are_needed(crlf: bool) -> None:  # noqa: FBT001
    for text in [*TEXTS, b'"a\r"', b'"a\r"\tb', b"a\tb", b'"a"\tb\r']:
        fields = fields_of(text)
        if not isinstance(fields, list) or (b"\n" in text and b'"' not in text):
            continue
        needed = b'"\t\r\n' if crlf or len(fields) > 1 else b'"\t\r'
        inside = [field[1:-1] for field in fields if field.startswith(b'"')]
        record = Record(1, text, Dialect.QUOTED, len(fields) - 1, None)
        assert shows_quoting(record, crlf=crlf) is any(byte in field for field in inside for byte in needed), text


def test_a_hostile_line_is_not_counted_to_its_end() -> None:
    line = b'""' + b"\t" * 1_000
    assert read_quoted([line], 0, 1, 5, crlf=False).tabs == 6
