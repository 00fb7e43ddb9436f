"""Lines that are read together: which of them, and what their values become."""

from __future__ import annotations

import json

import pytest

from edxorg.lib.tracking_log.fast_path import Frame, read_quickly
from edxorg_tests.support.log_model import read_line
from edxorg_tests.support.tracking_logs import MIB, read_each


@pytest.mark.parametrize(
    "odd", ['{"a": 1, "a": 1}', '{"a": "\\ud83d", "b": 1}', '{"a":1, "b": 2}', '{"a": "x", "time": "no"}']
)
def test_a_line_that_must_be_read_exactly_leaves_its_neighbours_alone(odd: str) -> None:
    usual = '{"a": "x", "b": 1.0}'
    timed = '{"a": "x", "time": 1714979289}'
    found = read_each([usual, timed, odd, usual, timed] * 3)
    ab, a_time = (("a", "b"), [b'"x"', b'"1.0"']), (("a", "time"), [b'"x"', b'"2024-05-06 07:08:09.000000"'])
    assert found == [ab, a_time, None, ab, a_time] * 3


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "odd",
    ['"caf\\u00e9"', '"\\/"', '"a\\"b"', '"\\ud83d"', "null", "1.10", '["a"]', '[1, "]"]', '{"a": "\\ud83d\\ude00"}'],
)
@pytest.mark.parametrize("usually", ["", "null", "1"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1, 0), (1, 1, 0, 1), (1,)])
def test_the_quick_reader_sees_which_values_need_work(
    odd: str, place: int, order: tuple[int, ...], usually: str
) -> None:
    usual = [usually] * 3 if usually else ['"plain"', '""', '"é"']
    unusual = [odd if number == place else text for number, text in enumerate(usual)]
    lines = [f'{{"a": {a}, "b": {b}, "c": {c}}}' for a, b, c in ((usual, unusual)[number] for number in order)]
    found = read_each(lines)
    is_lone = "ud83d" in odd and "ude00" not in odd
    for number, line, event in zip(order, lines, found, strict=True):
        if number and is_lone:
            assert event is None
            continue
        expected = [json.dumps(value, ensure_ascii=False).encode() for value in read_line(line.encode()).values()]
        assert event == (("a", "b", "c"), expected)


def test_lines_with_the_same_keys_by_two_writers_are_read_by_writer() -> None:
    lines = [line for number in range(4) for line in (f'{{"a": {number}, "b": "x"}}', f'{{"a":{number},"b":"x"}}')]
    found = read_quickly([line.encode() + b"\n" for line in lines])
    assert [list(events.places) for events in found] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert [events.columns[0] for events in found] == [[b'"0"', b'"1"', b'"2"', b'"3"']] * 2


@pytest.mark.parametrize("line", ['{"a":1,"b":"x"}', '{"a": 1, "b": "x"}', '{"é":1,"b":"x"}', '{"":1,"b":"x"}'])
def test_the_quick_reader_reads_what_writers_write(line: str) -> None:
    (found,) = read_each([line])
    assert found is not None
    assert found[1] == [b'"1"', b'"x"']


@pytest.mark.parametrize(
    "line",
    [
        '{"a":1,"b":2,"a":3}',
        '{"a": 1, "a": 1}',
        '{"a": 1, "b": 22222, "c":3,"d":4,"e":5,"a":9}',  # as long as it were with all its spaces, and one member less
        '{"a":  1}',
        '{"a": 1 }',
        '{"\\u0061": 1}',
        '{"a": "\\ud83d"}',
        '{"time": "300-01-01"}',
        "{" + ",".join(f'"{n}":1' for n in range(501)) + "}",
    ],
)
def test_the_quick_reader_leaves_what_a_parser_would_change(line: str) -> None:
    assert read_each([line]) == [None]


@pytest.mark.parametrize("keys", [1, 499, 500, 501])
def test_the_quick_reader_reads_lines_of_up_to_500_keys(keys: int) -> None:
    line = json.dumps({f"k{number}": number for number in range(keys)})
    (found,) = read_each([line])
    expected = tuple(f"k{number}" for number in range(keys)), [b'"%d"' % number for number in range(keys)]
    assert found == (expected if keys <= 500 else None)


def test_an_object_without_keys_is_left() -> None:
    assert read_each(["{}", '{"a":1}', "{}"]) == [None, (("a",), [b'"1"']), None]


@pytest.mark.parametrize("longer", [0, 1])
def test_a_line_of_over_a_mebibyte_is_left(longer: int) -> None:
    text = "x" * (MIB - len('{"a":""}\n') + longer)
    long, short = read_each([f'{{"a":"{text}"}}', '{"a":"y"}'])
    assert long == (None if longer else (("a",), [b'"%b"' % text.encode()]))
    assert short == (("a",), [b'"y"'])


def test_a_line_that_is_no_event_leaves_the_next_ones_alone() -> None:
    a = (("a",), [b'"1"'])
    assert read_each(['{"a":1}', "no", '{"a":1}', "[" * 100_000, '{"a":1}']) == [a, None, a, None, a]
    assert read_quickly([]) == []


def test_bytes_that_are_no_utf8_are_left() -> None:
    found = read_quickly([b'{"a":"\xc3\xa9"}\n', b'{"a":"\xff"}\n', b'{"a":"b"}\n'])
    assert {place for events in found for place in events.places} == {0, 2}


@pytest.mark.parametrize("odd", [62, 63, 64, 65])
@pytest.mark.parametrize("line", ['{"time":  1714979289}', '{"time":"soon"}'])
def test_the_search_for_odd_lines_ends_after_64(odd: int, line: str) -> None:
    found = read_each([line] * odd + ['{"time":1714979289}'])
    assert found == [None] * odd + [(("time",), [b'"2024-05-06 07:08:09.000000"']) if odd < 64 else None]


def test_lines_of_one_writer_are_read_together_whatever_their_values_need() -> None:
    lines = [
        f'{{"time": {time}, "a": {a}}}' for time, a in [("1714979289", '"\\u00e9"'), ('"1714979289"', '"\\n"')] * 2
    ]
    (found,) = read_quickly([line.encode() + b"\n" for line in lines])
    assert list(found.places) == [0, 1, 2, 3]
    assert list(found.columns[1]) == ['"é"'.encode(), b'"\\n"'] * 2


def test_a_frame_puts_values_between_its_texts() -> None:
    frame = Frame([b"<", b"-", b">"])
    assert frame.lines([[b"1", b"22", b""], [b"a", b"", b"c"]]) == b"<1-a>\n<22->\n<-c>\n"
    assert frame.lines([[b"1"], [b"a"]]) == b"<1-a>\n"
    assert Frame([b"(", b")"]).lines([[b"1", b"2"]]) == b"(1)\n(2)\n"
    assert Frame([b"{}"]).lines([]) == b"{}\n"
