"""The lines of one block: what is written, counted and set aside, and where there is too much of it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.tracking_log import normalize_block as module
from edxorg.lib.tracking_log.exact_path import read_event
from edxorg.lib.tracking_log.fast_path import read_quickly
from edxorg.lib.tracking_log.log_output import Rows
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg.lib.tracking_log.normalize_block import NormalizedBlock, normalize_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.tracking_log.exact_path import ReadLine
    from edxorg.lib.tracking_log.fast_path import Events

MIXED = (
    b'{"a": "1"}\n'
    b"\t \r\n"
    b"no event\n"
    b'{"a": "2", "b": "x"}\n'
    b'\0\0{"b": "3"}\n'
    b'Jan  1 00:00:00 host {"a": "4", "c": "y"}\n'
    b'{"a": 1e999, "a": 2}\n'
    b'{"a": [1,  2 ] }\n'
    b'{"c":"5"}'
)
ROWS = [
    {"a": "1", "b": None, "c": None},
    {"a": "2", "b": "x", "c": None},
    {"a": None, "b": "3", "c": None},
    {"a": "4", "b": None, "c": "y"},
    {"a": "[1,  2 ]", "b": None, "c": None},
    {"a": None, "b": None, "c": "5"},
]


def texts(packed: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()] if packed else []


@pytest.fixture(params=["together", "one by one"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "one by one":
        monkeypatch.setattr(module, "_MAX_WRITTEN", 0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("together", [1, 20, 1 << 20])
def test_each_line_becomes_a_row_or_a_reject_or_is_blank(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES_TOGETHER", together)
    block = normalize_block(None, [MIXED[:7], MIXED[7:]], 11, ["a"])
    assert texts(block.output) == ROWS
    assert list(texts(block.output)[0]) == ["a", "b", "c"]
    assert block.bytes_normalized == len(gzip.decompress(block.output))
    assert [(reject["line"], reject["reason"], reject["raw"]) for reject in texts(block.rejects)] == [
        (13, "no_json_object", "no event"),
        (17, "repeated_key", '{"a": 1e999, "a": 2}'),
    ]
    assert (block.new_columns, block.is_too_much) == (["b", "c"], False)
    assert (block.lines_out, block.blank, block.nul_bytes, block.syslog_prefixes) == (6, 1, 1, 1)
    assert block.exact_path_lines == 1
    assert block.rejected == {LineRejectReason.NO_OBJECT: 1, LineRejectReason.REPEATED_KEY: 1}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_lines_that_are_alike_bring_nothing_but_rows(last: bytes) -> None:
    lines = [b'{"b": "%d", "a": null}' % number for number in range(5)]
    block = normalize_block(None, [b"\n".join(lines) + last], 1, ["a", "b"])
    assert texts(block.output) == [{"a": None, "b": str(number)} for number in range(5)]
    assert (block.lines_out, block.exact_path_lines, block.new_columns, block.rejects) == (5, 0, [], b"")


def test_a_block_without_an_event_has_no_output() -> None:
    block = normalize_block(None, [b"\n \nx\n"], 1, [])
    assert (block.output, block.bytes_normalized, block.blank, block.lines_out) == (b"", 0, 2, 0)
    assert [reject["line"] for reject in texts(block.rejects)] == [3]


def test_a_key_that_is_too_long_rejects_its_lines_alone() -> None:
    block = normalize_block(None, [b'{"a":"1"}\n{"%b":"1"}\n{"a":"2"}\n' % (b"k" * 257)], 1, [])
    assert texts(block.output) == [{"a": "1"}, {"a": "2"}]
    assert [(reject["line"], reject["reason"]) for reject in texts(block.rejects)] == [(2, "key_too_long")]


def test_lines_are_written_together_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b'{"a":"1"}\n{"b":"1"}\n{"a":"2"}\n{"b":"2"}\n{"a":"3"}\n'
    written: list[int] = []
    write = Rows.write

    def write_and_count(rows: Rows, events: Events) -> bytes:
        written.append(len(events.places))
        return write(rows, events)

    monkeypatch.setattr(Rows, "write", write_and_count)
    least = Rows(["a", "b"]).least_bytes
    for room, expected in ((5 * least, [3, 2]), (5 * least - 1, [1] * 5)):
        written.clear()
        monkeypatch.setattr(module, "_MAX_WRITTEN", room)
        assert normalize_block(None, [lines], 1, ["a", "b"]).lines_out == 5
        assert written == expected


@pytest.mark.usefixtures("at_once")
def test_a_line_that_was_read_with_others_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def read_and_remember(line: bytes) -> ReadLine:
        read.append(line)
        return read_event(line)

    monkeypatch.setattr(module, "read_event", read_and_remember)
    block = normalize_block(None, [b'{"a":"1"}\n{"b":"1"}\n{"b":"2"}\n{"c":"1", "c":"2"}\n{"d":"1"}\n'], 1, ["a"])
    assert [row["b"] for row in texts(block.output)] == [None, "1", "2", None]
    assert set(read) == {b'{"c":"1", "c":"2"}'}


def test_a_block_becomes_64_mebibytes_at_the_most() -> None:
    keys = [f"{number:0250}" for number in range(500)]
    line = len(json.dumps(dict.fromkeys(keys), separators=(",", ":"))) + 1
    lines = (64 << 20) // line
    assert normalize_block(None, [b"{}\n" * lines], 1, keys).bytes_normalized == lines * line
    assert normalize_block(None, [b"{}\n" * (lines + 1)], 1, keys).is_too_much


@pytest.mark.parametrize("columns", [["a"], []])
def test_a_block_whose_output_is_too_large_is_given_back(columns: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b'{"a":"1"}\n{"a":"2"}\n'
    monkeypatch.setattr(module, "_MAX_OUTPUT", len(lines))
    block = normalize_block(None, [lines], 1, columns)
    assert (gzip.decompress(block.output), block.is_too_much) == (lines, False)
    monkeypatch.setattr(module, "_MAX_OUTPUT", len(lines) - 1)
    block = normalize_block(None, [lines], 1, columns)
    assert (block.output, block.rejects, block.bytes_normalized, block.is_too_much) == (b"", b"", 0, True)


def test_keys_that_come_late_can_make_it_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_OUTPUT", 40)
    assert normalize_block(None, [b'{"a":"1"}\n{"a":"1"}\n{"b":"1"}\n'], 1, []) == NormalizedBlock(is_too_much=True)


def test_what_is_too_much_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_OUTPUT", 5)
    monkeypatch.setattr(module, "_BYTES_TOGETHER", 1)
    read: list[bytes] = []

    def read_and_remember(lines: Sequence[bytes]) -> list[Events]:
        read.extend(lines)
        return read_quickly(lines)

    monkeypatch.setattr(module, "read_quickly", read_and_remember)
    assert normalize_block(None, [b'{"a":"1"}\n' * 3], 1, []).is_too_much
    assert len(read) == 1
