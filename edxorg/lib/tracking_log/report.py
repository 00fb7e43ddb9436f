"""What is said about a log."""

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
    """What was read and written so far; `lines_in` = `lines_out` + all of `rejected` + `blank` at the end."""

    lines_in: int = 0
    lines_out: int = 0
    rejected: Counter[LineRejectReason] = field(default_factory=Counter)
    blank: int = 0
    nul_bytes: int = 0
    """Lines that were delivered without the NUL bytes before them."""
    syslog_prefixes: int = 0
    """Lines that were delivered without the syslog or container prefix they had."""
    exact_path_lines: int = 0
    """Lines that were delivered though a JSON parser would have refused or bent them."""
    columns: list[str] = field(default_factory=list)
    """The day's top-level keys in order of first appearance."""
    bytes_in: int = 0
    """Of the compressed input."""
    bytes_unpacked: int = 0
    bytes_normalized: int = 0
    """Of the output before compression; of what is read so far with all keys known so far."""
    bytes_out: int = 0
    """Of the compressed output."""

    @property
    def named_columns(self) -> list[str]:
        """The keys that are like names of columns. Others can be any text, and so are shown in no event or metadata."""
        return [key for key in self.columns if _NAME.fullmatch(key)]

    @property
    def rejected_lines(self) -> int:
        """All of them, whatever the reason."""
        return self.rejected.total()

    def sum_of_lines(self) -> str:
        """For people: the sum that must equal the number of lines."""
        total = self.lines_out + self.rejected_lines + self.blank
        sign = "=" if total == self.lines_in else "≠"
        return (
            f"{self.lines_in:,} lines {sign} {self.lines_out:,} normalised + {self.rejected_lines:,} rejected + "
            f"{self.blank:,} blank"
        )

    def as_json(self) -> dict[str, object]:
        """The report for programs."""
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
    """What became of a log.

    Attributes:
        report: Of its lines.
        outcome: Of the normalised log; `None` where nothing was to be delivered.
        rejects: Where the rejected lines are.
        problem: Why there is no normalised log.
    """

    report: LogReport
    outcome: VersionOutcome | None = None
    rejects: str | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, object]:
        """The account for programs."""
        return {**self.report.as_json(), "outcome": self.outcome, "rejects": self.rejects, "problem": self.problem}
