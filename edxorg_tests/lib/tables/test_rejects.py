"""What is set aside, and what is too large to be looked at whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.tables import Dialect, Escapes, RowHash, chunks, convert_table, cutting, rfc4180, routing, table_output
from edxorg.lib.tables import convert as tables_convert
from edxorg.lib.tables.dialects import reader
from edxorg.lib.tables.table_model import RejectReason
from edxorg.lib.tables.table_output import RejectLog
from edxorg_tests.support.tables import COURSE, convert, raw
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import SupportsIndex

GOOD = b"1\ta\tx\n"


def table(*lines: bytes) -> bytes:
    return b"id\ttext\tlast\n" + b"".join(line + b"\n" for line in lines)


class TestNeighbors:
    def test_lines_that_add_up_to_one_record_are_that_record(self) -> None:
        got = convert(table(b"1\ta\tx", b"2\tb", b"c\tx", b"3\td\tx"))
        assert got.reasons == [(3, "too_few_fields"), (4, "too_few_fields")]
        assert [row[0] for row in got.rows] == ["1", "3"]

    def test_if_the_first_or_last_field_was_cut_one_of_the_rows_beside_it_is_broken(self) -> None:
        got = convert(table(b"0\ta\tx", b"1\ta\tx", b"cut", b"2\tb\tx", b"3\td\tx"))
        assert got.reasons == [(4, "too_few_fields"), (3, "neighbour"), (5, "neighbour")]
        assert [raw(reject) for reject in got.rejects] == [b"cut", b"1\ta\tx", b"2\tb\tx"]
        assert [row[0] for row in got.rows] == ["0", "3"]

    def test_an_empty_line_is_a_line_with_too_few_fields(self) -> None:
        assert convert(table(b"1\ta\tx", b"", b"2\tb\tx", b"3\tb\tx")).reasons == [
            *((3, "too_few_fields"), (2, "neighbour"), (4, "neighbour"))
        ]

    def test_only_rows_right_beside_count(self) -> None:
        got = convert(table(b"1\ta\tx", b"2\ta\tb\tx", b"cut", b"3\tb\tc\tx", b"4\tc\tx"))
        assert [row[0] for row in got.rows] == ["1", "4"]

    def test_one_row_may_be_the_neighbor_of_two_short_lines(self) -> None:
        got = convert(table(b"1\ta\tx", b"cut", b"2\tb\tx", b"cut", b"3\tc\tx"))
        assert got.report.rejected == {"too_few_fields": 2, "neighbour": 3}

    def test_short_lines_may_have_no_neighbors(self) -> None:
        assert convert(table(b"cut")).reasons == [(2, "too_few_fields")]

    @pytest.mark.parametrize("chunk", [1, 5, 6, 7, 13])
    def test_neighbors_are_found_in_the_chunk_before(self, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        data = table(b"0\ta\tx", b"1\ta\tx", b"cut", b"here", b"2\tb\tx", b"3\td\tx")
        monkeypatch.setattr(cutting, "CHUNK", chunk)
        assert [row[0] for row in convert(data).rows] == ["0", "3"]


class TestRejects:
    def test_a_reject_tells_the_first_line_the_reason_and_the_bytes(self) -> None:
        got = convert(table(b"1\ta\tx", b"2\tb\\\nb\\\nb\ty", b"3\t{}\x01\xe2\x80\xa8\r\tc\td", b"4\te\\\tf\tx"))
        assert got.report.dialect is Dialect.ESCAPED
        assert got.rejects == [{"line": 6, "reason": "too_many_fields", "raw": "3\t{}\x01\u2028\r\tc\td"}]

    def test_rejected_bytes_that_are_no_utf_8_are_in_base64(self) -> None:
        record = b"2\t\xff\xe9\tx"
        got = convert(table(b"1\ta\tx", record, b"3\t\xc3\xa9\tx"))
        assert set(got.rejects[0]) == {"line", "reason", "raw_base64"}
        assert (got.reasons, raw(got.rejects[0])) == ([(3, "invalid_utf8")], record)
        assert [row[1] for row in got.rows] == ["a", "é"]

    @pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xc3"])
    def test_rejected_bytes_that_only_look_like_utf_8_are_in_base64(self, bad: bytes) -> None:
        assert convert(table(b"1\ta\tx", b"2\t" + bad + b"\tx")).reasons == [(3, "invalid_utf8")]

    @pytest.mark.parametrize("filling", [b"x", "é".encode(), b"\x01", b"\xff", b'"'])
    def test_long_rejects_are_whole(self, filling: bytes) -> None:
        record = b"1\t" + filling * 500_000
        got = convert(table(record))
        assert raw(got.rejects[0]) == record

    def test_rejects_land_even_if_nothing_else_does(self) -> None:
        got = convert(table(b"1", b"2"))
        assert got.problem is not None
        assert "2 too_few_fields" in got.problem
        assert (got.output, len(got.rejects)) == (None, 2)


class TestTooMany:
    @pytest.fixture(autouse=True)
    def few_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables_convert, "MAX_REJECTS", ((9, 100), (1, 1000)))
        monkeypatch.setattr(tables_convert, "WINDOW", 50)
        monkeypatch.setattr(cutting, "CHUNK", 50)

    def test_reading_ends_where_a_disk_would_be_filled(self) -> None:
        got = convert(table(b"1\ta\tx", *[b""] * 100_000))
        assert got.report.records_in == sum(got.report.rejected.values()) < 200
        assert "records had been set aside (" in (got.problem or "")
        assert len(got.rejects) == got.report.records_in
        assert got.rows == []

    def test_a_table_with_more_good_records_is_read_to_its_end(self) -> None:
        got = convert(table(*[b"1\ta\tx", b"1\ta\tx", b"1\ta\tx\ty"] * 1000))
        assert got.problem is None
        assert (len(got.rows), len(got.rejects)) == (2000, 1000)

    def test_a_table_of_which_every_fifth_record_is_good_is_read_until_there_are_many_more_rejects(self) -> None:
        fifth = [b"1\ta\tx", *[b"1\ta\tx\ty"] * 4]
        whole = convert(table(*fifth * 240))
        assert whole.problem is None
        assert (len(whole.rows), len(whole.rejects)) == (240, 960)
        ended = convert(table(*fifth * 2000))
        assert "records had been set aside (1,0" in (ended.problem or "")
        assert (ended.output, ended.report.records_in) == (None, ended.report.rows_out + len(ended.rejects))


def test_a_small_table_without_one_good_row_ends_early() -> None:
    bad = [b"x"] * 60_000
    got = convert([table(*bad)])
    assert "records had been set aside" in (got.problem or "")
    assert 8_000 < got.report.records_in < 12_000
    assert got.report.rejected.total() == got.report.records_in


def test_a_small_table_with_a_good_row_is_read_to_its_end() -> None:
    got = convert([table(b"1\ta\tb", *[b"1\t2\t3\t4"] * 7_900, b"2\ta\tb", *[b"1\t2\t3\t4"] * 7_900)])
    assert (got.problem, got.report.rows_out, got.report.rejected.total()) == (None, 2, 15_800)


def test_a_quoted_row_with_an_odd_pair_is_no_escaped_one_in_a_mixed_table() -> None:
    escaped = [b"%d\ta%b\\\nb\tx" % (number, b"y" * 40) for number in range(8_000)]
    plain = [b"%d\tplain%b\tx" % (number, b"z" * 40) for number in range(12_000)]
    in_chunks_of_their_own = [b'9\tx"y\tz', *plain, b'1\t"a\\q"\t"b""c"']
    got = convert([table(*escaped, *in_chunks_of_their_own, b"2\tb\tx")])
    assert (got.problem, got.report.dialect, got.report.rejected.total()) == (None, Dialect.MIXED, 0)
    assert got.report.rows_out == 20_003


class TestTooShort:
    @pytest.mark.parametrize(("header", "row"), [(b"id", b"x"), (b"id\ttext", b'1\t"a""b'), (b"id\ttext", b'""\t""')])
    def test_a_table_of_very_short_rows_ends_early(
        self, header: bytes, row: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables_convert, "MAX_SHORT_RECORDS", 1_000)
        monkeypatch.setattr(tables_convert, "WINDOW_LINES", 500)
        monkeypatch.setattr(cutting, "CHUNK", 1 << 10)
        got = convert(b"\n".join([header, *[row] * 10_000, b""]))
        assert "records have less than 12 bytes on average" in (got.problem or "")
        assert 1_000 < got.report.records_in < 2_000
        assert (got.output, got.rejects) == (None, [])

    def test_many_rows_of_three_numbers_are_delivered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables_convert, "MAX_SHORT_RECORDS", 1_000)
        got = convert(b"\n".join([b"id\ta\tb", *(b"%d\t%d\t7" % (100_000 + n, 10_000 + n) for n in range(3_000)), b""]))
        assert got.problem is None
        assert len(got.rows) == 3_000


class TestHostile:
    """Hundreds of megabytes of nothing end after some hundred thousand records, and work grows with them only."""

    @pytest.mark.parametrize(
        "unit",
        [
            *(b"\n", b"x\n", b"\r\n", b"\\\n", b"\t\n", b'"\n', b'""\n', b'1\t"a""b\n', b"\0\n", b"\xff\n"),
            b'1\t"a""b"\tc\n' + b"x\n" * 20,
        ],
    )
    def test_a_table_of_bad_lines_ends_early(self, unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables_convert, "MAX_REJECTS", ((9, 5_000), (1, 50_000)))
        monkeypatch.setattr(tables_convert, "WINDOW_LINES", 3_000)
        monkeypatch.setattr(cutting, "CHUNK", 8 << 10)
        megabyte = unit * ((1 << 20) // len(unit))
        read = 0

        def blocks() -> Iterator[bytes]:
            nonlocal read
            yield b"id\ttext\tlast\n"
            for read in range(1, 201):  # noqa: B007 - how many were asked for
                yield megabyte

        converted = convert_table(blocks(), course=COURSE)
        report = converted.report
        converted.close()
        assert read <= 3
        assert "records had been set aside" in (converted.problem or "")
        assert converted.rows is None
        assert 5_000 < report.rejected.total() < 20_000
        assert report.records_in == report.rows_out + report.rejected.total()

    def test_half_of_the_rows_of_five_megabytes_may_be_bad(self) -> None:
        got = convert(table(*[b"1\ta%b\tx" % (b"a" * 40), b"2\tb%b\tx\ty" % (b"b" * 40)] * 55_000))
        assert got.problem is None
        assert (got.report.rows_out, got.report.rejected.total()) == (55_000, 55_000)

    @pytest.mark.parametrize("line", [b'1\t"a""b', b'"', b'"x'])
    def test_lines_with_an_open_quote_are_looked_at_once(self, line: bytes) -> None:
        lines = CountingList([line] * 2_000)
        for start in range(len(lines)):
            rfc4180.quoted_span(lines, start, crlf=False)
        assert lines.looked_at <= 2 * len(lines)

    @pytest.mark.parametrize(("last", "too_short"), [(b"1\tabcdefg\tx\n", False), (b"1\tabcdef\tx\n", True)])
    def test_records_of_the_shortest_length_are_read(
        self, last: bytes, *, too_short: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables_convert, "MAX_SHORT_RECORDS", 10)
        got = convert(table(*[b"1\tabcdefg\tx"] * 10) + last)
        assert ("less than 12 bytes on average" in (got.problem or "")) == too_short
        assert convert(table(*[b"1\ta\tx"] * 10)).problem is None


class CountingList(list[bytes]):
    """Lines that count how often they are looked at."""

    looked_at = 0

    def __getitem__(self, place: SupportsIndex) -> bytes:  # type: ignore[override] # no slices here
        self.looked_at += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[bytes]:
        for line in super().__iter__():
            self.looked_at += 1
            yield line


class TestOversized:
    """With a limit of 100 bytes instead of 16 MiB."""

    @pytest.fixture(autouse=True, params=[30, 1 << 18])
    def limit(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cutting, "CHUNK", request.param)
        for module in (cutting, routing):
            monkeypatch.setattr(module, "RECORD_LIMIT", 100)

    @pytest.mark.parametrize("size", [101, 250, 10_000])
    @pytest.mark.parametrize("crlf", [False, True])
    def test_a_line_over_the_limit_is_an_object_of_its_own(self, size: int, crlf: bool) -> None:  # noqa: FBT001
        line_end = b"\r\n" if crlf else b"\n"
        record = b"2\t" + b"y" * (size - 4) + b"\tz"
        got = convert(line_end.join([b"id\ttext\tlast", b"1\ta\tx", record, b"3\tb\tx", b""]))
        assert [row[0] for row in got.rows] == ["1", "3"]
        sha256 = hashlib.sha256(record).hexdigest()
        assert got.oversized == [record]
        assert got.rejects == [
            {
                "line": 3,
                "reason": "oversized",
                "raw": record.decode(),
                "length": size,
                "sha256": sha256,
                "record": f"{sha256}.record",
            }
        ]

    def test_the_line_before_an_oversized_one_may_end_in_a_backslash(self) -> None:
        got = convert(table(b"1\ta\tx", b"2\tb\tx\\", b"y" * 500, b"3\tb\tx"), dialect=Dialect.PLAIN)
        assert [row[0] + row[2] for row in got.rows] == ["1x", "2x\\", "3x"]
        assert got.oversized == [b"y" * 500]

    @pytest.mark.parametrize("first", [b"1\ta\tx", b'1\ta "b"\tx'])
    def test_lines_before_an_oversized_one_come_first_if_their_dialect_is_not_chosen_yet(self, first: bytes) -> None:
        got = convert(table(first, b"y" * 500, b"3\tb\tx"))
        assert (got.reasons, [row[0] for row in got.rows]) == ([(3, "oversized")], ["1", "3"])

    def test_a_record_at_the_limit_is_a_row(self) -> None:
        assert convert(table(b"2\t" + b"y" * 96 + b"\tz")).report.rows_out == 1

    def test_a_record_at_the_limit_is_a_row_if_its_line_end_is_in_the_next_chunk(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutting, "CHUNK", 50)
        header = b"id\ttext\t" + b"l" * 41 + b"\n"
        assert len(header) == cutting.CHUNK
        got = convert(header + b"2\t" + b"y" * 96 + b"\tz\n3\ta\tb\n")
        assert [row[0] for row in got.rows] == ["2", "3"]

    def test_a_record_at_the_limit_is_a_row_if_it_ends_in_an_escaped_line_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutting, "CHUNK", 100)
        header = b"id\ttext\t" + b"l" * 50 + b"\t" + b"m" * 40 + b"\n"
        record = b"2\ta\tb\t" + b"y" * 92 + b"\\\n"
        assert len(header) == len(record) == cutting.CHUNK
        got = convert(header + record + b"\n3\ta\tb\tc\n", dialect=Dialect.ESCAPED)
        assert (got.oversized, [row[0] for row in got.rows]) == ([], ["2", "3"])

    @pytest.mark.parametrize(("limit", "rows", "oversized"), [(4, ["2", "3"], 0), (3, ["3"], 1)])
    def test_a_record_of_too_many_lines_is_oversized(
        self, limit: int, rows: list[str], oversized: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutting, "LINES_LIMIT", limit)
        header, start = b"id\ttext\tend\n", b'2\t"a\nb\nc\ndd\n'
        assert len(header) == len(start)
        monkeypatch.setattr(cutting, "CHUNK", len(header))
        got = convert(header + start + b'e"\tz\n3\tb\tx\n', dialect=Dialect.QUOTED)
        assert ([row[0] for row in got.rows], len(got.oversized)) == (rows, oversized)

    def test_a_record_at_the_limit_is_a_row_if_lines_before_it_end_in_its_first_chunk(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutting, "CHUNK", 30)
        header = b"id\ttext\t" + b"l" * 21 + b"\n"
        assert len(header) == cutting.CHUNK
        before = b"1\ta\tb\n" + b"2\t" + b"x" * 13 + b"\tz\\\n"  # the backslash makes the second line wait
        got = convert(header + before + b"3\t" + b"y" * 96 + b"\tz\n", dialect=Dialect.PLAIN)
        assert [row[0] for row in got.rows] == ["1", "2", "3"]

    def test_a_long_line_goes_on_after_an_odd_number_of_backslashes(self) -> None:
        for text in (b"", b"2\t" + b"x" * 51, b"2\t" + b"x" * 501):
            for count in (*range(4), *range(29, 33), *range(59, 63), *range(119, 123)):
                line = text + b"\\" * count
                got = convert(table(b"1\ta\tx", line, b"3\tb\tx", b"4\tc\tx"), dialect=Dialect.ESCAPED)
                if len(line) > 100:
                    assert got.oversized == [line + b"\n3\tb\tx" * (count % 2)]

    def test_an_oversized_record_may_be_the_last_and_have_no_line_end(self) -> None:
        assert convert(table(b"1\ta\tx") + b"y" * 300).oversized == [b"y" * 300]

    @pytest.mark.parametrize("size", [150, 400])
    def test_an_oversized_quoted_record_is_set_aside_to_its_end(self, size: int) -> None:
        record = b'2\t"' + (b"yyyy\n3\tlooks\tso\n" * size)[:size] + b'"\tz'
        got = convert(table(b'1\t"a""b"\tx', record, b'4\t"c\nd"\tx'), dialect=Dialect.QUOTED)
        assert got.oversized == [record]
        assert [row[:2] for row in got.rows] == [["1", 'a"b'], ["4", "c\nd"]]

    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
    @pytest.mark.parametrize(
        ("lines", "dialect"),
        [
            ([b'2\t"', *[b"yyyy"] * 50, b"end"], Dialect.QUOTED),
            ([b'2\t"' + b"y" * 500, b"end"], Dialect.QUOTED),
            ([b"2\t\\", *[b"yyyy\\"] * 50], Dialect.ESCAPED),
            ([b"2\t" + b"y" * 500 + b"\\"], Dialect.ESCAPED),
        ],
        ids=["quoted", "quoted long line", "escaped", "escaped long line"],
    )
    def test_an_oversized_record_may_be_open_at_the_end_of_the_file(
        self, lines: list[bytes], dialect: Dialect, line_end: bytes
    ) -> None:
        # A backslash before CR LF would escape the CR.
        record = (b"\n" if dialect is Dialect.ESCAPED else line_end).join(lines)
        data = line_end.join([b"id\ttext\tlast", b"1\ta\tx", record])
        got = convert(data + (b"\n" if dialect is Dialect.ESCAPED else line_end), dialect=dialect)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1"]

    def test_an_oversized_record_keeps_its_line_ends(self) -> None:
        record = b'2\t"' + b"yyyy\r\n" * 20 + b"yyyy\n" * 20 + b"y" * 40 + b'\n\r\n\n"\tz'
        got = convert(b"\r\n".join([b"id\ttext\tlast", b"1\ta\tx", record, b"4\tb\tx", b""]), dialect=Dialect.QUOTED)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1", "4"]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (b'2\t"' + b"y\n" * 99 + b'"\tz', b"3\t" + b"y" * 500 + b"\tz"),
            (b'2\t"' + b"y" * 500 + b'\n"\tz', b'3\t"' + b"y\n" * 99 + b'"\tz'),
            (b"2\t" + b"y" * 500 + b"\tz", b'3\t"' + b"y" * 500 + b'\n"\tz'),
        ],
    )
    def test_rejects_are_in_their_order_with_their_lines(self, first: bytes, second: bytes) -> None:
        got = convert(table(b"1\ta\tx", first, second, b"4\tb\tx", b"5\ta\tb\tx", b"6\tc\tx"), dialect=Dialect.QUOTED)
        assert got.oversized == [first, second]
        after = 4 + first.count(b"\n")
        last = after + 2 + second.count(b"\n")
        assert got.reasons == [(3, "oversized"), (after, "oversized"), (last, "too_many_fields")]
        assert [row[0] for row in got.rows] == ["1", "4", "6"]

    @pytest.mark.parametrize("record", [b"y" * 500, b'2\t"' + b"y\n" * 99 + b'"\tz'], ids=["long line", "many lines"])
    def test_rows_beside_an_oversized_record_are_no_neighbors_of_short_lines_behind_it(self, record: bytes) -> None:
        rows = (b"0\ta\tx", b"1\ta\tx", b"8\ta\tx", b"9\ta\tx")
        before = convert(table(*rows[:2], b"cut", record, *rows[2:]), dialect=Dialect.QUOTED)
        assert [reason for _, reason in before.reasons] == ["too_few_fields", "neighbour", "oversized"]
        assert [row[0] for row in before.rows] == ["0", "8", "9"]
        behind = convert(table(*rows[:2], record, b"cut", *rows[2:]), dialect=Dialect.QUOTED)
        assert [reason for _, reason in behind.reasons] == ["oversized", "too_few_fields", "neighbour"]
        assert [row[0] for row in behind.rows] == ["0", "1", "9"]

    def test_an_oversized_quoted_record_may_have_a_long_line_inside(self) -> None:
        record = b'2\t"short\n' + b"y" * 500 + b"\n" + b"z" * 500 + b'\nend"\tz'
        got = convert(table(b"1\ta\tx", record, b"4\tb\tx"), dialect=Dialect.QUOTED)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1", "4"]

    @pytest.mark.parametrize("chunk", [7, 30, 1 << 18])
    @pytest.mark.parametrize(
        "record",
        [
            b'2\t"' + b"y" * 500 + b'"\tz',
            b'2\t"' + b"y" * 500 + b'\nend"\tz',
            b'2\t"' + b"\n".join([b"y" * 60] * 4) + b'"\tz',
            b'2\t"' + b"y" * 60 + b'\n""\n' + b"y" * 500 + b'"\tz',
            b'2\t"a\n' + b"\n".join([b"y" * 40] * 6) + b'"\tz',
        ],
        ids=[
            "one line",
            "one long line and an end",
            "lines longer than a chunk",
            "a long line at the end",
            "longer lines",
        ],
    )
    def test_an_oversized_quoted_record_ends_at_its_quote(
        self, record: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutting, "CHUNK", chunk)
        got = convert(table(b'1\t"a""b"\tx', record, b"3\tb\tx", b"4\tc\tx"), dialect=Dialect.QUOTED)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1", "3", "4"]

    def test_an_oversized_escaped_record_is_set_aside_to_its_end(self) -> None:
        record = b"2\t" + b"yyyy\\\n3\tlooks\tso\\\n" * 50 + b"\tz"
        got = convert(table(b"1\ta\tx", record, b"4\tb\tx"), dialect=Dialect.ESCAPED)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1", "4"]

    def test_an_oversized_record_of_mixed_ends_as_in_its_base(self) -> None:
        record = b"2\t" + b"yyyy\\\n3\tlooks\tso\\\n" * 50 + b"\tz"
        got = convert(table(*[b"1\ta\\\tb\tx"] * 200, record, b"4\tb\tx"), dialect=Dialect.MIXED)
        assert got.oversized == [record]
        assert [row[0] for row in got.rows] == ["1"] * 200 + ["4"]

    def test_two_oversized_records_are_two_objects(self) -> None:
        records = [b'2\t"' + filling * 99 + b'"\tz' for filling in (b"y\n", b"z\n")]
        got = convert(table(*records, b"4\tb\tx"), dialect=Dialect.QUOTED)
        assert got.oversized == records
        assert [line for line, _ in got.reasons] == [2, 102]

    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
    def test_lines_that_are_oversized_when_quoted_are_records_in_plain(self, line_end: bytes) -> None:
        lines = [b"id\ttext\tlast", b'1\ta\t"b', *[b"2\tc\td"] * 50, b'3\te\tf"']
        got = convert(line_end.join([*lines, b""]), dialect=Dialect.PLAIN)
        assert got.hashes == [hashlib.sha256(line).hexdigest() for line in lines[1:]]

    def test_the_rejects_show_the_start_of_an_oversized_record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table_output, "RECORD_HEAD", 10)
        got = convert(table(b"1\t" + "é".encode() * 200, b"1234567" + "é".encode() * 200))
        assert [reject["raw"] for reject in got.rejects] == ["1\téééé", "1234567é"]

    def test_too_many_oversized_records_fail_the_table(self) -> None:
        got = convert(table(b"1\ta\tx", *[b"y" * 200] * 70))
        assert got.problem is not None
        assert "6 of them were not kept whole" in got.problem
        assert (len(got.oversized), len(got.rejects)) == (64, 70)


class TestLargeRows:
    def test_a_row_of_the_size_that_readers_take_is_not_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunks, "BIG", 20)
        monkeypatch.setattr(reader, "BIG", 20)
        data = table(b"1\t" + b"a" * 40 + b"\tx")
        output = convert(data).output or b""
        size = len(output.split(b"\n", 1)[1])
        for limit, large in ((size, 0), (size - 1, 1)):
            monkeypatch.setattr(table_output, "LARGE_ROW", limit)
            assert convert(data).report.large_rows == large

    def test_large_rows_are_delivered_and_counted(self) -> None:
        sizes = [1_500_000, 1_999_000, 2_000_000, 5_000_000]
        lines = [b'2\t{"' + b"y" * size + b'": 1}\tx' for size in sizes]
        got = convert(table(*lines, b"3\tb\tx"))
        assert got.report.large_rows == 2
        assert [row[1] for row in got.rows] == [line.split(b"\t")[1].decode() for line in lines] + ["b"]
        assert got.hashes[:4] == [hashlib.sha256(line).hexdigest() for line in lines]

    def test_large_rows_are_held_back_like_others(self) -> None:
        line = b"2\t" + b"y" * 3_000_000 + b"\tx"
        assert convert(table(b"1\ta\tx", line, b"cut", line)).reasons == [
            *((4, "too_few_fields"), (3, "neighbour"), (5, "neighbour"))
        ]


MEASURE = """
import resource, sys
from edxorg.lib.tables import CourseColumns, convert_table
start, unit, times, end = map(eval, sys.argv[1:])
def blocks():
    yield start
    for _ in range(times):
        yield unit
    yield end
