"""`edxorg demo`: everything on this machine, with sample inputs and no credentials."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edxorg.commands import console, runs
from edxorg.lib.progress import watched_by
from edxorg.lib.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from edxorg.lib.archive.account import Account

ARCHIVES = ("mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz")
"""Two weeks: the second shows what happens to what has not changed."""


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("edxorg-demo"),
    show_default=True,
    help="Where inputs, landing zone and Dagster's records go.",
)
def command(folder: Path) -> None:
    """Make sample inputs and run everything on them, on folders of this machine."""
    folder = folder.absolute()
    settings = replace(
        Settings(),
        archive_url=f"file://{folder}/inputs",
        landing_zone_url=f"file://{folder}/landing-zone",
        program_reports_url=f"file://{folder}/reports",
        program_reports_destination_url=f"file://{folder}/landing-zone/edxorg-program-credentials",
    )
    _make_inputs(folder)
    with console.err.status("Starting Dagster …"):
        from edxorg.definitions import build_definitions  # noqa: PLC0415 - seconds

        defs = build_definitions(settings)
    failed = False
    with runs.dagster_instance(folder / "dagster_home") as instance:
        for name in ARCHIVES:
            failed |= _run_archive(defs, instance, settings, name)
    _show_where(folder, settings)
    sys.exit(1 if failed else 0)


def _make_inputs(folder: Path) -> None:
    from edxorg.samples.archive import write_sample_archive  # noqa: PLC0415

    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(ARCHIVES):
        if not (inputs / name).exists():
            with console.err.status(f"Making {name} …"):
                write_sample_archive(inputs / name, courses=10 + number, rows_per_course=1000, seed=0)
    console.heading("Sample inputs", f"everybody and everything in them is made up; they are in {inputs}")


def _run_archive(defs: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, name: str) -> bool:
    from edxorg.assets.raw_files import raw_data_archives  # noqa: PLC0415

    console.heading(f"Archive {name}", "tables, course structures, course XML and forums of each course")
    source = runs.SourceUrl(settings.archive_url, name)
    partition = runs.register(instance, raw_data_archives(settings), source)
    with console.progress_bar(name) as bar, watched_by(bar):
        reasons = runs.run_job(defs.resolve_job_def("retrieve_edxorg_raw_data"), instance, partition)
    if bar.result is not None:
        console.show_account(cast("Account", bar.result))
    for reason in reasons:
        click.echo(f"Error: {reason}", err=True)
    return bool(reasons)


def _show_where(folder: Path, settings: Settings) -> None:
    home, inputs, lake = folder / "dagster_home", settings.archive_url, settings.landing_zone_url
    console.heading("What landed", f"is in {folder / 'landing-zone'}")
    console.out.print("See the runs, the assets and their metadata in Dagster's pages, at http://localhost:3000:\n")
    console.out.print(
        f"  DAGSTER_HOME={shlex.quote(str(home))} EDXORG_ARCHIVE_URL={shlex.quote(inputs)} \\\n"
        f"  EDXORG_LANDING_ZONE_URL={shlex.quote(lake)} \\\n"
        "  uv run dagster dev -m edxorg.definitions\n",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
