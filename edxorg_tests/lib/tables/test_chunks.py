"""Facts about the lines of a chunk, and how a dump is cut into chunks: another answer may only cost time or memory."""

from __future__ import annotations

import pytest

from edxorg.lib.tables.chunks import Chunk
from edxorg.lib.tables.cutting import SHORT_LINES, LineReader
from edxorg.lib.tables.detection import Tally
from edxorg.lib.tables.header import Layout
from edxorg.lib.tables.table_model import SHORTEST_RECORDS

LAYOUT = Layout(("one", "two"), tabs=1, crlf=False, wrapped=False)


def chunk(*lines: bytes) -> Chunk:
    return Chunk(b"".join(line + b"\n" for line in lines), 1, crlf=False)


class TestCuts:
    @pytest.mark.parametrize(
        ("size", "lines"),
        [(SHORTEST_RECORDS, [5_000]), (SHORTEST_RECORDS - 1, [SHORT_LINES, SHORT_LINES, 5_000 - 2 * SHORT_LINES])],
    )
    def test_only_very_short_lines_are_in_small_chunks(self, size: int, lines: list[int]) -> None:
        reader = LineReader([b"one\ttwo\n" + (b"x" * (size - 1) + b"\n") * 5_000])
        layout = reader.read_header()
        assert layout is not None
        found = [each.line_count for each in reader.chunks(layout) if isinstance(each, Chunk)]
        assert found == lines


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
        part = chunk(b'1\t"a', b"2\tb", b'c"', b"4\td")
        part.long_quoted = 1
        tally.count(part)
        assert (tally.rfc4180_records, tally.rfc4180_violations) == (0, 2)
