"""Random logs, cut into random blocks, against a plain reader of the same rules."""

from __future__ import annotations

import gzip
import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edxorg.lib.tracking_log import NormalizedLog, log_blocks, normalize_block, normalize_log
from edxorg.lib.tracking_log.exact_path import NotAnObjectError, top_level_members
from edxorg.lib.tracking_log.fast_path import read_quickly
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg_tests.support.log_model import TIMES, as_reject, assert_as_expected, read_line, spans, straightforward

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.workers import WorkerPool

string_pieces = st.sampled_from(
    [
        "a",
        "é",
        "😀",
        "\x7f",
        "\u2028",
        "\\u00e9",
        "\\/",
        '\\"',
        "\\\\",
        "\\n",
        "\\u0000",
        "\\ud83d\\ude00",
        "{",
        "}",
        "[",
        ",",
        ":",
    ]
) | st.sampled_from(["\\ud83d", "\\uDE00", " "])
strings = st.lists(string_pieces, max_size=6).map(lambda pieces: f'"{"".join(pieces)}"')
scalars = strings | st.sampled_from(
    ["0", "-0", "1.10", "1e999", "12345678901234567890123", "0.1e-7", "true", "false", "null", "NaN", "01"]
)
spaces = st.sampled_from(["", "", " ", "\t", "\r", "  "])


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(strings, spaces, values).map(lambda m: f"{m[0]}{m[1]}:{m[1]}{m[2]}")
    return st.one_of(
        st.tuples(st.lists(values, max_size=3), spaces).map(lambda a: f"[{a[1]}{f'{a[1]},'.join(a[0])}]"),
        st.tuples(st.lists(member, max_size=3), spaces).map(lambda o: f"{{{f',{o[1]}'.join(o[0])}{o[1]}}}"),
    )


values = st.recursive(scalars, containers, max_leaves=12)
keys = st.sampled_from([f'"k{n}"' for n in range(9)] + ['"\\u006b1"', '""', '"é"', '"Time"', '"a\\"b"']) | strings
members = st.tuples(keys, spaces, values).map(lambda m: f"{m[0]}{m[1]}:{m[1]}{m[2]}") | st.sampled_from(
    [f'"time": {time}' for time in TIMES]
)
events = st.tuples(st.lists(members, max_size=6), spaces).map(lambda e: f"{e[1]}{{{f', {e[1]}'.join(e[0])}}}{e[1]}")


def usual(comma: str, colon: str) -> st.SearchStrategy[str]:
    """Events as one writer spells them all."""
    pairs = st.tuples(keys, values) | st.sampled_from([('"time"', time) for time in TIMES])
    return st.lists(pairs, max_size=6).map(lambda event: f"{{{comma.join(colon.join(pair) for pair in event)}}}")


usual_events = usual(", ", ": ") | usual(",", ":")
log_lines = st.one_of(
    usual_events.map(str.encode),
    usual_events.map(lambda event: event.encode() + b"\r"),
    events.map(str.encode),
    events.map(lambda event: b"Sep  9 00:00:48 localhost " + event.lstrip().encode()),
    events.map(lambda event: b"lms_1  | " + event.lstrip().encode()),
    events.map(lambda event: b"lms_1 | Sep  9 00:00:48 localhost " + event.lstrip().encode()),
    events.map(lambda event: b"\xef\xbb\xbf" + event.encode()),
    st.tuples(usual_events, st.integers(1, 9)).map(lambda event: b"\0" * event[1] + event[0].encode()),
    events.map(lambda event: b"\0\0lms_1 | " + event.lstrip().encode()),
    st.tuples(events.map(str.encode), st.integers(0, 80)).map(lambda cut: cut[0][: cut[1]]),
    st.binary(max_size=8).map(lambda noise: noise.replace(b"\n", b"")),
    st.sampled_from(
        [b"", b" \t\r", b"\0", b"lms_1 | ", b"[1]", b"5", b'"{}"', b"{}", b"{}{}", b'{"a":"\xff"}', b'{"a":"\x01"}']
    ),
)


