"""The limits beyond which a file is no tracking log, so that it is not read to its end.

Each line takes time and each key takes room in all lines, so a few kilobytes that unpack to nothing but line ends, or
that bring long keys, would keep a run busy for hours or fill its disk. No real log comes near any of these limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edxorg.lib.tracking_log.event import MAX_LINE_BYTES

if TYPE_CHECKING:
    from edxorg.lib.tracking_log.report import LogReport

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