course = CourseColumns("a", "b", "c", "d", "e")
convert_table([b"a\\tb\\n1\\t2\\n"], course=course).close()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = convert_table(blocks(), course=course)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) >> 10, table.report.records_in, table.report.rows_out)
table.close()
"""
"""Prints MiB more than before, and counts; the arguments are expressions."""


@pytest.mark.parametrize(
    ("start", "unit", "times", "end", "counts"),
    [
        pytest.param(r"b'a\tb\n'", "b'x' * (1 << 20)", 100, r"b'\n1\t2\n'", [2, 1], id="a line of 100 MiB"),
        pytest.param(r"b'a\tb\n'", "b'x' * (1 << 20)", 100, "b''", [1, 0], id="no line end"),
        pytest.param(r"b'a\n\"\n'", r"b'short line 1\n' * 100_000", 20, "b''", [2_000_001] * 2, id="short lines"),
        pytest.param(
            r"""b'"a"\t"b"\n1\t"' """, r"b'yz\n' * 100_000", 30, r"""b'"\n1\t2\n'""", [2, 1], id="a long quoted record"
        ),
        pytest.param(r"b'a\tb\n'", r"""b'1\t{"a": "b"}\n' * 50_000""", 20, "b''", [1_000_000] * 2, id="rows"),
        pytest.param(r"b'a\tb\n'", r"b'\\\n' * 140_000", 1, "b''", [131_073, 0], id="rejects of a backslash"),
    ],
)
def test_memory_does_not_grow_with_the_table(start: str, unit: str, times: int, end: str, counts: list[int]) -> None:
    printed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", MEASURE, start, unit, str(times), end], capture_output=True, text=True, check=True
    ).stdout
    more, *found = map(int, printed.split())
    assert found == counts
    assert more < 60


@pytest.mark.parametrize(
    "table",
    [
        "auth_user",
        "auth_userprofile",
        "certificates_generatedcertificate",
        "courseware_studentmodule",
        "student_courseenrollment",
        "student_languageproficiency",
        "teams",
        "teams_membership",
        "user_api_usercoursetag",
        "verify_student_verificationstatus",
        "wiki_article",
        "wiki_articlerevision",
    ],
)
def test_a_real_table_comes_out_as_an_independent_reader_has_it(table: str, real_data: Callable[[str], Path]) -> None:
    path = real_data(f"edx-package/edX-DemoX-Demo_Course-{table}-acceptance.sql")
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    got = convert(path.read_bytes())
    assert got.problem is None
    assert got.rejects == []
    assert got.report.columns == tuple(lines[0].decode().split("\t"))
    assert got.rows == [line.decode().split("\t") for line in lines[1:]]
    assert got.hashes == [hashlib.sha256(line).hexdigest() for line in lines[1:]]


ESCAPED = table(
    b"1\ta\tx",
    b"2\tb\\\nb\\\tb\\\\n\ty",
    b'3\t{"k": "v"}\tx',
    b'4\tsays "x"\tx',
    b"cut",
    b"5\tNULL\t\xff" + b"f" * 30,
    b"6\t" + b"g" * 30 + b"\tx\ty",
    b"6\ta\tx\ty",
    b'7\t"' + "é".encode() * 20 + b'"\tx',
    b"8\tc\\\nd" + b"h" * 30 + b"\tx",
    b"9\ta\tx",
)
QUOTED = table(
    b"1\ta\tx",
    b'2\t"b\nb\tb ""b"""\ty',
    b'3\t"{""k"": ""v""}"\tx',
    b'4\t"' + "é".encode() * 20 + b'\t"\tx',
    b"5\t" + b"g" * 30 + b"\tx\ty",
    b"6\ta\tx",
    b"7\ta\tx",
)


