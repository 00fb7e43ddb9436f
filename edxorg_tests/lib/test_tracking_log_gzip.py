from __future__ import annotations

import gzip
import hashlib
from itertools import pairwise

import pytest

from edxorg.lib.tracking_log import lines
from edxorg.lib.tracking_log.gzip_stream import GunzippedPieces, GzipMember
from edxorg.lib.tracking_log.lines import Block, cut_lines

CONTENT = b"".join(b'{"n": "%b"}\n' % hashlib.sha256(b"%d" % n).hexdigest()[:16].encode() for n in range(200))


def unpack(packed: bytes, *, block: int = 1 << 20, piece_bytes: int = 1 << 20) -> tuple[bytes, str | None]:
    pieces = GunzippedPieces([packed[i : i + block] for i in range(0, len(packed), block)], piece_bytes=piece_bytes)
    content = b"".join(pieces)
    return content, pieces.problem


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("members", [1, 2, 5])
def test_members_are_read_as_one(block: int, members: int) -> None:
    cuts = [len(CONTENT) * n // members for n in range(members + 1)]
    packed = b"".join(gzip.compress(CONTENT[start:end]) for start, end in pairwise(cuts))
    assert unpack(packed, block=block) == (CONTENT, None)
    assert unpack(packed, block=block, piece_bytes=3) == (CONTENT, None)
    assert unpack(packed + bytes(512), block=block) == (CONTENT, None)


def test_every_cut_is_noticed_and_what_came_before_is_right() -> None:
    whole = gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:])
    first = len(gzip.compress(CONTENT[:1000]))
    for cut in range(1, len(whole)):
        content, problem = unpack(whole[:cut])
        assert CONTENT.startswith(content)
        if cut == first:
            assert (content, problem) == (CONTENT[:1000], None)  # a whole file, as far as anyone can tell
        else:
            assert problem == "breaks off in the middle of its gzip data"


def test_no_changed_byte_passes_as_good_data() -> None:
    whole = gzip.compress(CONTENT, mtime=0)
    for place in range(len(whole)):
        content, problem = unpack(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        assert problem is not None or content == CONTENT


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"", "is empty, not even an empty gzip file"),
        (b"{}\n", "is not gzip data"),
        (bytes(512), "is not gzip data"),
        (gzip.compress(CONTENT) + b"more", "goes on after its gzip data"),
        (gzip.compress(CONTENT) + b"\x1f\x8b\x07" + bytes(20), "is damaged"),
    ],
    ids=["empty", "text", "zeros", "trailing", "bad member"],
)
def test_what_is_no_gzip_is_said_to_be_none(packed: bytes, problem: str) -> None:
    _, found = unpack(packed)
    assert found is not None
    assert found.startswith(problem)


def test_a_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    sizes = [len(piece) for piece in GunzippedPieces([bomb])]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


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
    monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 300)
    monkeypatch.setattr(lines, "EXCERPT_BYTES", 40)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("portion", [1, 64, 100, 101, 10_000])
def test_blocks_and_long_lines_are_cut_at_the_same_places_however_the_pieces_come(portion: int) -> None:
    lengths = [0, 99, 98, 1, 100, 0, 299, 300, 301, 5, 2_000, 301, 0, 300]
    content = b"\n".join(b"%c" % (97 + n) * length for n, length in enumerate(lengths)) + b"\nend"
    cut: list[tuple[int, bytes]] = []
    for item in cut_lines(content[i : i + portion] for i in range(0, len(content), portion)):
        if isinstance(item, Block):
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
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10)
    blocks = [item.data for item in cut_lines([b"1234\n1234\n123\n12345\n1\n\n"]) if isinstance(item, Block)]
    assert blocks == [b"1234\n1234\n", b"123\n12345\n", b"1\n\n"]
