"""Where a tracking log is cut, with limits of a few bytes and pieces of all sizes."""

from __future__ import annotations

import gzip
import hashlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.tracking_log import log_blocks
from edxorg.lib.tracking_log.log_blocks import LineBlock, cut_lines
from edxorg.lib.tracking_log.log_rejects import EXCERPT_BYTES, OversizedLine
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

Cut = LineBlock | tuple[Any, ...]
A20, A31, A32, A33 = (b"a" * length for length in (20, 31, 32, 33))


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("BLOCK_BYTES", 16), ("BLOCK_LINES", 4), ("MAX_LINE_BYTES", 32), ("EXCERPT_BYTES", 8)):
        monkeypatch.setattr(log_blocks, name, limit)


def too_long(number: int, line: bytes, left_out: int = 0) -> tuple[Any, ...]:
    return number, line[:8], len(line), hashlib.sha256(line).hexdigest(), left_out, line


def cut(data: bytes, size: int) -> list[Cut]:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return [plain(each) if isinstance(each, OversizedLine) else each for each in cut_lines(pieces)]


def plain(line: OversizedLine) -> tuple[Any, ...]:
    record = gzip.decompress(line.record.reader().read())
    return line.line, line.excerpt, line.length, line.sha256, line.left_out, record


CASES: dict[str, tuple[bytes, list[Cut]]] = {
    "nothing": (b"", []),
    "less than a block": (b"a\nb\n", [LineBlock(b"a\nb\n", 1, 2, 0)]),
    "no line end": (b"a\nb", [LineBlock(b"a\nb", 1, 2, 0)]),
    "blocks to the byte": (
        b"1234567\n" * 4 + b"x",
        [
            LineBlock(b"1234567\n" * 2, 1, 2, 0),
            LineBlock(b"1234567\n" * 2, 3, 2, 0),
            LineBlock(b"x", 5, 1, 0),
        ],
    ),
    "a block's bytes with a part of a line": (
        b"abc\nabc\nabc\nabcd",
        [LineBlock(b"abc\n" * 3, 1, 3, 0), LineBlock(b"abcd", 4, 1, 0)],
    ),
    "a line end first": (
        b"\n" + A20 + b"\nb\n",
        [LineBlock(b"\n", 1, 1, 0), LineBlock(A20 + b"\n", 2, 1, 0), LineBlock(b"b\n", 3, 1, 0)],
    ),
    "the longest line": (A32 + b"\nb\n", [LineBlock(A32 + b"\n", 1, 1, 0), LineBlock(b"b\n", 2, 1, 0)]),
    "the longest line without an end": (A32, [LineBlock(A32, 1, 1, 0)]),
    "a line that is longer": (
        b"b\n" + A33 + b"\nc\n",
        [LineBlock(b"b\n", 1, 1, 0), too_long(2, A33), LineBlock(b"c\n", 3, 1, 0)],
    ),
    "a longer one without an end": (A33, [too_long(1, A33)]),
    "two that are longer": (A33 + b"\n" + A33 + b"b\n", [too_long(1, A33), too_long(2, A33 + b"b")]),
    "short lines": (
        b"\n" * 26,
        [*(LineBlock(b"\n" * 4, first, 4, 0) for first in range(1, 25, 4)), LineBlock(b"\n" * 2, 25, 2, 0)],
    ),
    "a hole": (
        b"\0" * 40 + b"abc\nb\n" + A20 + b"\n",
        [LineBlock(b"\0abc\nb\n", 1, 2, 39), LineBlock(A20 + b"\n", 3, 1, 0)],
    ),
    "a hole before short lines": (
        b"\0" * 40 + b"\n" * 5,
        [LineBlock(b"\0" + b"\n" * 4, 1, 4, 39), LineBlock(b"\n", 5, 1, 0)],
    ),
    "a hole at the end": (b"\0" * 40, [LineBlock(b"\0", 1, 1, 39)]),
    "a hole before a line that is too long": (
        b"\0" * 40 + A33 + b"\n" + A33 + b"\n",
        [too_long(1, b"\0" + A33, 39), too_long(2, A33)],
    ),
    "a hole of two bytes": (b"\0\0" + A31 + b"\n", [LineBlock(b"\0" + A31 + b"\n", 1, 1, 1)]),
    "a line that begins with a single NUL": (b"\0" + A32 + b"\n", [too_long(1, b"\0" + A32)]),
    "the longest line that begins with NULs": (
        b"\0\0" + A31[1:] + b"\n",
        [LineBlock(b"\0\0" + A31[1:] + b"\n", 1, 1, 0)],
    ),
    "a short line that begins with NULs": (b"\0\0" + A20 + b"\n", [LineBlock(b"\0\0" + A20 + b"\n", 1, 1, 0)]),
}


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("size", [1, 3, 16, 17, 1000])
@pytest.mark.parametrize("case", CASES)
def test_a_log_is_cut_at_the_same_places_whatever_its_pieces(case: str, size: int) -> None:
    data, expected = CASES[case]
    assert cut(data, size) == expected


