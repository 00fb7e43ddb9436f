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
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg_tests.support.log_model import TIMES, as_reject, assert_as_expected, read_line, spans, straightforward
from edxorg_tests.support.tracking_logs import read_each

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
