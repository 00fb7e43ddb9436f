"""What people see: progress bars, tables, and where things are."""

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
    from edxorg.lib.progress import Progress
    from edxorg.lib.progress import RunReport as AnyAccount
    from edxorg.lib.tracking_log import LogResult

LISTED = 10
"""Lines of a list; the rest is counted."""

out = Console()
err = Console(stderr=True)


class Bar(RunObserver):
    """A progress bar, and the account when it is done."""

    def __init__(self, bars: Bars, name: str) -> None:
        """A bar for one file."""
        self._bars = bars
        self._name = name
        self._task = bars.add_task(name, total=None, counts="")
        self.result: AnyAccount | None = None

    def waiting(self, reason: str | None) -> None:
        """Say in the bar's line why nothing moves; where there is no bar, in a line of its own."""
        self._bars.update(self._task, counts=reason or "")
        if reason and self._bars.disable:
            click.echo(f"{self._name}: {reason}", err=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        counts = f"{progress.items:,} · {progress.rows:,} rows" if progress.items else ""
        self._bars.update(self._task, completed=progress.bytes_read, total=progress.bytes_total, counts=counts)

    def report(self, report: AnyAccount) -> None:
        """Keep the account."""
        self.result = report


@contextmanager
def progress_bar(name: str, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar on standard error that shows bytes, members, rows, speed and the time left."""
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
def counting(things: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error that counts; what it yields is called with the name of each thing as it begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(things, total=total, completed=-1)

        def started(name: str) -> None:
            bars.update(task, description=name, advance=1)

        yield started


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """What is done inside writes to a place that the caller chose.

    Raises:
        click.UsageError: Nothing can be written there.
    """
    try:
        yield
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror or error}: choose a place that can be written to") from None


def show_report(account: IngestReport) -> None:
    """The account of an archive: what landed, what was set aside and why."""
    if account.tables:
        _show_tables(account)
    for outcome in (MemberOutcome.MISSING_AT_SOURCE, MemberOutcome.FAILED, MemberOutcome.UNRECOGNISED):
        listed = account.listed.get(outcome, [])
        if listed:
            out.print(f"[bold]{account.outcomes[outcome]:,} {outcome}[/]")
        lines = [f"{path} ({size:,} bytes): {why}" for path, size, why in listed]
        for line in first_and_more(lines, LISTED, total=account.outcomes[outcome]):
            out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    for reason, count in account.rows_rejected.most_common():
        out.print(f"{count:,} rows rejected: {reason}")
    if account.ambiguous:
        names = ", ".join(first_and_more(account.ambiguous, LISTED))
        out.print(f"{len(account.ambiguous):,} course names can be read in more than one way: {names}")
    if account.claimed_twice.total:
        out.print(
            f"{account.claimed_twice.total:,} members have a name that an earlier one had; the last with content counts"
        )
    out.print(account.sum_of_outcomes(), soft_wrap=True)
    if account.problem:
        out.print(account.problem, style="red", markup=False, highlight=False, soft_wrap=True)


def _show_tables(account: IngestReport) -> None:
    tables = sorted(account.tables.items())
    shown = [outcome for outcome in _SHOWN if any(of_table.outcomes[outcome] for _, of_table in tables)]
    counted = (*(outcome.value for outcome in shown), "rows", "rejected", "MB")
    columns = [Column(heading, justify="right", no_wrap=True) for heading in counted]
    # On a narrow screen the names give way, not the numbers.
    table = Table(Column("table", overflow="fold"), *columns, box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for name, of_table in tables:
        counts = (f"{of_table.outcomes[outcome]:,}" if of_table.outcomes[outcome] else "" for outcome in shown)
        rejected = sum(of_table.rejected.values())
        table.add_row(
            name,
            *counts,
            f"{of_table.rows:,}",
            f"[yellow]{rejected:,}[/]" if rejected else "",
            f"{of_table.bytes / 1e6:,.1f}",
        )
    out.print(table)


def show_log(account: LogResult) -> None:
    """The account of a tracking log: how many of its lines are events, and why the others are not."""
    report = account.report
    table = Table("lines", Column("", justify="right"))
    table.add_row("normalised", f"{report.lines_out:,}")
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
    out.print(report.sum_of_lines() + (f"; {account.outcome}" if account.outcome else ""), soft_wrap=True)
    if account.rejects:
        out.print(f"Rejected lines: {account.rejects}", markup=False, highlight=False, soft_wrap=True)
    if account.problem:
        out.print(account.problem, style="red", markup=False, highlight=False, soft_wrap=True)


_SHOWN = (
    MemberOutcome.DELIVERED,
    MemberOutcome.UNCHANGED,
    MemberOutcome.SUPERSEDED,
    MemberOutcome.EMPTY,
    MemberOutcome.FAILED,
)


def heading(title: str, what: str) -> None:
    """The start of a part."""
    out.print(f"\n[bold]{title}[/]: {what}", soft_wrap=True, highlight=False)
