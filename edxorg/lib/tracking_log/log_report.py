"""Counters and the result of one normalized log, and the limits beyond which a file is none.

Each line takes time and each key takes room in all lines, so a few kilobytes that unpack to nothing but line ends, or
that bring long keys, would keep a run busy for hours or fill its disk. So a file is not read to its end once its
counters are beyond these limits. No real log comes near any of them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edxorg.lib.tracking_log.exact_path import MAX_LINE_BYTES

if TYPE_CHECKING:
    from edxorg.lib.tracking_log.log_rejects import LineRejectReason
    from ol_orchestrate.lib.versions import VersionOutcome

MAX_OVERSIZED_LINES: Final = 32
"""Limit of the lines over `MAX_LINE_BYTES`; each takes memory until the end."""

MAX_SHORT_LINES: Final = 100_000
"""Limit of the lines, if they have fewer than `BYTES_OF_LINE` on average."""

BYTES_OF_LINE: Final = 32
"""Bytes. A time alone has as many."""

MAX_LINES_WITHOUT_EVENT: Final = 100_000
"""Limit of the blank and rejected lines, if there is one for each `BYTES_WITH_EVENT` or fewer. A worker reads some
50,000 in a second."""

BYTES_WITH_EVENT: Final = 128
"""Bytes. An event has several hundred, so even a log whose events are all unreadable, or with a blank line after each
event, is read to its end, and its rejects give the reasons."""

OUTPUT_RATIO: Final = 16
"""Bytes of output for each byte read, beyond `OUTPUT_BASE`. Sample logs have less than two."""

OUTPUT_BASE: Final = 256 << 20
"""Bytes of output that even the shortest log may have."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass
class LineCounts:
    """Numbers of lines by what became of them."""

    lines_out: int = 0
    rejected: Counter[LineRejectReason] = field(default_factory=Counter)
    blank: int = 0
    nul_bytes: int = 0
    """Lines that were delivered without the NUL bytes before them."""
    syslog_prefixes: int = 0
    """Lines that were delivered without the syslog or container prefix they had."""
    exact_path_lines: int = 0
    """Lines that a JSON parser would refuse or alter, read by the exact reader and delivered."""

    def count(self, more: LineCounts) -> None:
        """Add other lines."""
        self.lines_out += more.lines_out
        self.rejected += more.rejected
        self.blank += more.blank
        self.nul_bytes += more.nul_bytes
        self.syslog_prefixes += more.syslog_prefixes
        self.exact_path_lines += more.exact_path_lines


@dataclass
class LogReport(LineCounts):
    """Counters of a log, read so far; at the end `lines_in` = `lines_out` + all of `rejected` + `blank`."""

    lines_in: int = 0
    columns: list[str] = field(default_factory=list)
    """The day's top-level keys in order of first appearance."""
    bytes_in: int = 0
    """Bytes of the compressed input."""
    bytes_unpacked: int = 0
    bytes_normalized: int = 0
    """Bytes of the output before compression; until the end, of the lines read so far with all keys known so far."""
    bytes_out: int = 0
    """Bytes of the compressed output."""

    @property
    def named_columns(self) -> list[str]:
        """The keys that are like names of columns. Others can be any text, and so are shown in no event or metadata."""
        return [key for key in self.columns if _NAME.fullmatch(key)]

    @property
    def rejected_lines(self) -> int:
        """The number of lines rejected for any reason."""
        return self.rejected.total()

    def sum_of_lines(self) -> str:
        """Write out the sum that must equal the number of lines."""
        total = self.lines_out + self.rejected_lines + self.blank
        sign = "=" if total == self.lines_in else "≠"
        return (
            f"{self.lines_in:,} lines {sign} {self.lines_out:,} normalized + {self.rejected_lines:,} rejected + "
            f"{self.blank:,} blank"
        )

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "lines_in": self.lines_in,
            "lines_out": self.lines_out,
            "rejected": self.rejected_lines,
            "rejected_by_reason": dict(self.rejected),
            "blank": self.blank,
            "nul_bytes": self.nul_bytes,
            "syslog_prefixes": self.syslog_prefixes,
            "exact_path_lines": self.exact_path_lines,
            "columns": self.columns,
            "bytes_in": self.bytes_in,
            "bytes_unpacked": self.bytes_unpacked,
            "bytes_normalized": self.bytes_normalized,
            "bytes_out": self.bytes_out,
        }


@dataclass(frozen=True, slots=True)
class LogResult:
    """The result of a log.

    Attributes:
        outcome: Outcome of the normalized log; `None` if nothing was to be delivered.
        rejects: URL of the rejected lines.
        problem: The reason why there is no normalized log.
    """

    report: LogReport
    outcome: VersionOutcome | None = None
    rejects: str | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the result for programs."""
        return {**self.report.as_json(), "outcome": self.outcome, "rejects": self.rejects, "problem": self.problem}


class NotALogError(ValueError):
    """A file is beyond a limit; the message says which."""


def check_limits(report: LogReport, oversized_lines: int) -> None:
    """Compare what was read and written so far with the limits.

    Raises:
        NotALogError: The log is beyond a limit.
    """
    first_lines = f"of its first {report.lines_in:,} lines"
    if oversized_lines > MAX_OVERSIZED_LINES:
        raise NotALogError(
            f"{oversized_lines} {first_lines} have over {MAX_LINE_BYTES >> 20} MiB, as in no tracking log"
        )
    if report.lines_in > MAX_SHORT_LINES and report.lines_in * BYTES_OF_LINE > report.bytes_unpacked:
        raise NotALogError(
            f"its first {report.lines_in:,} lines have {report.bytes_unpacked:,} bytes, too few for as many events"
        )
    without_event = report.blank + report.rejected_lines
    if without_event > MAX_LINES_WITHOUT_EVENT and without_event * BYTES_WITH_EVENT > report.bytes_unpacked:
        reasons = "".join(f", {count:,} {reason}" for reason, count in report.rejected.items())
        raise NotALogError(
            f"{without_event:,} {first_lines}, or {report.bytes_unpacked:,} bytes, hold no event, as in no tracking "
            f"log ({report.blank:,} blank{reasons})"
        )
    most_output = OUTPUT_BASE + OUTPUT_RATIO * report.bytes_unpacked
    if report.bytes_normalized > most_output:
        raise NotALogError(
            f"the {report.lines_out:,} events {first_lines}, or {report.bytes_unpacked:,} bytes, would become "
            f"{report.bytes_normalized:,} bytes with the {len(report.columns):,} keys of all, and at most "
            f"{most_output:,} are allowed. Its keys are too many or too long"
        )
