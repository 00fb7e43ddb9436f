from __future__ import annotations

import gzip
import hashlib
import json
import random
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.tracking_log import log_blocks, log_output
from edxorg.lib.tracking_log.fast_path import Events, read_quickly
from edxorg.lib.tracking_log.log_blocks import LineBlock, cut_lines
from edxorg.lib.tracking_log.log_output import GzipMember, Rows, bytes_of_nulls, with_late_keys
from edxorg.lib.tracking_log.log_rejects import LineRejectReason, RejectedLineError
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"".join(b'{"n": "%b"}\n' % hashlib.sha256(b"%d" % n).hexdigest()[:16].encode() for n in range(200))


def test_packing_depends_on_the_content_alone() -> None:
    content = CONTENT * 1_500  # several of the compressor's slices
    packed = set()
    for portion in (len(content), 1 << 20, 999_983, 4_096):
        member = GzipMember()
        taken = b""
        for start in range(0, len(content), portion):
            member.write(content[start : start + portion])
            taken += member.take()
        packed.add(taken + member.finish())
    assert len(packed) == 1
    assert gzip.decompress(packed.pop()) == content
    assert GzipMember().finish() == b""


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 300)
    monkeypatch.setattr(log_blocks, "EXCERPT_BYTES", 40)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("portion", [1, 64, 100, 101, 10_000])
def test_blocks_and_long_lines_are_cut_at_the_same_places_however_the_pieces_come(portion: int) -> None:
    lengths = [0, 99, 98, 1, 100, 0, 299, 300, 301, 5, 2_000, 301, 0, 300]
    content = b"\n".join(b"%c" % (97 + n) * length for n, length in enumerate(lengths)) + b"\nend"
    cut: list[tuple[int, bytes]] = []
    for item in cut_lines(content[i : i + portion] for i in range(0, len(content), portion)):
        if isinstance(item, LineBlock):
            cut.append((item.first_line, item.data))
            assert item.lines == 1
        else:
            record = gzip.decompress(item.record.reader().read())
            item.record.close()
            assert (item.length, item.sha256) == (len(record), hashlib.sha256(record).hexdigest())
            assert item.excerpt == record[:40]
            cut.append((item.line, record))
    whole = [*(line + b"\n" for line in content.split(b"\n")[:-1]), b"end"]
    expected = [line.rstrip(b"\n") if len(line) > 301 else line for line in whole]
    assert cut == list(enumerate(expected, 1))


def test_a_block_holds_as_many_lines_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 10)
    blocks = [item.data for item in cut_lines([b"1234\n1234\n123\n12345\n1\n\n"]) if isinstance(item, LineBlock)]
    assert blocks == [b"1234\n1234\n", b"123\n12345\n", b"1\n\n"]


def events(line: bytes) -> Events:
    (found,) = read_quickly([line + b"\n"])
    return found


def test_rows_have_the_keys_known_by_then_in_order_of_appearance() -> None:
    rows = Rows(["b"])
    assert rows.write(events(b'{"a":1,"b":2}')) == b'{"b":"2","a":"1"}\n'
    assert rows.write(Events([0, 1], ("é", '"'), [[b'"1"', b"null"], [b"null", b'"2"']])) == (
        '{"b":null,"a":null,"é":"1","\\"":null}\n{"b":null,"a":null,"é":null,"\\"":"2"}\n'.encode()
    )
    assert rows.columns == ["b", "a", "é", '"']


def test_keys_are_known_once_they_are_written() -> None:
    rows = Rows(["b"])
    brings = events(b'{"c":1,"b":2,"a":3}')
    assert rows.brought_by(brings) == ["c", "a"]
    assert rows.columns == ["b"]
    assert rows.write(brings) == b'{"b":"2","c":"1","a":"3"}\n'
    assert rows.brought_by(brings) == []
    assert rows.write(events(b'{"b":null}')) == b'{"b":null,"c":null,"a":null}\n'
    assert rows.write(events(b'{"d":1}')) == b'{"b":null,"c":null,"a":null,"d":"1"}\n'
    assert rows.write(brings) == b'{"b":"2","c":"1","a":"3","d":null}\n'
    assert rows.write(events(b'{"b":null}')) == b'{"b":null,"c":null,"a":null,"d":null}\n'
    assert Rows([]).write(Events([0], (), [])) == b"{}\n"


