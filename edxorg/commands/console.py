"""Prints progress bars and reports for the user."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column, Table

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.progress import RunObserver
from ol_orchestrate.lib.shortening import first_and_more

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edxorg.lib.archive.ingest_report import IngestReport
    from edxorg.lib.progress import Progress, RunReport
    from edxorg.lib.tracking_log import LogResult

LISTED = 10
"""Lines of a list; the rest is counted."""

out = Console()
err = Console(stderr=True)


class Bar(RunObserver):
    """A progress bar for one file, which keeps the final report."""

    def __init__(self, bars: Bars, name: str) -> None:
        self._bars = bars
        self._name = name
        self._task = bars.add_task(name, total=None, counts="")
        self.result: RunReport | None = None

    def waiting(self, reason: str | None) -> None:
        """Show the reason for waiting beside the bar; without a bar, in a line of its own."""
        self._bars.update(self._task, counts=reason or "")
        if reason and self._bars.disable:
            click.echo(f"{self._name}: {reason}", err=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        counts = f"{progress.items:,} · {progress.rows:,} rows" if progress.items else ""
        self._bars.update(self._task, completed=progress.bytes_read, total=progress.bytes_total, counts=counts)

    def report(self, report: RunReport) -> None:
        """Keep the final report."""
        self.result = report


@contextmanager
def progress_bar(name: str, *, quiet: bool = False) -> Iterator[Bar]:
    """Show a bar on standard error with bytes, members, rows, speed and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err, disable=quiet or not sys.stderr.isatty()) as bars:
        yield Bar(bars, name)


@contextmanager
def counting(items: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on standard error that counts; yields a function that takes the name of each item as it begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(items, total=total, completed=-1)

        def started(name: str) -> None:
            bars.update(task, description=name, advance=1)

        yield started


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


def show_report(report: IngestReport) -> None:
    """Print the report of an archive: delivered members, members and rows set aside, and the reasons."""
    from ol_orchestrate.lib.openpgp import told_of_unchecked  # noqa: PLC0415 - most commands need no archive

    if report.tables:
        _show_tables(report)
    for outcome in (MemberOutcome.MISSING_AT_SOURCE, MemberOutcome.FAILED, MemberOutcome.UNRECOGNISED):
        listed = report.listed.get(outcome, [])
        if listed:
            out.print(f"[bold]{report.outcomes[outcome]:,} {outcome}[/]")
        lines = [f"{path} ({size:,} bytes): {why}" for path, size, why in listed]
        for line in first_and_more(lines, LISTED, total=report.outcomes[outcome]):
            out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    for reason, count in report.rows_rejected.most_common():
        out.print(f"{count:,} rows rejected: {reason}")
    if report.ambiguous:
        names = ", ".join(first_and_more(report.ambiguous, LISTED))
        out.print(f"{len(report.ambiguous):,} course names can be read in more than one way: {names}")
    if report.claimed_twice.total:
        out.print(
            f"{report.claimed_twice.total:,} members have a name that an earlier one had; the last with content counts"
        )
    if unchecked := told_of_unchecked(report.unchecked_signers):
        out.print(unchecked, soft_wrap=True)
    out.print(report.sum_of_outcomes(), soft_wrap=True)
    if report.problem:
        out.print(report.problem, style="red", markup=False, highlight=False, soft_wrap=True)


def _show_tables(report: IngestReport) -> None:
    tables = sorted(report.tables.items())
    shown = [outcome for outcome in _SHOWN if any(table_counts.outcomes[outcome] for _, table_counts in tables)]
    counted = (*(outcome.value for outcome in shown), "rows", "rejected", "MB")
    columns = [Column(heading, justify="right", no_wrap=True) for heading in counted]
    # On a narrow screen the names give way, not the numbers.
    table = Table(Column("table", overflow="fold"), *columns, box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for name, table_counts in tables:
        counts = (f"{table_counts.outcomes[outcome]:,}" if table_counts.outcomes[outcome] else "" for outcome in shown)
        rejected = sum(table_counts.rejected.values())
        table.add_row(
            name,
            *counts,
            f"{table_counts.rows:,}",
            f"[yellow]{rejected:,}[/]" if rejected else "",
            f"{table_counts.bytes / 1e6:,.1f}",
        )
    out.print(table)


def show_log(result: LogResult) -> None:
    """Print the report of a tracking log: the number of its events, and the reasons why the other lines are none."""
    report = result.report
    table = Table("lines", Column("", justify="right"))
    table.add_row("normalized", f"{report.lines_out:,}")
    for reason, count in report.rejected.most_common():
        table.add_row(f"rejected: {reason}", f"[yellow]{count:,}[/]")
    table.add_row("blank", f"{report.blank:,}")
    table.add_row("with NUL bytes that were dropped", f"{report.nul_bytes:,}")
    table.add_row("with a syslog or container prefix that was dropped", f"{report.syslog_prefixes:,}")
    out.print(table)
    if report.columns:
        names = ", ".join(first_and_more(report.columns, 30))
        out.print(f"{len(report.columns):,} columns: {names}", markup=False, highlight=False, soft_wrap=True)
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