def blocks_of(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def normalize(content: bytes, pool: WorkerPool, *, size: int = 1 << 16) -> NormalizedLog:
    packed = gzip.compress(content, 1)
    return normalize_log(blocks_of(packed, size), name="day.log.gz", pool=pool, progress=lambda _: None)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=st.lists(log_lines, min_size=1, max_size=25),
    block_bytes=st.integers(1, 300),
    end=st.sampled_from([b"", b"\n"]),
    size=st.integers(1, 99),
)
def test_any_log_in_any_blocks_comes_out_as_if_all_keys_had_been_known(
    log: list[bytes],
    block_bytes: int,
    end: bytes,
    size: int,
    pool: WorkerPool,
) -> None:
    content = b"\n".join(log) + end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_blocks, "BLOCK_BYTES", block_bytes)
        assert_as_expected(normalize(content, pool, size=size), content)


@settings(max_examples=200)
@given(
    log=st.lists(log_lines, min_size=1, max_size=5),
    order=st.lists(st.integers(0, 4), min_size=1, max_size=30),
    together=st.sampled_from([1, 200, 1 << 18]),
    most=st.sampled_from([0, 300, 1 << 23]),
)
def test_a_block_comes_out_the_same_however_many_lines_are_read_and_written_together(
    log: list[bytes], order: list[int], together: int, most: int
) -> None:
    content = b"\n".join(log[number % len(log)] for number in order)
    expected = straightforward(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalize_block, "_BYTES_TOGETHER", together)
        patch.setattr(normalize_block, "_MAX_WRITTEN", most)
        found = normalize_block.normalize_block(None, [content], 1, [])
    rejects = gzip.decompress(found.rejects).splitlines() if found.rejects else []
    assert (gzip.decompress(found.output) if found.output else b"") == expected.output
    assert [as_reject(json.loads(reject)) for reject in rejects] == expected.rejects
    assert found.new_columns == expected.columns
    assert found.blank == expected.blank
    assert found.lines_out == expected.output.count(b"\n")


def test_the_first_500_keys_are_kept_and_lines_that_bring_more_are_rejected(pool: WorkerPool) -> None:
    rng = random.Random(7)  # noqa: S311 - the same log each time
    content = b""
    for number in range(3_000):
        brought = rng.sample(range(10_000), rng.randrange(1, 8))
        known = rng.sample(range(50), 3)
        row = {f"key{key}": number for key in [*known, *(brought if number % 3 == 0 else [])]}
        content += json.dumps(row).encode() + b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_blocks, "BLOCK_BYTES", 3_000)
        log = normalize(content, pool)
        assert log.report.rejected[LineRejectReason.TOO_MANY_KEYS] > 500
        assert len(log.report.columns) == 500
        assert log.report.lines_out > 2_000
        assert_as_expected(log, content)


@settings(max_examples=300)
@given(
    text=events | values,
    cut=st.none() | st.tuples(st.integers(0, 60), st.integers(0, 4), st.sampled_from('{}[]":,0\\a \x01')),
)
def test_the_exact_reader_takes_the_json_that_python_takes(text: str, cut: tuple[int, int, str] | None) -> None:
    if cut is not None:
        at, removed, inserted = cut
        text = text[:at] + inserted + text[at + removed :]
    try:
        expected = [(key, source) for key, _, source in spans(text)]
    except (ValueError, TypeError, IndexError):
        with pytest.raises(NotAnObjectError):
            list(top_level_members(text.encode("utf-8", "surrogatepass")))
    else:
        found = [(json.loads(key), value.decode()) for key, value in top_level_members(text.encode())]
        assert found == expected


@settings(max_examples=300)
@given(text=usual_events | events)
def test_the_quick_reader_says_what_the_exact_one_says_or_nothing(text: str) -> None:
    (quick,) = read_each([text])
    if quick is not None:
        keys, values = quick
        exact = read_line(text.encode())
        assert list(zip(keys, map(json.loads, values), strict=True)) == list(exact.items())


@settings(max_examples=300)
@given(texts=st.lists(usual_events | events, min_size=1, max_size=4), order=st.lists(st.integers(0, 3), max_size=12))
def test_lines_that_are_read_together_are_read_as_each_alone(texts: list[str], order: list[int]) -> None:
    chosen = [texts[number % len(texts)] for number in order]
    assert read_each(chosen) == [read_each([line])[0] for line in chosen]


def read_each(lines: list[str]) -> list[tuple[tuple[str, ...], list[bytes]] | None]:
    """The keys and values of lines that are read together; None for those that must be read exactly."""
    found: list[tuple[tuple[str, ...], list[bytes]] | None] = [None] * len(lines)
    for events in read_quickly([line.encode() + b"\n" for line in lines]):
        for event in events.one_by_one():
            (place,) = event.places
            assert found[place] is None
            found[place] = event.keys, [bytes(value) for (value,) in event.columns]
    return found


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
