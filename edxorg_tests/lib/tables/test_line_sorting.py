"""Lines by their quotes, for every line of a few bytes, against a plain reading of the same rules."""

from __future__ import annotations

import re
from itertools import product

import pytest

from edxorg.lib.tables.line_sorting import NO_MARK, LinesByQuoting, QuoteCounts, sort_lines

QUOTED = re.compile(rb'"(?:[^"]|"")*"')


def list_of(line: bytes, tabs: int) -> str | None:
    """The list that a line belongs into; None if it is in none."""
    fields = line.split(b"\t")
    is_regular = line.count(b"\t") == tabs and b"\r" not in line
    first = line.find(b'"')
    if first < 0:
        return None if is_regular else "irregular"
    with_quotes = [field for field in fields if b'"' in field]
    is_at_start = first == 0 or line[first - 1 : first] == b"\t"
    if not is_regular or len(with_quotes) > 1:
        return "other_quotes" if is_at_start else "unreadable_quotes"
    (field,) = with_quotes
    if not is_at_start:
        return "quotes_inside"
    if len(field) < 2 or not QUOTED.fullmatch(field):
        return "other_quotes"
    if b'"' not in field[1:-1]:
        return "quoted_needlessly"
    return "quoted_json" if field[1:2] + field[-2:-1] in {b"{}", b"[]"} else "quoted"


def sorted_lines(lines: list[bytes], tabs: int) -> LinesByQuoting:
    marks = b"".join(line + b"\n" for line in lines).translate(None, NO_MARK)
    return sort_lines(lines, marks, tabs)


@pytest.mark.parametrize("tabs", [0, 1, 2])
def test_each_line_is_in_its_list(tabs: int) -> None:
    lines = [bytes(each) for size in range(6) for each in product(b'a"\t\r{', repeat=size)]
    lines += [b'"{""a""}"', b'"[""a""]"', b'"{""a""]"', b'"{""a"}"', b'"{a}"', b'\t"{""a""}"\t', b'"[""]"\tx']
    lines += [
        b'x"y"',
        b'"a""b"',
        b'"a""""b"',
        b'"a"b""',
        b'"a""b',
        b'"""a"',
        b'"a"""',
        b'""""',
        b'"""""',
        b'"a" ',
        b' "a"',
    ]
    found = sorted_lines(lines, tabs)
    lists: dict[int, str] = {}
    for name, places in found._asdict().items():
        for each in places:
            place, first = each if isinstance(each, tuple) else (each, None)
            assert place not in lists
            lists[place] = name
            assert first is None or first == lines[place].find(b'"')
        assert places == sorted(places)
    for place, line in enumerate(lines):
        assert lists.get(place) == list_of(line, tabs), line
    slow = {place for place, name in lists.items() if name in {"unreadable_quotes", "other_quotes", "irregular"}}
    assert set(found.needs_slow_path()) == slow
    assert len(found.needs_slow_path()) == len(slow)


@pytest.mark.parametrize("lines", [[b"a\tb"], [b"a\tb"] * 3, []])
def test_lines_without_marks_are_in_none(lines: list[bytes]) -> None:
    assert not any(sorted_lines(lines, 1))


@pytest.mark.parametrize(
    ("mark", "count"),
    [(b'\t"\n"', 3), (b'"\n\n"\t', 4), (b'"\n"\t"', -1), (b'\t\t"\n"', -1), (b'"\n"', -1), (b'"\t\n"', -1)],
)
def test_line_ends_inside_a_record_count_as_quotes(mark: bytes, count: int) -> None:
    assert QuoteCounts(1)[mark] == count
