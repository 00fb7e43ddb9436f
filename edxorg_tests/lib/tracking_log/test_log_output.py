from __future__ import annotations

import gzip
import hashlib

import pytest

from edxorg.lib.tracking_log import log_blocks
from edxorg.lib.tracking_log.log_blocks import LineBlock, cut_lines
from edxorg.lib.tracking_log.log_output import GzipMember

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