@pytest.mark.parametrize("row_hash", RowHash)
@pytest.mark.parametrize("escapes", Escapes)
@pytest.mark.parametrize(
    "data", [ESCAPED, QUOTED, GOOD.join([b"id\ttext\tlast\n", b"1\t" + b"x" * 40 + b"\ty\n", b""])]
)
def test_records_that_are_written_in_slices_come_out_like_others(
    data: bytes, escapes: Escapes, row_hash: RowHash, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = convert(data, escapes=escapes, row_hash=row_hash)
    assert usual.rows
    for module in (chunks, reader):
        monkeypatch.setattr(module, "BIG", 20)
    monkeypatch.setattr(table_output, "_SLICE", 9)
    monkeypatch.setattr(table_output, "_TOGETHER", 2)
    assert convert(data, escapes=escapes, row_hash=row_hash) == usual


@pytest.mark.parametrize("size", [9, 10, 11])
def test_the_start_of_an_oversized_record_is_cut_inside_a_character_only_if_the_record_goes_on(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_output, "RECORD_HEAD", 10)
    log = RejectLog()
    record = Spool()
    record.write(("x" * 9 + "é").encode()[:size])
    log.add_oversized(2, record)
    assert log.spool is not None
    (reject,) = [json.loads(line) for line in log.spool.reader()]
    assert raw(reject) == {9: b"x" * 9, 10: b"x" * 9 + b"\xc3", 11: b"x" * 9}[size]


@pytest.mark.parametrize("size", [9, 99])
def test_rejects_of_any_size_are_in_their_order(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_output, "_SLICE", size)
    records = [b"a", b"b" * size, b"c", b"d" * (size + 1), b"e", b"f" * 300, b"\xff" * 100, b"g", b"h"]
    log = RejectLog()
    log.add(RejectReason.QUOTES, enumerate(records, start=2))
    assert log.spool is not None
    rejects = [json.loads(line) for line in log.spool.reader()]
    assert [(reject["line"], reject["reason"], raw(reject)) for reject in rejects] == [
        (line, "quotes", record) for line, record in enumerate(records, start=2)
    ]
    assert log.counts == {RejectReason.QUOTES: len(records)}


class TestDiskSpace:
    RECORD = b'2\t"short\n' + b"y" * 500 + b'\nend"\tz'
    DATA = table(b"1\ta\tx", RECORD, RECORD, b"cut", b"3\tb\tx", b"4\tc\tx")

    @pytest.fixture(autouse=True)
    def left(self, monkeypatch: pytest.MonkeyPatch) -> dict[int, Spool]:
        """The files that are open."""
        opened: dict[int, Spool] = {}

        class Counted(Spool):
            def __init__(self) -> None:
                super().__init__()
                opened[id(self)] = self

            def close(self) -> None:
                super().close()
                opened.pop(id(self), None)

        for module in (cutting, routing, table_output):
            monkeypatch.setattr(module, "Spool", Counted)
        for module in (cutting, routing):
            monkeypatch.setattr(module, "RECORD_LIMIT", 100)
        monkeypatch.setattr(cutting, "CHUNK", 30)
        monkeypatch.setattr(table_output, "MAX_OVERSIZED", 1)
        return opened

    @pytest.mark.parametrize("escapes", Escapes)
    def test_a_table_that_is_closed_has_given_all_back(self, left: dict[int, Spool], escapes: Escapes) -> None:
        got = convert(self.DATA, dialect=Dialect.QUOTED, escapes=escapes)
        assert (len(got.oversized), len(got.rejects), got.report.rows_out) == (1, 4, 2)
        assert not left

    @pytest.mark.parametrize("more", [b"", b'5\t"open\n' + b"y\n" * 100])
    @pytest.mark.parametrize("escapes", Escapes)
    def test_a_conversion_that_breaks_off_has_given_all_back(
        self, left: dict[int, Spool], more: bytes, escapes: Escapes
    ) -> None:
        def blocks() -> Iterator[bytes]:
            yield self.DATA + more
            assert left
            message = "connection reset"
            raise ConnectionError(message)

        with pytest.raises(ConnectionError, match="connection reset"):
            convert(blocks(), dialect=Dialect.QUOTED, escapes=escapes)
        assert not left


def test_an_escaped_row_with_quotes_may_begin_with_an_empty_value() -> None:
    got = convert(table(b'\tsays "x" here\tx', b"2\ta\\\nb\tx"), dialect=Dialect.ESCAPED)
    assert got.rows == [["", 'says "x" here', "x"], ["2", "a\\\nb", "x"]]
