"""Lines, keys and logs of absurd sizes: what becomes of them, and the memory that it takes."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest

from edxorg.lib.tracking_log import log_blocks, log_report, normalize_log
from edxorg.lib.tracking_log import normalize as normalize_module
from edxorg.lib.tracking_log.log_blocks import LineBlock, cut_lines
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg.lib.tracking_log.normalize_block import normalize_block
from edxorg.lib.workers import WorkerPool
from edxorg_tests.support.tracking_logs import MIB, Normalize, reasons, rejects, rows


class TestLongLines:
    def test_a_line_of_a_hundred_megabytes(self, normalize: Normalize) -> None:
        long = b'{"event": "%b"}' % ("é" * (50 * MIB)).encode()
        log = normalize(b'{"a": "1"}', long, b"bad", b'{"a": "2"}')
        assert rows(log) == [{"a": "1"}, {"a": "2"}]
        assert reasons(log) == [(2, "too_long"), (3, "no_json_object")]
        reject = rejects(log)[0]
        assert reject["length"] == len(long)
        assert reject["sha256"] == hashlib.sha256(long).hexdigest()
        assert long.startswith(reject["raw"].encode())
        assert 65_532 < len(reject["raw"].encode()) <= 65_536
        (oversized,) = log.oversized
        assert gzip.decompress(oversized.record.reader().read()) == long

    def test_sixteen_mebibytes_are_not_too_long(self, normalize: Normalize) -> None:
        start, end = b'{"a": "', b'"}'
        fits = start + b"x" * (16 * MIB - len(start) - len(end) - 1) + end
        log = normalize(fits, fits.replace(end, b"xxx" + end), b'{"a": "2"}')
        assert [len(row["a"] or "") for row in rows(log)] == [len(fits) - len(start) - len(end), 1]
        assert reasons(log) == [(2, "too_long")]

    def test_rejects_stay_in_the_order_of_their_lines(
        self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 20)
        monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 20)
        log = normalize(
            b'{"a": "1"}', *[b"bad", b"bad, bad, bad, bad", b"much too long to be an event", b'{"a": "2"}'] * 5
        )
        assert [line for line, _ in reasons(log)] == [line for line in range(2, 22) if line % 4 != 1]

    def test_a_bomb_without_line_ends_takes_little_memory(self, normalize: Normalize) -> None:
        packed = gzip.compress(b"x" * (300 * MIB), 1)
        tracemalloc.start()
        log = normalize(packed=packed)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * MIB
        assert log.oversized[0].length == 300 * MIB
        assert log.oversized[0].record.size < MIB
        assert "none of its 1 lines holds an event" in str(log.problem)

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
    def test_a_bomb_of_events_takes_little_memory_in_all_processes(self) -> None:
        line = b'{"event": {"a": "%b"}, "name": "%b"}\n' % (b"x" * 2_000, b"y" * 2_000)
        packed = gzip.compress(line * (200 * MIB // len(line)), 6)
        assert len(packed) * 100 < 200 * MIB
        tracemalloc.start()
        with WorkerPool(object, workers=2) as pool:
            log = normalize_log([packed], name="day.log.gz", pool=pool, progress=lambda _: None)
            workers = [Path(f"/proc/{each}/status").read_text() for each in pool.process_ids()]
        log.close()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert log.report.lines_out == 200 * MIB // len(line)
        assert peak < 64 * MIB
        assert all(int(status.split("VmHWM:")[1].split()[0]) << 10 < 128 * MIB for status in workers)

    def test_short_lines_that_get_many_keys_are_written_a_few_at_a_time(self) -> None:
        columns = [f"{number:03}{'k' * 250}" for number in range(500)]
        tracemalloc.start()
        found = normalize_block(None, [b'{"%b":1}\n' % columns[7].encode() * 480], 1, columns)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.lines_out == 480
        assert len(gzip.decompress(found.output)) > 58 * MIB
        assert peak < 32 * MIB

    def test_keys_of_a_megabyte_are_not_kept(self) -> None:
        tracemalloc.start()
        for number in range(40):
            found = normalize_block(None, [b'{"%d%b":1}\n' % (number, b"k" * 1_000_000)], 1, [])
            assert found.rejected == {LineRejectReason.KEY_TOO_LONG: 1}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 48 * MIB

    @pytest.mark.once
    def test_a_block_that_would_become_too_much_is_halved(self, normalize: Normalize) -> None:
        """700 short lines with 500 keys of 250 bytes each are 91 MB."""
        keys = [f"{number:03}{'k' * 250}" for number in range(500)]
        events = [{keys[number % 500]: str(number)} for number in range(700)]
        packed = [json.dumps(event).encode() for event in events]
        log = normalize(*packed[:510], b"broken", *packed[510:])
        assert (log.report.lines_in, log.report.columns) == (701, keys)
        assert reasons(log) == [(511, "no_json_object")]
        assert rows(log) == [dict.fromkeys(keys) | event for event in events]

    @pytest.mark.parametrize(
        "data", [b"a\nb", b"a\nb\n", b"\n\n", b"\nabc", b"abc\n\n", b"a\nbbbbbbbbb\n", b"aaaaaaaa\nb\nc"]
    )
    def test_halves_are_whole_lines(self, data: bytes) -> None:
        (block,) = cut_lines([data])
        assert isinstance(block, LineBlock)
        first, second = block.halves()
        assert first.data + second.data == data
        assert first.data.endswith(b"\n")
        assert second.data
        assert (first.lines + second.lines, second.first_line) == (block.lines, 1 + first.lines)

    def test_a_block_has_no_more_lines_than_a_worker_reads_in_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_LINES", 3)
        blocks = [item for item in cut_lines([b"a\n" * 7 + b"\nb"]) if isinstance(item, LineBlock)]
        assert [(block.data, block.first_line, block.lines) for block in blocks] == [
            *((b"a\na\na\n", 1, 3), (b"a\na\na\n", 4, 3), (b"a\n\nb", 7, 3))
        ]

    def test_a_file_of_long_lines_only_is_no_log(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
        monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 100)
        log = normalize(*[b"x" * 101] * 40)
        assert "33 of its first 33 lines have over" in str(log.problem)
        assert (log.output, log.rejects, log.oversized) == (None, None, [])


class TestLimits:
    """A file that is no log ends early, with its reason, and what was read of it adds up."""

    @pytest.mark.parametrize(
        ("line", "most_lines", "reason"),
        [
            (b"\n", 180_000, "too few for as many events"),
            (b"x\n", 180_000, "too few for as many events"),
            (b"{}\n", 180_000, "too few for as many events"),
            (b"x" * 100 + b"\n", 180_000, "bytes, hold no event, as in no tracking log (0 blank, "),
            (b'{"a": "%b"}\n\n\n' % (b"x" * 100), 300_000, "bytes, hold no event, as in no tracking log (1"),
        ],
    )
    def test_lines_without_events_end_it(self, line: bytes, most_lines: int, reason: str, normalize: Normalize) -> None:
        packed = gzip.compress(line * (40 * MIB // len(line)), 1)
        log = normalize(packed=packed, block=1 << 12)
        assert reason in str(log.problem)
        assert (log.output, log.rejects, log.oversized, log.whole) == (None, None, [], False)
        report = log.report
        assert 100_000 < report.lines_in < most_lines
        assert report.lines_in == report.lines_out + report.rejected_lines + report.blank

    @pytest.mark.parametrize(
        "line", [b'{"event": "cut %b\n' % (b"x" * 150), b'{"event": "%b"}\n\n' % (b"x" * 150), b"x" * 130 + b"\n"]
    )
    def test_events_that_cannot_be_read_do_not(
        self, line: bytes, normalize: Normalize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_report, "MAX_LINES_WITHOUT_EVENT", 1_000)
        monkeypatch.setattr(log_report, "MAX_SHORT_LINES", 1_000)
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 10_000)
        log = normalize(*[line.removesuffix(b"\n")] * 3_000)
        assert log.whole
        assert log.report.lines_in == 3_000 * line.count(b"\n")

    @pytest.mark.parametrize("is_late", [True, False])
    def test_a_few_kilobytes_do_not_become_eight_gigabytes(self, is_late: bool, normalize: Normalize) -> None:  # noqa: FBT001
        all_keys = json.dumps({f"{number:03}{'k' * 250}": 1 for number in range(499)}).encode()
        events = [b'{"event": "%b"}' % (b"x" * 40)] * 65_536
        packed = gzip.compress(b"\n".join([*events, all_keys] if is_late else [all_keys, *events]), 9)
        assert len(packed) < 20_000
        log = normalize(packed=packed)
        assert "Its keys are too many or too long" in str(log.problem)
        assert (log.output, log.rejects, log.whole) == (None, None, False)
        assert log.report.bytes_out < 8 * MIB
        report = log.report
        assert report.lines_in == report.lines_out + report.rejected_lines + report.blank

    def test_what_a_log_will_become_is_known_before_it_is_written(
        self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 300)
        seen: list[int] = []
        monkeypatch.setattr(normalize_module, "check_limits", lambda report, _: seen.append(report.bytes_normalized))
        log = normalize(*[json.dumps({f"k{n // 9}": n, "z": None}).encode() for n in range(100)])
        assert len(seen) > 5
        assert seen[-1] == log.report.bytes_normalized == len(gzip.decompress(log.output.reader().read()))  # type: ignore[union-attr]
