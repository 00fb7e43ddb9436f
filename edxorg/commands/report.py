"""`edxorg report`: the report of an archive, written again."""

from __future__ import annotations

from pathlib import Path

import click

from edxorg.commands import console, homes, runs
from ol_orchestrate.lib.stores import open_store


@click.command()
@click.argument("archive", required=False, metavar="[PARTITION]")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
@click.option("--landing-zone", metavar="URL", help="Where to: s3://bucket/prefix, gs://bucket/prefix or a folder.")
def command(archive: str | None, out: Path | None, landing_zone: str | None) -> None:
    """Write the report of an archive again, from what is recorded.

    PARTITION is the archive's file name, mitx-2024-01-31.tar.gz; by default the last one. The report is one HTML file,
    in the landing zone as edxorg/reports/PARTITION.html.
    """
    settings = runs.settings_for(landing_zone)
    from edxorg.assets.edxorg_archive import raw_data_archives  # noqa: PLC0415 - loads Dagster
    from edxorg.lib.archive_report import page  # noqa: PLC0415
    from edxorg.ops.archive_reports import ArchiveReports, write_page  # noqa: PLC0415

    with homes.dagster_instance() as instance:
        reports = ArchiveReports(instance, raw_data_archives(settings))
        archive = archive or reports.latest()
        summary = reports.of(archive) if archive else None
    if summary is None:
        raise click.UsageError(
            f"no report of {archive or 'any archive'} is recorded: `edxorg ingest archive` records it"
        )
    if out is None:
        click.echo(write_page(summary, open_store(settings.landing_zone_url)))
        return
    with console.writing_to(out):
        out.write_text(page(summary), encoding="utf-8")
    click.echo(out)
