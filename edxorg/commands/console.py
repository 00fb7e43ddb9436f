"""Prints progress bars and reports for the user."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from edxorg.commands import stopping
from edxorg.lib.archive.ingest_report import MemberOutcome, TableCounts
from edxorg.lib.members import MemberKind
from edxorg.lib.progress import RunObserver
from ol_orchestrate.lib.shortening import counted, first_and_more

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Task

    from edxorg.lib.archive.ingest_report import IngestReport
    from edxorg.lib.progress import Progress, RunReport
    from edxorg.lib.tracking_log import LogResult

LISTED = 10
"""Lines of a list; the rest is counted."""

out = Console()
err = Console(stderr=True)


@contextmanager
def loading(reason: str) -> Iterator[None]:
    """Say on a terminal what takes seconds before there is anything to count."""
    with err.status(f"{reason} …"), stopping.nothing_to_tidy():
        yield


_WIDEST_BAR = 40
_LEAST_BAR = 10
_WIDTH_BESIDE_BAR = 68
"""Width of bytes, speed, counts and the time left of a large archive, such as `67.0/67.0 GB`, `100.1 MB/s`,
`98,765 · 123,456,789 rows` and `1:23:45`."""


class _BytesColumn(DownloadColumn):
    """The bytes of a file, or nothing as long as neither they nor their number are known."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total or task.completed else Text("")


class Bar(RunObserver):
    """A progress bar for one file, which keeps the final report."""

    def __init__(self, bars: Bars, name: str, size: int | None) -> None:
        self._bars = bars
        self._name = name
        self._task = bars.add_task(name, total=size, counts="starts")
        self.result: RunReport | None = None

    def waiting(self, reason: str | None) -> None:
        """Show the reason for waiting, in a line of its own."""
        self._bars.update(self._task, counts="waits" if reason else "")
        if reason and self._bars.disable:
            click.echo(f"{self._name}: {reason}", err=True)
        elif reason:
            self._bars.console.print(reason, markup=False, highlight=False, soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar; end the command if Dagster has swallowed the request to stop it."""
        stopping.raise_if_requested()
        counts = f"{progress.items:,} · {progress.rows:,} rows" if progress.items else ""
        self._bars.update(self._task, completed=progress.bytes_read, total=progress.bytes_total, counts=counts)

    def stage(self, work: str) -> None:
        """Show the work that is left when all is read."""
        stopping.raise_if_requested()
        self._bars.update(self._task, counts=work)

    def report(self, report: RunReport) -> None:
        """Keep the final report."""
        self.result = report


@contextmanager
def progress_bar(name: str, size: int | None = None, *, quiet: bool = False) -> Iterator[Bar]:
    """Show a bar on standard error with bytes of `size`, members, rows, speed and the time left.

    On a narrow terminal the name has a line of its own, and on a very narrow one there is no bar.
    """
    room = err.width - _WIDTH_BESIDE_BAR
    has_name = room - len(name) > _LEAST_BAR
    columns: list[ProgressColumn] = [_BytesColumn(), TextColumn("{task.fields[counts]}"), TimeRemainingColumn()]
    if room >= _LEAST_BAR:
        bar_width = min(_WIDEST_BAR, room - (len(name) + 1 if has_name else 0))
        columns = [BarColumn(bar_width), columns[0], TransferSpeedColumn(), *columns[1:]]
    if has_name:
        columns.insert(0, TextColumn("{task.description}"))
    is_hidden = quiet or not sys.stderr.isatty()
    if not has_name and not is_hidden:
        err.print(name, markup=False, highlight=False, soft_wrap=True)
    with Bars(*columns, console=err, disable=is_hidden) as bars:
        yield Bar(bars, name, size)


@contextmanager
def counting(items: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on standard error that counts; yields a function that takes the name of each item as it begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(items, total=total, completed=-1)

        def started(name: str) -> None:
            bars.update(task, description=name, advance=1)

        yield started


def make_folder(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder that the user named if it is missing, and say so.

    Raises:
        click.UsageError: It cannot be made, or is none.
    """
    with writing_to(folder):
        if not folder.is_dir():
            make(folder)
            err.print(f"Made the folder {folder}", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn errors of writing to a path that the user chose into usage errors.

    Raises:
        click.UsageError: The path cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror or error}: choose a path that can be written to") from None


def show_report(report: IngestReport, *, verbose: bool = False) -> None:
    """Print the report of an archive: delivered members, members and rows set aside, and the reasons.

    Args:
        report: The report.
        verbose: True to list each table; else only those that an operator must look at, and the sum of the others.
    """
    from ol_orchestrate.lib.openpgp import told_of_unchecked  # noqa: PLC0415 - most commands need no archive

    if report.tables:
        _show_tables(report.tables, verbose=verbose)
    for outcome in (MemberOutcome.MISSING_AT_SOURCE, MemberOutcome.FAILED, MemberOutcome.UNRECOGNISED):
        listed = report.listed.get(outcome, [])
        if listed:
            out.print(f"[bold]{report.outcomes[outcome]:,} {outcome}[/]")
        lines = [f"{path} ({size:,} bytes): {why}" for path, size, why in listed]
        for line in first_and_more(lines, LISTED, total=report.outcomes[outcome]):
            out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if report.rows_rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.rows_rejected.most_common())
        out.print(f"rows rejected: {reasons}", soft_wrap=True)
    if report.ambiguous:
        names = ", ".join(first_and_more(report.ambiguous, LISTED))
        count = counted(len(report.ambiguous), "course name")
        out.print(f"{count} can be read in more than one way: {names}", soft_wrap=True)
    if report.claimed_twice.total:
        count = counted(report.claimed_twice.total, "member")
        out.print(f"{count} had the name of an earlier one; the last with content counts", soft_wrap=True)
    if unchecked := told_of_unchecked(report.unchecked_signers):
        out.print(unchecked, soft_wrap=True)
    out.print(report.sum_of_outcomes(), soft_wrap=True)
    for text, style in ((report.problem, "red"), (report.warning and f"Warning: {report.warning}", "yellow")):
        _print_if_any(text, style)


