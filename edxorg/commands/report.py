"""`edxorg report`: the report of an archive, written again."""

from __future__ import annotations

from pathlib import Path

import click

from edxorg.commands import console, homes, runs


@click.command()
@click.argument("archive", required=False, metavar="[PARTITION]")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
@click.option("--landing-zone", metavar="URL", help="Where to: s3://bucket/prefix, gs://bucket/prefix or a folder.")
def command(archive: str | None, out: Path | None, landing_zone: str | None) -> None:
    """Write the report of an archive again, from what is recorded.

    PARTITION is the archive's file name, mitx-2024-01-31.tar.gz; by default the last one. The report is one HTML file,
    edxorg/reports/PARTITION.html in the landing zone of the archive, unless --landing-zone names another.
    """
    settings = runs.settings_for(landing_zone)
    if not homes.is_made(homes.home_folder()):
        raise click.UsageError(
            f"no report is recorded, as {homes.home_folder()} is empty: `edxorg ingest archive` records it. Call this "
            "in the folder in which that was called, or let DAGSTER_HOME name the folder of its runs"
        )
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
        url = settings.landing_zone_url if landing_zone else summary.landing_zone or settings.landing_zone_url
        click.echo(write_page(summary, runs.open_landing_zone(url, settings)))
        return
    with console.writing_to(out):
        out.write_text(page(summary), encoding="utf-8")
    click.echo(out)
