"""Whole logs through the worker processes: what becomes of events, and of what is none."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from edxorg.lib.tracking_log import log_blocks, log_report, normalize_log
from edxorg.lib.tracking_log import normalize as normalize_module
from edxorg.lib.tracking_log.normalize_block import NormalizedBlock
from edxorg_tests.support.temporary_files import files_of_spools
from edxorg_tests.support.tracking_logs import MIB, Normalize, reasons, rejects, rows
from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edxorg.lib.tracking_log import LogReport
    from edxorg.lib.workers import WorkerPool


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
                "z": None,
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

    @pytest.mark.parametrize("exactly", [b"", b" "])
    def test_what_is_absent_or_null_is_null_and_the_text_null_is_text(
        self, exactly: bytes, normalize: Normalize
    ) -> None:
        log = normalize(
            *[b'{"page": null%b}' % exactly, b'{"name": "x"%b}' % exactly, b'{"page": "null"%b}' % exactly],
            b'{"page": ["null", null, {"a": null}]%b}' % exactly,
        )
        assert [row["page"] for row in rows(log)] == [None, None, "null", '["null", null, {"a": null}]']
        assert log.report.exact_path_lines == 4 * len(exactly)

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

    def test_keys_that_are_no_names_are_not_told(self, normalize: Normalize) -> None:
        log = normalize(b'{"username": 1, "Ada Lovelace": 2, "ada@example.com": 3, "_id": 4, "%b": 5}' % (b"k" * 65))
        assert log.report.named_columns == ["username", "_id"]
        assert len(log.report.columns) == 5

    def test_line_ends_and_byte_order_mark(self, normalize: Normalize) -> None:
        log = normalize(b'\xef\xbb\xbf{"a": "1"}\r', b'{"a": "2", "b": [1,\t2]}\r', b"\r", b"", b' \t{"a": "3"}')
        assert rows(log) == [{"a": "1", "b": None}, {"a": "2", "b": "[1,\t2]"}, {"a": "3", "b": None}]
        assert log.report.blank == 2

    def test_the_last_line_of_a_log_needs_no_line_end(self, normalize: Normalize) -> None:
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


class TestPrefixes:
    @pytest.mark.parametrize(
        "prefix",
        [
            b"Sep  9 00:00:48 localhost ",
            b"<134>Sep 19 00:00:48 host tracking[12]: ",
            b"<134>1 2014-09-09T00:00:48.003Z host app 12 - - ",
            b"2014-09-09T00:00:48+00:00 host ",
            b"lms_1  | ",
            b"tutor_local-lms-1 |\t",
            b"\x1b[36;1mlms_1 |\x1b[0m ",
            b"lms_1 | 2021-09-09 00:00:48,003 INFO 12 [tracking] [user None] logger.py:41 - ",
            b"2021-09-09T00:00:48.003Z stdout F ",
            b"[pod/lms-6d9f7-x2x/lms] ",
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

    @pytest.mark.parametrize(
        "line",
        [
            *(b'junk {"a": 1}', b'Sep 9 {"a": 1}', b'{"us Sep  9 00:00:48 localhost {"a": 1}'),
            *(b'e", "b": "c | {"a": 1}', b'| {"a": 1}', b'two words | {"a": 1}', b'lms_1 | junk {"a": 1}'),
            b'[error] {"a": 1}',
        ],
    )
    def test_other_text_before_an_object_is_no_prefix(self, line: bytes, normalize: Normalize) -> None:
        assert reasons(normalize(line, b"{}")) == [(1, "no_json_object")]

    def test_nul_bytes_before_an_event_are_dropped_and_counted(self, normalize: Normalize) -> None:
        event = b'{"username": "u1", "page": null}'
        log = normalize(event, b"\0" * 700 + event, b"\0lms_1 | " + event, b"\0" * 9, b"\0" + b'{"a": "\0"}')
        assert rows(log) == [{"username": "u1", "page": None}] * 3
        assert (log.report.nul_bytes, log.report.syslog_prefixes) == (2, 1)
        assert reasons(log) == [(4, "no_json_object"), (5, "no_json_object")]
        assert rejects(log)[0]["raw"] == "\0" * 9

    @pytest.mark.parametrize("block", [7, 1000, 1 << 20])
    def test_a_hole_of_nul_bytes_may_be_longer_than_any_line(
        self, block: int, normalize: Normalize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 50)
        monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 100)
        log_lines = [b'{"a": "1"}', b"\0" * 1000 + b'{"a": "2"}', b"\0" * 990, b"\0" * 80 + b"x" * 101, b'{"a": "3"}']
        log = normalize(packed=gzip.compress(b"\n".join(log_lines)), block=block)
        assert [row["a"] for row in rows(log)] == ["1", "2", "3"]
        assert log.report.nul_bytes == 1
        assert [(reject["line"], reject["raw"][:3]) for reject in rejects(log)] == [(3, "\0"), (4, "\0xx")]
        assert [line.length for line in log.oversized] == [102]
        assert log.report.bytes_unpacked == len(b"\n".join(log_lines))

    def test_every_event_of_a_real_file_with_a_hole_is_there(
        self, normalize: Normalize, real_data: Callable[[str], Path]
    ) -> None:
        log = normalize(packed=real_data("field/mitx-edx-events-2017-09-21.log.gz").read_bytes())
        event = {"username": "u1", "event_type": "page_close", "event": "{}", "time": "2017-09-21 03:55:01.801789"}
        assert rows(log) == [event, event, event]
        assert (log.report.nul_bytes, log.report.rejected_lines, log.report.blank) == (1, 0, 0)


class TestBrokenFiles:
    LOG = gzip.compress(b'{"a": "1"}\n' * 100 + b"bad\n", mtime=0)

    @pytest.mark.parametrize(
        ("packed", "problem"),
        [
            (b"", "the file is empty"),
            (b'{"a": "1"}\n', "this is no gzip file"),
            (LOG[:-1], f"the gzip data breaks off after byte {len(LOG) - 1}"),
            (LOG + LOG[:40], f"the gzip data breaks off after byte {len(LOG) + 40}"),
            (
                LOG + b"tail" + LOG,
                f"the gzip data ends at byte {len(LOG)}; {len(LOG) + 4} bytes that are no gzip follow",
            ),
            (LOG + b"\x1f\x8a" + LOG[2:], f"the gzip data ends at byte {len(LOG)}; {len(LOG)} bytes that are no gzip"),
            (LOG[:-8] + b"1234" + LOG[-4:], "the gzip data is damaged"),
        ],
        ids=["empty", "plain", "cut", "second cut", "tail with more", "second mark", "checksum"],
    )
    def test_nothing_of_a_broken_file_is_delivered(self, packed: bytes, problem: str, normalize: Normalize) -> None:
        log = normalize(packed=packed, block=16)
        assert (log.output, log.rejects, log.oversized) == (None, None, [])
        assert isinstance(log.problem, BadInputError)
        assert str(log.problem).startswith(f"mitx-edx-events-2024-05-06.log.gz: {problem}")
        assert len(packed) - 16 < log.report.bytes_in <= len(packed)

    @pytest.mark.parametrize("block", [1, 16, 10_000])
    def test_a_log_with_other_bytes_after_it_is_delivered_and_fails(self, block: int, normalize: Normalize) -> None:
        packed = self.LOG + bytes(20) + b"tail" * 5
        log = normalize(packed=packed, block=block)
        assert log.whole
        assert log.output
        assert gzip.decompress(log.output.reader().read()) == b'{"a":"1"}\n' * 100
        assert log.report.rejected == {"no_json_object": 1}
        assert "20 bytes that are no gzip follow. All lines before are delivered" in str(log.problem)
        assert log.report.bytes_in == len(packed)

    def test_the_real_log_with_other_bytes_after_it_is_delivered_and_fails(
        self, normalize: Normalize, real_data: Callable[[str], Path]
    ) -> None:
        path = real_data("field/mitx-edx-events-2017-09-22.log.gz")
        log = normalize(packed=path.read_bytes())
        assert (log.whole, log.report.lines_out) == (True, 1)
        assert "ends at byte 106; 3 bytes that are no gzip follow" in str(log.problem)

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


class TestLateKeys:
    def test_earlier_lines_have_them_too(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 200)
        early = [b'{"a": "%d", "b": "}"}' % n for n in range(300)]
        log = normalize(*early, b'{"late": "1", "a": "x"}', *early, b'{"later": [1]}')
        assert [list(row) for row in rows(log)] == [["a", "b", "late", "later"]] * 602
        assert rows(log)[300] == {"a": "x", "b": None, "late": "1", "later": None}
        assert rows(log)[601] == {"a": None, "b": None, "late": None, "later": "[1]"}

    def test_the_version_is_of_the_content(self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch) -> None:
        log_lines = [b'{"a": "%d"}' % n for n in range(500)] + [b'{"late": "1"}']
        versions = {normalize(*log_lines).version}
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 300)
        versions.add(normalize(*log_lines).version)
        versions.add(normalize(*(line.replace(b" ", b"  ") for line in log_lines), b"reject").version)
        assert len(versions) == 1
        assert normalize(*log_lines, b"{}").version not in versions


class TestRuns:
    """What a caller sees of a run, and what it leaves."""

    @pytest.fixture
    def files(self, monkeypatch: pytest.MonkeyPatch) -> list[BinaryIO]:
        """The temporary files of spools, which are all on disk."""
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
        monkeypatch.setattr(log_blocks, "MAX_LINE_BYTES", 100)
        return files_of_spools(monkeypatch)

    LOG = b'{"a": "1"}\nbad\n' + b"x" * 200 + b'\n{"a": "2"}\n'

    def test_a_log_has_its_files_until_it_is_closed(self, pool: WorkerPool, files: list[BinaryIO]) -> None:
        log = normalize_log([gzip.compress(self.LOG)], name="day", pool=pool, progress=lambda _: None)
        assert [row["a"] for row in rows(log)] == ["1", "2"]
        assert (reasons(log), len(log.oversized)) == ([(2, "no_json_object"), (3, "too_long")], 1)
        assert (log.report.lines_in, log.report.rejected) == (4, {"no_json_object": 1, "too_long": 1})
        assert log.report.bytes_unpacked == len(self.LOG)
        assert sum(not file.closed for file in files) == 3
        log.close()
        assert all(file.closed for file in files)

    def test_a_log_that_is_not_whole_leaves_no_files(self, pool: WorkerPool, files: list[BinaryIO]) -> None:
        log = normalize_log([gzip.compress(self.LOG)[:-1]], name="day", pool=pool, progress=lambda _: None)
        assert (log.whole, log.output, log.rejects, log.oversized) == (False, None, None, [])
        assert len(files) == 3
        assert all(file.closed for file in files)
        log.close()

    def test_a_file_that_is_no_log_leaves_no_files_and_says_so(
        self, pool: WorkerPool, files: list[BinaryIO], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_report, "MAX_OVERSIZED_LINES", 1)
        log = normalize_log([gzip.compress(self.LOG * 2)], name="day", pool=pool, progress=lambda _: None)
        assert (log.whole, log.output, log.rejects, log.oversized) == (False, None, None, [])
        assert "day: 2 of its first 7 lines have over" in str(log.problem)
        assert "It was not read any further, and nothing of it is delivered" in str(log.problem)
        assert all(file.closed for file in files)

    def test_a_run_that_fails_leaves_no_files(self, pool: WorkerPool, files: list[BinaryIO]) -> None:
        def stop(report: LogReport) -> None:
            if report.lines_in == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            normalize_log([gzip.compress(self.LOG)], name="day", pool=pool, progress=stop)
        assert files
        assert all(file.closed for file in files)

    def test_the_caller_is_told_how_far_it_is_and_the_end(
        self, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
        told: list[tuple[int, int]] = []
        packed = gzip.compress(b'{"a": "1"}\n' * 900 + b'{"b": "1"}')
        log = normalize_log(
            [packed],
            name="day",
            pool=pool,
            progress=lambda report: told.append((report.lines_in, report.bytes_normalized)),
        )
        assert log.output is not None
        assert told[-1] == (901, len(gzip.decompress(log.output.reader().read())))
        assert len({lines for lines, _ in told}) > 90
        assert told == sorted(told)
        log.close()

    def test_what_it_will_become_is_known_as_it_grows(
        self, normalize: Normalize, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
        known: list[int] = []
        monkeypatch.setattr(normalize_module, "check_limits", lambda report, _: known.append(report.bytes_normalized))
        log = normalize(*[b'{"a": "1"}'] * 90, b'{"a": "1", "b": "2"}', *[b'{"a": "1"}'] * 90)
        assert log.output is not None
        assert known[-1] == len(gzip.decompress(log.output.reader().read()))

    def test_a_block_that_would_become_too_much_is_read_in_halves(
        self, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = pool.stream

        def stream_little(work: Callable[..., Any], first_line: int, columns: Any) -> Any:  # noqa: ANN401
            task: Any = stream(work, first_line, columns)
            send, finish = task.send, task.finish

            def send_little(data: bytes) -> None:
                send(data)
                if data.count(b"\n") > 2:
                    task.finish = lambda: (finish().result(), too_much)[1]

            too_much: Future[NormalizedBlock] = Future()
            too_much.set_result(NormalizedBlock(is_too_much=True))
            task.send = send_little
            return task

        monkeypatch.setattr(pool, "stream", stream_little)
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 110)
        lines = [b'{"a": "%d"}\n' % number for number in range(30)]
        log = normalize_log([gzip.compress(b"".join(lines))], name="day", pool=pool, progress=lambda _: None)
        assert [row["a"] for row in rows(log)] == [str(number) for number in range(30)]
        assert log.report.lines_in == 30
        log.close()

    def test_a_message_tells_a_line_if_there_is_one(self, normalize: Normalize) -> None:
        packed = gzip.compress(b'{"a": "1"}\n' * 3)
        after = ". Nothing of it is delivered; get the whole file from its source again"
        name = "mitx-edx-events-2024-05-06.log.gz"
        assert str(normalize(packed=b"").problem) == f"{name}: the file is empty{after}"
        assert str(normalize(packed=packed[:-1]).problem) == (
            f"{name}: the gzip data breaks off after byte {len(packed) - 1}, after line 3 of its content{after}"
        )

    def test_each_block_is_read_once_if_it_brings_no_keys(
        self, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 110)
        started: list[int] = []
        stream = pool.stream

        def stream_and_remember(work: Callable[..., Any], first_line: int, *arguments: Any) -> Any:  # noqa: ANN401
            started.append(first_line)
            return stream(work, first_line, *arguments)

        monkeypatch.setattr(pool, "stream", stream_and_remember)
        packed = gzip.compress(b'{"a": "1"}\n' * 200)
        normalize_log([packed], name="day", pool=pool, progress=lambda _: None).close()
        assert started == list(range(1, 201, 10))

    def test_lines_longer_than_a_block_are_read_one_at_a_time(
        self, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_blocks, "BLOCK_BYTES", 100)
        monkeypatch.setattr(normalize_module, "BLOCK_BYTES", 100)
        waiting: list[int] = []
        long_ones: list[Future[Any]] = []
        others: list[Future[Any]] = []
        stream = pool.stream
        lines = [b'{"a": "1"}\n'] * 99 + [b'{"a": "%b"}\n' % (b"x" * 10_000), b'{"a": "1"}\n' * 3] * 50

        def stream_and_count(work: Callable[..., Any], first_line: int, *arguments: Any) -> Any:  # noqa: ANN401
            is_long = first_line > 99 and (first_line - 100) % 4 == 0
            waiting.append(sum(not each.done() for each in [*long_ones, *(others if is_long else [])]))
            task = stream(work, first_line, *arguments)
            (long_ones if is_long else others).append(task._result)  # noqa: SLF001 - before it is asked for
            return task

        monkeypatch.setattr(pool, "stream", stream_and_count)
        log = normalize_log([gzip.compress(b"".join(lines))], name="day", pool=pool, progress=lambda _: None)
        assert log.report.lines_out == 299
        log.close()
        assert len(long_ones) == 50
        assert not any(waiting)