def _print_if_any(text: str | None, style: str) -> None:
    if text:
        out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _show_tables(by_output: dict[str, TableCounts], *, verbose: bool) -> None:
    """Print the counts of tables, and below them those of structures, XML and forums."""
    tables = {name: counts for name, counts in sorted(by_output.items()) if name not in _TITLES}
    listed = {name: counts for name, counts in tables.items() if verbose or counts.must_be_looked_at}
    named = [*listed.items()]
    if others := [counts for name, counts in tables.items() if name not in listed]:
        named.append((counted(len(others), "other table" if listed else "table"), sum(others, TableCounts())))
    named += [(title, by_output[kind]) for kind, title in _TITLES.items() if kind in by_output]
    shown = [outcome for outcome in _SHOWN if any(counts.outcomes[outcome] for _, counts in named)]
    headings = (*(outcome.value for outcome in shown), "rows", "rejected", "MB")
    show_numbers(headings, [(name, _numbers(counts, shown)) for name, counts in named])


def _numbers(counts: TableCounts, shown: list[MemberOutcome]) -> list[str]:
    whole = (*(counts.outcomes[outcome] for outcome in shown), counts.rows, sum(counts.rejected.values()))
    return [*(f"{number:,}" if number else "" for number in whole), f"{counts.bytes / 1e6:,.1f}"]


def show_numbers(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print a table of numbers; on a narrow terminal each name has a line of its own, so that none is folded."""
    widths = [max(map(len, column)) for column in zip(headings, *(numbers for _, numbers in rows), strict=True)]
    lines = [("", headings), *rows]
    name_width = max((len(name) for name, _ in rows), default=0)  # of a log without a line there are none
    is_narrow = name_width + sum(widths) + len(widths) > out.width
    for name, numbers in lines:
        aligned = " ".join(number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        line = (
            f"{name}\n{aligned}" if is_narrow and name else aligned if is_narrow else f"{name:{name_width}} {aligned}"
        )
        out.print(line, style="bold" if numbers is headings else "", markup=False, highlight=False, soft_wrap=True)
    out.print()


def show_log(result: LogResult, *, verbose: bool = False) -> None:
    """Print the report of a tracking log: the number of its events, and the reasons why the other lines are none.

    Args:
        result: The result.
        verbose: True to name the columns, and counts of nothing.
    """
    report = result.report
    counted = {
        "normalized": report.lines_out,
        **{f"rejected: {reason}": count for reason, count in report.rejected.most_common()},
        "blank": report.blank,
        "with NUL bytes (dropped)": report.nul_bytes,
        "with a syslog or container prefix (dropped)": report.syslog_prefixes,
    }
    show_numbers(["lines"], [(name, [f"{count:,}"]) for name, count in counted.items() if count or verbose])
    if report.columns and verbose:
        out.print(f"{len(report.columns):,} columns: {', '.join(report.columns)}", markup=False, highlight=False)
    out.print(
        f"{report.bytes_in:,} bytes ({report.bytes_unpacked:,} unpacked) became {report.bytes_out:,} "
        f"({report.bytes_normalized:,} unpacked)",
        soft_wrap=True,
    )
    out.print(report.sum_of_lines() + (f"; {result.outcome}" if result.outcome else ""), soft_wrap=True)
    if result.rejects:
        out.print(f"Rejected lines: {result.rejects}", markup=False, highlight=False, soft_wrap=True)
    if result.problem:
        out.print(result.problem, style="red", markup=False, highlight=False, soft_wrap=True)


_TITLES = {
    MemberKind.COURSE_STRUCTURE.value: "course structures",
    MemberKind.COURSE_XML.value: "course XML",
    MemberKind.FORUM.value: "forums",
    MemberKind.FORUM_POSTS.value: "posts of forums",
    MemberKind.EMAIL_OPT_IN.value: "e-mail preferences",
}
"""Kinds of members other than tables."""

_SHOWN = (
    MemberOutcome.DELIVERED,
    MemberOutcome.UNCHANGED,
    MemberOutcome.SUPERSEDED,
    MemberOutcome.EMPTY,
    MemberOutcome.FAILED,
)


def heading(title: str, text: str) -> None:
    """Print the heading of a part."""
    out.print(f"\n[bold]{title}[/]: {text}", soft_wrap=True, highlight=False)
