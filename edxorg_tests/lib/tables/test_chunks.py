"""Facts about the lines of a chunk, and how a dump is cut into chunks: another answer may only cost time or memory."""

from __future__ import annotations

import pytest

from edxorg.lib.tables import chunks
from edxorg.lib.tables.chunks import Chunk, LongLine
from edxorg.lib.tables.cutting import SHORT_LINES, LineReader
from edxorg.lib.tables.detection import Tally
from edxorg.lib.tables.header import Layout
from edxorg.lib.tables.table_model import SHORTEST_RECORDS

LAYOUT = Layout(("one", "two"), tabs=1, crlf=False, wrapped=False)


def chunk(*lines: bytes) -> Chunk:
    return Chunk(b"".join(line + b"\n" for line in lines), 1, crlf=False)


class TestChunk:
    @pytest.mark.parametrize(
        ("data", "kept", "crlf"),
        [
            (b"1\ta\r\n2\tb\r\n", b"1\ta\n2\tb\n", False),
            (b"1\ta\r\n2\tb\n", b"1\ta\r\n2\tb\n", True),
            (b"1\ta\n2\tb\r\r\n", b"1\ta\n2\tb\r\r\n", True),
            (b'1\t"a\r\nb"\r\n', b'1\t"a\r\nb"\r\n', True),
            (b"1\ta\\\r\n", b"1\ta\\\r\n", True),
            (b"1\ta\r\r\n", b"1\ta\r\n", False),
        ],
    )
    def test_crs_are_dropped_where_each_line_has_one_and_none_can_be_data(
        self, data: bytes, kept: bytes, *, crlf: bool
    ) -> None:
        found = Chunk(data, 1, crlf=True)
        assert (found.data, found.crlf) == (kept, crlf)

    @pytest.mark.parametrize("crlf", [False, True])
    @pytest.mark.parametrize(
        "line",
        [
            *(b'2\tx"y', b'2\t"{""a"": 1}"', b'2\t"x""y"', b'2\t"x"', b'a"\tb"', b'2\t"x', b"2", b"2\ta\tb", b""),
            *(b"2\\\ta", b"2\ta\\", b"2\ta\\\\", b"2\\\\\ta", b'"2"\t"a"'),
        ],
    )
    def test_lines_that_all_dialects_read_alike_come_before_the_first_other_one(
        self, line: bytes, *, crlf: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = [b"0\ta", b"1\tb\\n", line, b"3\tc"]
        end = b"\r\n" if crlf else b"\n"
        for big in (1 << 20, 1):
            monkeypatch.setattr(chunks, "BIG", big)
            assert Chunk(b"".join(each + end for each in lines), 1, crlf=crlf).alike_lines() == 2

    def test_a_line_without_its_cr_is_read_alike_by_none(self) -> None:
        assert Chunk(b"0\ta\r\n1\tb\n2\tc\r\n", 1, crlf=True).alike_lines() == 1

    def test_all_lines_may_be_read_alike(self) -> None:
        assert chunk(b"0\ta", b"1\tb\\n", b"2\tc").alike_lines() == 3
        assert Chunk(b'0\ta\r\n1\t"b"\r\n', 1, crlf=True).alike_lines() == 1

    @pytest.mark.parametrize("mark", ["long_quoted", "long_escaped"])
    def test_lines_of_an_oversized_record_are_not_read_alike(self, mark: str) -> None:
        part = chunk(b"0\ta", b"1\tb")
        setattr(part, mark, 1)
        assert part.alike_lines() == 0
        assert [getattr(each, mark) for each in (part.head(1), part.tail(1))] == [1, 1]

    @pytest.mark.parametrize(
        ("lines", "settled"),
        [
            ([b"0\ta", b"1\tb"], 2),
            ([b"0\ta", b'1\t"b'], 1),
            ([b'0\t"a', b"1\tb"], 0),
            ([b"0\ta", b"1\tb\\"], 1),
            ([b"0\ta", b"1\tb\\\\"], 2),
            ([b"0\ta", b"1\tb\\", b"c\\"], 1),
            ([b"0\ta", b"1\tb\\", b"c", b"2\td\\"], 3),
            ([b"0\ta", b'1\t"b', b'c"', b"2\td"], 4),
            ([b"0\ta", b'1\t"b', b'c"\\'], 2),
            ([b"0\ta", b'1\t"b', b'c"\td\\'], 1),
            ([b"0\ta", b'1\t"b', b"c", b'd"\te\\'], 1),
            ([b"0\ta", b"1\tb\\", b'c\t"d'], 1),
            ([b"0\ta\\", b'1\t"b', b'c"\td\\'], 0),
            ([b'0\t"a', b'b"', b'1\t"c', b'd"\te\\'], 2),
            ([b"0\\", b"1\\"], 0),
        ],
    )
    def test_lines_are_settled_before_a_record_that_is_not_over_in_any_dialect(
        self, lines: list[bytes], settled: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for big in (1 << 20, 1):
            monkeypatch.setattr(chunks, "BIG", big)
            assert chunk(*lines).settled_lines() == settled

    def test_lines_of_an_oversized_record_are_settled(self) -> None:
        part = chunk(b'0"\\', b'1\t"\\')
        part.long_quoted = part.long_escaped = 1
        assert part.settled_lines() == 2

    @pytest.mark.parametrize("big", [1, 1 << 20])
    def test_lines_inside_a_quoted_record_start_none(self, big: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunks, "BIG", big)
        lines = chunk(b"0\ta", b'1\t"b', b"c", b'd"', b'2\te"', b'3\t"f"', b'"4"\t"g"', b'5\t"h')
        assert [lines.span(place) for place in range(8)] == [1, 1 + 2, None, None, 0, 1, 1, -1]
        assert lines.covered == {2, 3}
        lines.forget()
        lines.long_quoted = 1
        assert lines.covered == set(range(8))
        assert [lines.span(place) for place in range(8)] == [None] * 8

    @pytest.mark.parametrize("big", [1, 1 << 20])
    def test_only_lines_that_can_start_a_record_are_looked_at(self, big: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunks, "BIG", big)
        assert chunk(b'0\t"a', b'""b', b'c"', b'1\t"d"').spans.get(0) == 3
        assert 1 not in chunk(b'0\t"a', b'""b', b'c"').spans
        assert chunk(b'0\t"a"b', b'1\t"c').spans == {0: 0, 1: -1}
        assert chunk(b"0\ta\\", b"b", b"1\tc").settled_lines() == 3

    @pytest.mark.parametrize("big", [1, 1 << 20])
    def test_lines_with_other_numbers_of_fields_or_without_their_cr_do_not_fit_plain(
        self, big: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chunks, "BIG", big)
        lines = chunk(b"0\ta", b"1", b'2\t"b', b'3\t"c\td', b"4\te\tf", b"5\tg\r")
        assert sorted(lines.misfits) == [1, 3, 4]
        data = b'0\ta\r\n1\tb\n2"\t"c\r\n3"\t"d\n4\r\n'
        assert sorted(Chunk(data, 1, crlf=True).misfits) == [1, 3, 4]

    def test_the_parts_of_a_chunk_are_its_lines(self) -> None:
        whole = chunk(b"0\ta", b"1\tb", b"2\tc")
        assert [whole.head(count).data for count in range(3)] == [b"", b"0\ta\n", b"0\ta\n1\tb\n"]
        assert [whole.tail(count).data for count in (1, 2, 3)] == [b"1\tb\n2\tc\n", b"2\tc\n", b""]
        assert whole.head(3) is whole.tail(0) is whole
        assert Chunk(b'0\t"\r\n"\r\n', 1, crlf=True).tail(1).crlf

    @pytest.mark.parametrize("data", [b"", b"0\ta\n", b"0\ta\\\nb\n1\tc\n"])
    def test_escaped_line_ends_are_counted_as_lines(self, data: bytes) -> None:
        assert Chunk(data, 1, crlf=False).line_count == data.count(b"\n")


class TestCuts:
    @pytest.mark.parametrize(
        ("size", "lines"),
        [(SHORTEST_RECORDS, [5_000]), (SHORTEST_RECORDS - 1, [SHORT_LINES, SHORT_LINES, 5_000 - 2 * SHORT_LINES])],
    )
    def test_only_very_short_lines_are_in_small_chunks(self, size: int, lines: list[int]) -> None:
        reader = LineReader([b"one\ttwo\n" + (b"y" * (size - 1) + b"\n") * 5_000])
        layout = reader.read_header()
        assert layout is not None
        found = [each.line_count for each in reader.chunks(layout) if isinstance(each, Chunk)]
        assert found == lines

    def test_a_line_without_quotes_that_is_too_long_for_memory_has_none(self) -> None:
        reader = LineReader([b"one\ttwo\n1\t", b"y" * (17 << 20), b"\n2\tb\n"])
        layout = reader.read_header()
        assert layout is not None
        (line,) = (each for each in reader.chunks(layout) if isinstance(each, LongLine))
        assert (line.quotes, line.ends_escaped) == (0, False)
        assert line.content.size == (17 << 20) + 2
        line.content.close()


class TestTally:
    def test_lines_with_another_pair_do_not_fit_escaped(self) -> None:
        tally = Tally(LAYOUT)
        tally.count(chunk(b"1\ta\\q", b"2\tb", b"3", b"4\tc"))
        assert (tally.not_plain, tally.not_escaped) == (1, 2)

    def test_each_line_of_a_record_with_another_pair_is_counted_once(self) -> None:
        tally = Tally(LAYOUT)
        tally.count(chunk(b"1\ta\\", b"b\\", b"c\\q", b"2\tb"))
        assert (tally.not_plain, tally.not_escaped) == (2, 3)

    def test_a_line_inside_a_quoted_field_is_no_record_of_its_own(self) -> None:
        tally = Tally(LAYOUT)
        tally.count(chunk(b'1\t"a', b'2\t""""', b'end"', b'2\t""""'))
        assert (tally.rfc4180_records, tally.rfc4180_violations) == (2, 0)

    def test_lines_with_quotes_in_an_oversized_record_violate_rfc_4180(self) -> None:
        tally = Tally(LAYOUT)
        part = chunk(b'1\t"a', b"2\tb", b'c"', b"4\td", b"5\te")
        part.long_quoted = 1
        tally.count(part)
        assert (tally.rfc4180_records, tally.rfc4180_violations) == (0, 2)
