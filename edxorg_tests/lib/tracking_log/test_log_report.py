"""The counters of a log, and how far a file may go that is none."""

from __future__ import annotations

from collections import Counter

import pytest

from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg.lib.tracking_log.log_report import LineCounts, LogReport, LogResult, NotALogError, check_limits
from edxorg_tests.support.tracking_logs import MIB
from ol_orchestrate.lib.versions import VersionOutcome

BAD = Counter({LineRejectReason.NO_OBJECT: 4, LineRejectReason.TOO_LONG: 1})


def problem_of(report: LogReport, oversized_lines: int = 0) -> str:
    with pytest.raises(NotALogError) as found:
        check_limits(report, oversized_lines)
    return str(found.value)


def test_counts_of_blocks_add_up() -> None:
    total = LineCounts()
    total.count(LineCounts(1, Counter({LineRejectReason.NO_OBJECT: 2}), 3, 4, 5, 6))
    total.count(LineCounts(10, Counter(BAD), 30, 40, 50, 60))
    rejected = {LineRejectReason.NO_OBJECT: 6, LineRejectReason.TOO_LONG: 1}
    assert total == LineCounts(11, Counter(rejected), 33, 44, 55, 66)
    assert LineCounts() == LineCounts(0, Counter(), 0, 0, 0, 0)


def test_the_sum_of_lines_is_written_out_and_does_not_hide_a_difference() -> None:
    report = LogReport(lines_in=1_010, lines_out=1_003, rejected=BAD, blank=2)
    assert report.sum_of_lines() == "1,010 lines = 1,003 normalized + 5 rejected + 2 blank"
    report.lines_in += 1
    assert report.sum_of_lines() == "1,011 lines ≠ 1,003 normalized + 5 rejected + 2 blank"


def test_programs_get_all_counters() -> None:
    nothing: dict[str, object] = dict.fromkeys(
        [
            *("lines_in", "lines_out", "rejected", "blank", "nul_bytes", "syslog_prefixes", "exact_path_lines"),
            *("bytes_in", "bytes_unpacked", "bytes_normalized", "bytes_out"),
        ],
        0,
    )
    nothing |= {"rejected_by_reason": {}, "columns": []}
    assert LogReport().as_json() == nothing
    result = LogResult(LogReport(rejected=BAD, columns=["a"]), VersionOutcome.DELIVERED, "s3://b/k", "no log")
    assert result.as_json() == {
        **nothing,
        "rejected": 5,
        "rejected_by_reason": {"no_json_object": 4, "too_long": 1},
        "columns": ["a"],
        "outcome": VersionOutcome.DELIVERED,
        "rejects": "s3://b/k",
        "problem": "no log",
    }


def test_only_names_are_shown() -> None:
    names = ["time", "_id", "Page2", "k" * 64]
    assert LogReport(columns=[*names, "k" * 65, "", "2", "a b", "é", "a\n"]).named_columns == names


def test_thirty_two_lines_may_be_too_long() -> None:
    report = LogReport(lines_in=1_234, bytes_unpacked=33 << 24)
    check_limits(report, 32)
    assert problem_of(report, 33) == "33 of its first 1,234 lines have over 16 MiB, as in no tracking log"


def test_a_hundred_thousand_lines_may_be_short() -> None:
    check_limits(LogReport(lines_in=100_000, lines_out=100_000, bytes_unpacked=100_000), 0)
    check_limits(LogReport(lines_in=100_001, lines_out=100_001, bytes_unpacked=3_200_032), 0)
    report = LogReport(lines_in=100_001, lines_out=100_001, bytes_unpacked=3_200_031)
    assert problem_of(report) == "its first 100,001 lines have 3,200,031 bytes, too few for as many events"


@pytest.mark.parametrize("blank", [0, 1, 100_000])
def test_a_hundred_thousand_lines_may_hold_no_event(blank: int) -> None:
    bad = Counter({LineRejectReason.NO_OBJECT: 100_000 - blank})
    check_limits(LogReport(lines_in=110_000, rejected=bad, blank=blank, bytes_unpacked=110_000 * 32), 0)
    report = LogReport(lines_in=110_000, rejected=bad, blank=blank + 1, bytes_unpacked=100_001 * 128)
    check_limits(report, 0)
    report.bytes_unpacked -= 1
    report.rejected[LineRejectReason.TOO_LONG] = 0
    assert problem_of(report) == (
        f"100,001 of its first 110,000 lines, or 12,800,127 bytes, hold no event, as in no tracking log "
        f"({blank + 1:,} blank, {100_000 - blank:,} no_json_object, 0 too_long)"
    )


def test_an_output_may_be_sixteen_times_as_large_beyond_a_quarter_of_a_gibibyte() -> None:
    most = 256 * MIB + 16 * 1_000
    report = LogReport(lines_in=10, lines_out=9, columns=["a", "b"], bytes_unpacked=1_000, bytes_normalized=most)
    check_limits(report, 0)
    report.bytes_normalized += 1
    assert problem_of(report) == (
        f"the 9 events of its first 10 lines, or 1,000 bytes, would become {most + 1:,} bytes with the 2 keys of all, "
        f"and at most {most:,} are allowed. Its keys are too many or too long"
    )