def test_a_block_has_four_mebibytes_at_the_most_and_not_too_many_lines() -> None:
    blocks = [each for each in cut_lines([(b"x" * 1023 + b"\n") * (9 << 10)]) if isinstance(each, LineBlock)]
    assert [block.lines for block in blocks] == [4 << 10, 4 << 10, 1 << 10]
    blocks = [each for each in cut_lines([b"\n" * 16_385]) if isinstance(each, LineBlock)]
    assert [block.lines for block in blocks] == [16_384, 1]


@pytest.mark.parametrize(
    ("data", "first", "second"),
    [
        (b"a\nb\nc\nd\n", b"a\nb\nc\n", b"d\n"),
        (b"aaaa\nb\n", b"aaaa\n", b"b\n"),
        (b"aaaa\n\n", b"aaaa\n", b"\n"),
        (b"a\nbbbbbbb\n", b"a\n", b"bbbbbbb\n"),
        (b"\nbbbbbb\n", b"\n", b"bbbbbb\n"),
        (b"a\nb", b"a\n", b"b"),
        (b"\n\n", b"\n", b"\n"),
        (b"a\n" * 5 + b"b" * 10, b"a\n" * 5, b"b" * 10),
        (b"aaaaa\n" + b"b\n" * 6, b"aaaaa\nb\nb\n", b"b\n" * 4),
    ],
)
def test_a_block_is_halved_at_a_line_end_near_its_middle(data: bytes, first: bytes, second: bytes) -> None:
    lines = first.count(b"\n")
    halves = LineBlock(data, 7, lines + len(second.splitlines()), 5).halves()
    assert halves == (LineBlock(first, 7, lines, 5), LineBlock(second, 7 + lines, len(second.splitlines()), 0))
    assert [half.size for half in halves] == [len(first) + 5, len(second)]


def test_what_is_kept_of_a_long_line_is_written_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    line = random.Random(1).randbytes(6 << 20).replace(b"\n", b"")  # noqa: S311
    record = Spool()
    monkeypatch.setattr(log_blocks, "Spool", lambda: record)
    monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 1 << 17)
    written = []

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(line), 1 << 20):
            yield line[start : start + (1 << 20)]
            written.append(record.size)

    (oversized,) = cut_lines(pieces())
    assert isinstance(oversized, OversizedLine)
    assert oversized.excerpt == line[:EXCERPT_BYTES]
    assert written[-1] > len(line) - (4 << 20)
    assert gzip.decompress(oversized.record.reader().read()) == line


@pytest.mark.usefixtures("small_limits")
def test_what_was_kept_of_a_long_line_is_given_up_where_the_log_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Spool()
    record.write(b"of a log that breaks off")
    monkeypatch.setattr(log_blocks, "Spool", lambda: record)

    def pieces() -> Iterator[bytes]:
        yield A33
        raise EOFError

    with pytest.raises(EOFError):
        list(cut_lines(pieces()))
    assert record.reader().read() == b""
