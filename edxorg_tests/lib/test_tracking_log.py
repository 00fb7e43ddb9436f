"""Whole logs, real, sampled and hostile, through the worker processes and back through the readers people use."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd  # no stubs are installed
import polars as pl
import pytest

from edxorg.lib.tracking_log import NormalizedLog, lines, normalize_log
from edxorg.lib.tracking_log.block import normalize_block
from edxorg.lib.tracking_log.gzip_stream import GzipMember
from edxorg.lib.tracking_log.late_keys import with_late_keys
from edxorg.lib.tracking_log.rejects import Reason
from edxorg.lib.workers import WorkerPool
from edxorg.samples.tracking_log import write_sample_log
from ol_orchestrate.lib.errors import BadInputError

REAL_LOGS = Path(__file__).parents[3] / "shared" / "data" / "tracking-logs"
MIB = 1 << 20


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(object, workers=2) as running:
        yield running


Normalize = Callable[..., NormalizedLog]


@pytest.fixture
def normalize(pool: WorkerPool) -> Iterator[Normalize]:
    """Normalise a log given by its lines or its compressed bytes."""
    opened: list[NormalizedLog] = []

    def run(*log: bytes, packed: bytes | None = None, block: int = 1 << 16) -> NormalizedLog:
        data = gzip.compress(b"".join(line + b"\n" for line in log), 1) if packed is None else packed
        blocks = (data[start : start + block] for start in range(0, len(data), block))
        opened.append(
            normalize_log(blocks, name="mitx-edx-events-2024-05-06.log.gz", pool=pool, progress=lambda _: None)
        )
        return opened[-1]

    yield run
    for log in opened:
        log.close()


def rows(log: NormalizedLog) -> list[dict[str, str | None]]:
    assert log.problem is None
    assert log.output is not None
    return [json.loads(line) for line in gzip.decompress(log.output.reader().read()).splitlines()]


def rejects(log: NormalizedLog) -> list[dict[str, Any]]:
    if log.rejects is None:
        return []
    return [json.loads(line) for line in gzip.decompress(log.rejects.reader().read()).splitlines()]


def reasons(log: NormalizedLog) -> list[tuple[int, str]]:
    return [(reject["line"], reject["reason"]) for reject in rejects(log)]


class TestValues:
    def test_strings_stay_and_all_else_keeps_its_own_text(self, normalize: Normalize) -> None:
        log = normalize(
            b'{"s": "caf\\u00e9 \\ud83d\\ude00 \\/ \\u0000", "n": 1.10, "big": 12345678901234567890123, "inf": 1e999,'
            b' "t": true, "z": null, "o": {"a": [1.0,  {"b": 2 }], "a": "\\ud83d \\u00e9"}, "l": [], "e": ""}'
        )
        assert rows(log) == [
            {
                "s": "café 😀 / \0",
                "n": "1.10",
                "big": "12345678901234567890123",
                "inf": "1e999",
                "t": "true",
                "z": "null",
                "o": '{"a": [1.0,  {"b": 2 }], "a": "\\ud83d \\u00e9"}',
                "l": "[]",
                "e": "",
            }
        ]
        assert log.report.exact_path_lines == 1

    @pytest.mark.parametrize(
        "event", [b"[1, 2]", b"5", b'"a=1&b=2"', b"{}", b'"{\\"a\\": 1}"', b'["x", "<p>\\n</p>"]', b"-1.50E+3"]
    )
    def test_event_of_any_kind(self, event: bytes, normalize: Normalize) -> None:
        (row,) = rows(normalize(b'{"event": %b}' % event))
        assert row["event"] == (json.loads(event) if event.startswith(b'"') else event.decode())

    def test_absent_is_null_and_null_is_its_text(self, normalize: Normalize) -> None:
        log = normalize(b'{"page": null}', b'{"name": "x"}')
        assert rows(log) == [{"page": "null", "name": None}, {"page": None, "name": "x"}]

    def test_an_object_without_keys_is_an_event(self, normalize: Normalize) -> None:
        assert rows(normalize(b"{}", b'{"a": "1", "b": "2"}', b" { } ")) == [
            {"a": None, "b": None},
            {"a": "1", "b": "2"},
            {"a": None, "b": None},
        ]

    def test_nesting_deeper_than_any_parser_goes(self, normalize: Normalize) -> None:
        deep = b"[" * 100_000 + b"]" * 100_000
        medium = b'{"a":' * 40 + b"[]" + b"}" * 40
        log = normalize(
            b'{"x": "1", "event": %b}' % deep, b'{"event": %b, "x": {}}' % medium, b'{"x": 1, "event": %b}' % medium
        )
        assert [row["event"] for row in rows(log)] == [deep.decode(), medium.decode(), medium.decode()]
        assert log.report.exact_path_lines == 1

    def test_strings_that_end_with_a_backslash_need_no_exact_path(self, normalize: Normalize) -> None:
        line = rb'{"a": "C:\\", "b": ["\\", "\\\\\\\\", "\\\""], "c": "\\\"", "\\": 1, "d": "e\\"}'
        log = normalize(line)
        nested = rb'["\\", "\\\\\\\\", "\\\""]'.decode()
        assert nested in line.decode()
        assert rows(log) == [json.loads(line) | {"b": nested, "\\": "1"}]
        assert log.report.exact_path_lines == 0

    def test_hostile_keys_are_data(self, normalize: Normalize) -> None:
        keys = [
            "order",
            "child-id",
            "\"; COPY x TO '/tmp/x'; --",
            "{0.__class__}",
            "%s",
            "../../etc",
            "",
            "a\0b",
            "}\n",
        ]
        log = normalize(json.dumps(dict.fromkeys(keys, "v")).encode(), b"{}")
        assert rows(log) == [dict.fromkeys(keys, "v"), dict.fromkeys(keys)]

    def test_line_ends_and_byte_order_mark(self, normalize: Normalize) -> None:
        log = normalize(b'\xef\xbb\xbf{"a": "1"}\r', b'{"a": "2", "b": [1,\t2]}\r', b"\r", b"", b' \t{"a": "3"}')
        assert rows(log) == [{"a": "1", "b": None}, {"a": "2", "b": "[1,\t2]"}, {"a": "3", "b": None}]
        assert log.report.blank == 2

    def test_no_line_end_at_the_end(self, normalize: Normalize) -> None:
        assert rows(normalize(packed=gzip.compress(b'{"a": "1"}\n{"a": "2"}'))) == [{"a": "1"}, {"a": "2"}]

    def test_lines_of_several_megabytes(self, normalize: Normalize) -> None:
        text = "ü" * (3 * MIB)
        nested = "[" + ", ".join(['{"grade": 1.00}'] * 200_000) + "]"
        log = normalize(json.dumps({"event": text}, ensure_ascii=False).encode(), b'{"event": %b}' % nested.encode())
        assert [row["event"] for row in rows(log)] == [text, nested]
        assert log.report.exact_path_lines == 2

    def test_the_time(self, normalize: Normalize) -> None:
        log = normalize(
            b'{"time": "2024-05-06T07:08:09.123456-05:00"}',
            b'{"time": 1714979289123}',
            b'{"time": "1714979289"}',
            b"{}",
        )
        assert [row["time"] for row in rows(log)] == [
            "2024-05-06 12:08:09.123456",
            "2024-05-06 07:08:09.123000",
            "2024-05-06 07:08:09.000000",
            None,
        ]


class TestRejects:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b'{"event": "cut o', "no_json_object"),
            (b'{"a": "1"}, {"b": "2"}', "no_json_object"),
            (b"[1]", "no_json_object"),
            (b"17", "no_json_object"),
            (b'"text"', "no_json_object"),
            (b"# a comment", "no_json_object"),
            (b'{"a": NaN}', "no_json_object"),
            (b'{"a": "\x00"}', "no_json_object"),
            (b'{"a": "\x1f"}', "no_json_object"),
            (b'{"a": ["tab\tin a string"]}', "no_json_object"),
            (b"{" + b",".join(b'"k%d": 1' % n for n in range(600)) + b", }", "no_json_object"),
            (b"\x00", "no_json_object"),
            (b'{"a": "\xe9"}', "invalid_utf8"),
            (b'{"a": {"b": "\xed\xa0\xbd"}}', "invalid_utf8"),
            (b'{"a": "1", "b": "2", "a": "1"}', "repeated_key"),
            (b'{"a": "1", "\\u0061": "1"}', "repeated_key"),
            (b'{"a": "\\ud83d"}', "lone_surrogate"),
            (b'{"\\ud83d": 1}', "lone_surrogate"),
            (b'{"time": "300-01-01"}', "unreadable_time"),
            (b'{"time": null}', "unreadable_time"),
            (b'{"time": {"$date": 1714979289123}}', "unreadable_time"),
            (b'{"%b": 1}' % (b"k" * MIB), "key_too_long"),
            (b'{"%b": 1}' % ("é" * 129).encode(), "key_too_long"),
        ],
        ids=range(23),
    )
    def test_a_bad_line_is_kept_and_harms_no_other(self, line: bytes, reason: str, normalize: Normalize) -> None:
        log = normalize(b'{"a": "before"}', line, b'{"a": "after"}')
        assert rows(log) == [{"a": "before"}, {"a": "after"}]
        (reject,) = rejects(log)
        assert (reject["line"], reject["reason"]) == (2, reason)
        raw = reject["raw"].encode() if "raw" in reject else base64.b64decode(reject["raw_base64"])
        assert raw == line
        assert log.report.rejected == {reason: 1}

    def test_a_line_that_would_become_too_long_for_readers(self, normalize: Normalize) -> None:
        quotes = b'{"a": [%b""]}' % (b'"",' * (5 * MIB))
        log = normalize(quotes, b'{"a": "1"}')
        assert rows(log) == [{"a": "1"}]
        assert reasons(log) == [(1, "too_long")]

    def test_ten_thousand_keys(self, normalize: Normalize) -> None:
        log = normalize(*(b'{"a": "x", "k%d": %d}' % (n, n) for n in range(10_000)))
        assert log.report.columns == ["a", *(f"k{n}" for n in range(499))]
        assert log.report.lines_out == 499
        assert reasons(log) == [(number, "too_many_keys") for number in range(500, 10_001)]

    def test_ten_thousand_keys_in_one_line(self, normalize: Normalize) -> None:
        log = normalize(json.dumps(dict.fromkeys(map(str, range(10_000)), 1)).encode(), b'{"a": "x"}')
        assert rows(log) == [{"a": "x"}]
        assert reasons(log) == [(1, "too_many_keys")]


class TestSyslog:
    @pytest.mark.parametrize(
        "prefix",
        [
            b"Sep  9 00:00:48 localhost ",
            b"<134>Sep 19 00:00:48 host tracking[12]: ",
            b"<134>1 2014-09-09T00:00:48.003Z host app 12 - - ",
            b"2014-09-09T00:00:48+00:00 host ",
            b"Jul 10 12:34:56 ip-10-0-0-1 [service_variant=lms][tracking][env:prod-edx] INFO  [ip-10-0-0-1 12] - ",
        ],
    )
    def test_the_object_after_a_prefix_is_recovered(self, prefix: bytes, normalize: Normalize) -> None:
        log = normalize(
            prefix + b'{"a": 1.0}', prefix + b'{"a": "\\ud83d"}', prefix + b'{"a": 1', b'{"a": {"b": 1e999}}'
        )
        assert [row["a"] for row in rows(log)] == ["1.0", '{"b": 1e999}']
        assert reasons(log) == [(2, "lone_surrogate"), (3, "no_json_object")]
        assert rejects(log)[0]["raw"].encode() == prefix + b'{"a": "\\ud83d"}'
        assert log.report.syslog_prefixes == 1

    @pytest.mark.parametrize("line", [b'junk {"a": 1}', b'Sep 9 {"a": 1}', b'{"us Sep  9 00:00:48 localhost {"a": 1}'])
    def test_other_text_before_an_object_is_no_prefix(self, line: bytes, normalize: Normalize) -> None:
        assert reasons(normalize(line, b"{}")) == [(1, "no_json_object")]


class TestBrokenFiles:
    LOG = gzip.compress(b'{"a": "1"}\n' * 100 + b"bad\n", mtime=0)

    @pytest.mark.parametrize(
        ("packed", "problem"),
        [
            (b"", "the file is empty"),
            (b'{"a": "1"}\n', "this is no gzip file"),
            (LOG[:-1], f"the gzip data breaks off after byte {len(LOG) - 1}"),
            (LOG + LOG[:40], f"the gzip data breaks off after byte {len(LOG) + 40}"),
            (LOG + b"tail" * 5, "the gzip data is damaged"),
            (LOG[:-8] + b"1234" + LOG[-4:], "the gzip data is damaged"),
        ],
        ids=["empty", "plain", "cut", "second cut", "tail", "checksum"],
    )
    def test_nothing_of_a_broken_file_is_delivered(self, packed: bytes, problem: str, normalize: Normalize) -> None:
        log = normalize(packed=packed, block=16)
        assert (log.output, log.rejects, log.oversized) == (None, None, [])
        assert isinstance(log.problem, BadInputError)
        assert str(log.problem).startswith(f"mitx-edx-events-2024-05-06.log.gz: {problem}")
        assert len(packed) - 16 < log.report.bytes_in <= len(packed)

    def test_what_came_before_a_cut_is_counted_to_the_line(self, normalize: Normalize) -> None:
        random_lines = [b'{"a": "%b"}' % hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(5_000)]
        packed = gzip.compress(b"\n".join(random_lines))
        log = normalize(packed=packed[: len(packed) // 2])
        assert 2_000 < log.report.lines_in < 3_000
        assert f"line {log.report.lines_in:,} of its content" in str(log.problem)
        assert log.report.lines_in == log.report.lines_out + log.report.rejected_lines + log.report.blank

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"no\nlog\n"])
    def test_a_log_without_an_event_fails_and_has_its_rejects(self, content: bytes, normalize: Normalize) -> None:
        log = normalize(packed=gzip.compress(content))
        assert log.output is None
        assert "holds an event" in str(log.problem)
        assert [reject["raw"] for reject in rejects(log)] == content.decode().split()

    def test_several_members_are_one_log(self, normalize: Normalize) -> None:
        log = normalize(packed=gzip.compress(b'{"a": "1"}\n{"a"') + gzip.compress(b"") + gzip.compress(b': "2"}\n'))
        assert rows(log) == [{"a": "1"}, {"a": "2"}]


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
        monkeypatch.setattr(lines, "BLOCK_BYTES", 20)
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 20)
        log = normalize(
            b'{"a": "1"}', *[b"bad", b"bad, bad, bad, bad", b"much too long to be an event", b'{"a": "2"}'] * 5
        )
        assert [line for line, _ in reasons(log)] == [line for line in range(2, 22) if line % 4 != 1]

    def test_a_bomb_without_line_ends_takes_little_memory(self, normalize: Normalize) -> None:
        packed = gzip.compress(bytes(300 * MIB), 1)
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
            assert found.rejected == {Reason.KEY_TOO_LONG: 1}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 48 * MIB

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
        (block,) = lines.cut_lines([data])
        assert isinstance(block, lines.Block)
        first, second = block.halves()
        assert first.data + second.data == data
        assert first.data.endswith(b"\n")
        assert second.data
        assert (first.lines + second.lines, second.first_line) == (block.lines, 1 + first.lines)

    def test_a_file_of_long_lines_only_is_no_log(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
        log = normalize(*[b"x" * 101] * 40)
        assert "33 of the first 33 lines have over" in str(log.problem)
        assert (log.output, log.rejects, log.oversized) == (None, None, [])


class TestLateKeys:
    def test_earlier_lines_have_them_too(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "BLOCK_BYTES", 200)
        early = [b'{"a": "%d", "b": "}"}' % n for n in range(300)]
        log = normalize(*early, b'{"late": "1", "a": "x"}', *early, b'{"later": [1]}')
        assert [list(row) for row in rows(log)] == [["a", "b", "late", "later"]] * 602
        assert rows(log)[300] == {"a": "x", "b": None, "late": "1", "later": None}
        assert rows(log)[601] == {"a": None, "b": None, "late": None, "later": "[1]"}

    def test_they_are_appended_wherever_the_unpacked_pieces_end(self) -> None:
        member = GzipMember()
        member.write(b'{"ab":"}"}\n' * 200_000)
        completed = b"".join(with_late_keys(member.finish(), ["late"], 1))
        assert completed == b'{"ab":"}","late":null}\n' * 200_000

    def test_the_version_is_of_the_content(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        log_lines = [b'{"a": "%d"}' % n for n in range(500)] + [b'{"late": "1"}']
        versions = {normalize(*log_lines).version}
        monkeypatch.setattr(lines, "BLOCK_BYTES", 300)
        versions.add(normalize(*log_lines).version)
        versions.add(normalize(*(line.replace(b" ", b"  ") for line in log_lines), b"reject").version)
        assert len(versions) == 1
        assert normalize(*log_lines, b"{}").version not in versions


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "day.log.gz"
    write_sample_log(path, events=12_000, seed=5)
    return path


class TestSampleLog:
    @pytest.mark.parametrize("reader", ["duckdb", "polars", "pandas"])
    def test_readers_see_the_values(self, reader: str, sample: Path, normalize: Normalize, tmp_path: Path) -> None:
        log = normalize(packed=sample.read_bytes(), block=100_000)
        expected = rows(log)
        assert log.output is not None
        path = tmp_path / "normalized.ndjson.gz"
        path.write_bytes(log.output.reader().read())
        assert path.read_bytes().count(b"\x1f\x8b\x08") > 1  # members, or a value that looks like one
        assert getattr(self, reader)(path, log.report.columns) == [list(row.values()) for row in expected]

    @staticmethod
    def duckdb(path: Path, columns: list[str]) -> list[list[str | None]]:
        types = dict.fromkeys(columns, "VARCHAR")
        query = "SELECT * FROM read_ndjson($path, columns = $types)"
        return [list(row) for row in duckdb.execute(query, {"path": str(path), "types": types}).fetchall()]

    @staticmethod
    def polars(path: Path, columns: list[str]) -> list[list[str | None]]:
        frame = pl.read_ndjson(path, schema=dict.fromkeys(columns, pl.String))
        return [list(row) for row in frame.rows()]

    @staticmethod
    def pandas(path: Path, columns: list[str]) -> list[list[str | None]]:
        frame = pd.read_json(path, lines=True, dtype=False, convert_dates=False, compression="gzip")
        assert list(frame.columns) == columns
        return [[None if pd.isna(value) else value for value in row] for row in frame.itertuples(index=False)]

    def test_the_same_bytes_out_however_it_streams_in(self, sample: Path, normalize: Normalize) -> None:
        packed = sample.read_bytes()
        outputs = set()
        for block in (1_000, 100_000, len(packed)):
            log = normalize(packed=packed, block=block)
            assert log.output is not None
            assert log.rejects is not None
            outputs.add((log.output.sha256, log.rejects.sha256, log.version))
        assert len(outputs) == 1

    def test_usual_lines_need_no_exact_path(self, sample: Path, normalize: Normalize) -> None:
        assert normalize(packed=sample.read_bytes()).report.exact_path_lines == 0


@pytest.mark.skipif(not REAL_LOGS.is_dir(), reason="the real logs are not here")
class TestRealLogs:
    @pytest.mark.parametrize("name", sorted(path.name for path in REAL_LOGS.glob("*.log")))
    def test_an_independent_reader_agrees(self, name: str, normalize: Normalize) -> None:
        content = (REAL_LOGS / name).read_bytes()
        log = normalize(packed=gzip.compress(content))
        delivered = iter(rows(log))
        rejected = {reject["line"]: reject for reject in rejects(log)}
        for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
            event = independent_event(line)
            if event is not None:
                row = next(delivered)
                assert list(row) == log.report.columns
                assert {key: value for key, value in row.items() if value is not None} == event
            elif line.strip():
                assert rejected.pop(number)["raw"].encode() == line
        assert not rejected
        assert next(delivered, None) is None
        assert log.report.lines_out > 10


def independent_event(line: bytes) -> dict[str, str] | None:
    """The event by Python's own reader; values that are no strings are compared by their text in the line."""
    text = re.sub(r"^[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ (?={)", "", line.decode())
    try:
        pairs = json.loads(text, object_pairs_hook=list)
        event = json.loads(text)
    except ValueError:
        return None
    if not isinstance(event, dict) or len(event) != len(pairs):
        return None
    decoder = json.JSONDecoder()
    for key, value in event.items():
        if not isinstance(value, str):
            candidates = [decoder.raw_decode(text, m.end()) for m in re.finditer(f'"{re.escape(key)}"\\s*:\\s*', text)]
            starts = [m.end() for m in re.finditer(f'"{re.escape(key)}"\\s*:\\s*', text)]
            event[key] = next(
                text[start:end] for start, (found, end) in zip(starts, candidates, strict=True) if found == value
            )
    try:
        moment = datetime.fromisoformat(event["time"])
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    event["time"] = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return event