def test_what_a_row_takes_at_least_is_known() -> None:
    assert Rows([]).least_bytes == len("{}\n")
    assert Rows(["a", "bc"]).least_bytes == len('{"a":null,"bc":null,}\n')


@pytest.mark.parametrize(
    ("known", "key", "reason"),
    [
        (499, "k", None),
        (500, "k", LineRejectReason.TOO_MANY_KEYS),
        (499, "é" * 128, None),
        (1, "é" * 128 + "x", LineRejectReason.KEY_TOO_LONG),
    ],
)
def test_keys_may_be_500_and_have_256_bytes(known: int, key: str, reason: LineRejectReason | None) -> None:
    rows = Rows([f"{number}" for number in range(known)])
    brings = events(f'{{"{key}":1}}'.encode())
    if reason is None:
        assert rows.write(brings).endswith(f',"{key}":"1"}}\n'.encode())
        assert rows.columns[-1] == key
        return
    with pytest.raises(RejectedLineError) as rejected:
        rows.write(brings)
    assert rejected.value.reason == reason
    assert len(rows.columns) == known


def test_any_number_of_forms_of_events_may_turn_up() -> None:
    columns = [f"k{number}" for number in range(300)]
    rows = Rows(columns)
    for _ in range(2):
        for key in columns:
            expected = dict.fromkeys(columns) | {key: "1"}
            assert json.loads(rows.write(events(b'{"%b":1}' % key.encode()))) == expected


def late(content: bytes, keys: list[str], width: int) -> list[bytes]:
    member = GzipMember()
    member.write(content)
    return list(with_late_keys(member.finish(), keys, width))


def test_keys_that_turn_up_late_are_null_in_earlier_lines() -> None:
    assert late(b'{"a":"1"}\n{"a":"}"}\n', ["b", '"'], 1) == [
        b'{"a":"1","b":null,"\\"":null}\n{"a":"}","b":null,"\\"":null}\n'
    ]
    assert late(b"{}\n{}\n", ["b"], 0) == [b'{"b":null}\n{"b":null}\n']
    assert late(b'{"a":"1"}\n', [], 1) == [b'{"a":"1"}\n']
    assert bytes_of_nulls(["b", '"']) == len(',"b":null,"\\"":null')


@pytest.mark.parametrize("key_bytes", [1, 1_000, 2_000_000])
def test_no_piece_has_more_than_a_mebibyte_of_late_keys_unless_one_line_has(key_bytes: int) -> None:
    keys = ["k" * key_bytes]
    added = bytes_of_nulls(keys)
    pieces = late(b'{"a":"1"}\n' * 5_000 if key_bytes < 10_000 else b'{"a":"1"}\n' * 3, keys, 1)
    assert all(line == b'{"a":"1","%b":null}' % keys[0].encode() for line in b"".join(pieces).splitlines())
    for piece in pieces:
        lines = piece.count(b"\n")
        assert lines == 1 or lines * added <= 1 << 20
    most = max(1, (1 << 20) // (added + 2))
    assert max(piece.count(b"\n") for piece in pieces) == min(most, 5_000)


def test_late_keys_are_appended_to_many_lines() -> None:
    assert b"".join(late(b'{"ab":"}"}\n' * 200_000, ["late"], 1)) == b'{"ab":"}","late":null}\n' * 200_000


@pytest.mark.parametrize("size", [1, 5, 10, 11, 33])
def test_late_keys_are_appended_wherever_the_unpacked_pieces_end(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_pieces(packed: list[bytes]) -> Iterator[bytes]:
        content = b"".join(gunzip(packed))
        return (content[start : start + size] for start in range(0, len(content), size))

    monkeypatch.setattr(log_output, "gunzip", in_pieces)
    assert b"".join(late(b'{"ab":"}"}\n' * 20, ["late"], 1)) == b'{"ab":"}","late":null}\n' * 20


def test_bytes_are_given_back_as_they_are_packed() -> None:
    content = random.Random(1).randbytes(4 << 20)  # noqa: S311 - which cannot be packed
    member = GzipMember()
    member.write(content[:100])
    packed = member.take()
    member.write(content[100:])
    packed += member.take()
    assert len(packed) > 3 << 20
    assert member.take() == b""
    assert gzip.decompress(packed + member.finish()) == content
    assert member.bytes_written == len(content)
