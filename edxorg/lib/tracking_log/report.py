"""Counters and the result of one normalized log."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edxorg.lib.tracking_log.rejects import LineRejectReason
    from ol_orchestrate.lib.versions import VersionOutcome

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass
class LogReport:
    """Counters of a log, read so far; at the end `lines_in` = `lines_out` + all of `rejected` + `blank`."""

    lines_in: int = 0
    lines_out: int = 0
    rejected: Counter[LineRejectReason] = field(default_factory=Counter)
    blank: int = 0
    nul_bytes: int = 0
    """Lines that were delivered without the NUL bytes before them."""
    syslog_prefixes: int = 0
    """Lines that were delivered without the syslog or container prefix they had."""
    exact_path_lines: int = 0
    """Lines that a JSON parser would refuse or alter, read by the exact reader and delivered."""
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
