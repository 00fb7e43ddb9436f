"""`edxorg ingest` brings files into the landing zone, in runs that Dagster keeps."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Never

import click

from edxorg.commands import console, homes, runs
from edxorg.commands import course_xml as course_xml_export
from edxorg.commands.formats import ARCHIVES, LOGS, not_decrypted, other_format
from edxorg.commands.places import files_of, period_options
from edxorg.lib.job_names import ARCHIVE_JOB, LOG_JOB
from edxorg.lib.progress import observed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from edxorg.commands.places import Period
    from edxorg.lib.settings import Settings
    from edxorg.source_files import SourceFiles
    from ol_orchestrate.lib.stores import SourceInfo

landing_zone_option = click.option(
    "--landing-zone", metavar="URL", help="Landing zone: s3://bucket/prefix, gs://bucket/prefix or a folder."
)
date_option = click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The date of a file whose name does not tell it."
)
name_option = click.option("--name", help="The name to record such a file under.")
courses_option = click.option(
    "--courses",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the courses to deliver, a name or pattern a line; the others are left out.",
)
verbose_option = click.option("--verbose", is_flag=True, help="List each table, and all columns of a log.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON, one object a file.")


@click.group()
def command() -> None:
    """Bring files into the landing zone.

    The runs are kept in the Dagster instance of DAGSTER_HOME, or in .edxorg/dagster_home if that is not set.
    """


@command.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@period_options
@date_option
@name_option
@courses_option
@landing_zone_option
@verbose_option
@json_option
def archive(
    *,
    urls: tuple[str, ...],
    period: Period,
    day: datetime | None,
    name: str | None,
    courses: Path | None,
    landing_zone: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Deliver archives of course exports.

    Each URL is a file named like mitx-2024-01-31.tar.gz, or as EDXORG_ARCHIVE_NAME says: gs://, s3://, file://, or a
    path of this machine. A folder, or a pattern such as 'gs://bucket/COLD/*2024*', stands for all such files in it, the
    oldest first; --from and --to choose some. A single file may have any name, with --date and --name. A package of one
    request (…/rdx/ID/ORG_COURSE_RUN.tar.gz.gpg) is recorded under its own name, as of the day on which the bucket got
    it; a copy on this machine needs its --date. Members that are in the landing zone already are neither written nor
    recorded again.
    """
    settings = runs.settings_for(landing_zone, courses)
    urls = files_of(urls, settings.archive_name, period, settings)
    sources = runs.named_source_urls(urls, settings.archive_name, day, name, may_be_requested=True)
    _ingest(
        _Kind(ARCHIVE_JOB, _archives, partial(console.show_report, verbose=verbose)),
        sources,
        settings,
        as_json=as_json,
    )


@command.command("tracking-log")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@period_options
@date_option
@name_option
@landing_zone_option
@verbose_option
@json_option
def tracking_log(
    *,
    urls: tuple[str, ...],
    period: Period,
    day: datetime | None,
    name: str | None,
    landing_zone: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Deliver tracking logs.

    Each URL is a file named like mitx-edx-events-2024-01-31.log.gz, or as EDXORG_TRACKING_LOG_NAME says: gs://, s3://,
    file://, or a path of this machine. A folder, or a pattern such as 'gs://bucket/COLD/*2024*', stands for all such
    files in it, the oldest first; --from and --to choose some. A single file may have any name, with --date and --name.
    A log that is in the landing zone already is neither written nor recorded again.
    """
    settings = runs.settings_for(landing_zone)
    urls = files_of(urls, settings.tracking_log_name, period, settings)
    sources = runs.named_source_urls(urls, settings.tracking_log_name, day, name)
    _ingest(
        _Kind(LOG_JOB, _logs, partial(console.show_log, verbose=verbose)),
        sources,
        settings,
        as_json=as_json,
    )


@command.command("course-xml")
@click.argument("path", metavar="PATH")
@landing_zone_option
@json_option
def course_xml(path: str, landing_zone: str | None, *, as_json: bool) -> None:
    """Deliver the outputs of the export of one course: metadata, videos, policies, blocks, static files.

    PATH is a .tar.gz: gs://, s3://, file://, or a path of this machine. A name like those of edX's exports,
    MITx-6.00x-2012_Fall-course-prod-analytics.xml.tar.gz, tells course and site; otherwise the export tells the course.
    """
    settings = runs.settings_for(landing_zone)
    (source,) = runs.source_urls((path,))
    delivered = course_xml_export.ingest(source, settings, as_json=as_json)
    if not as_json:
        console.out.print(f"Landing zone: {settings.landing_zone_url}", soft_wrap=True)
    sys.exit(0 if delivered else 1)


class _Kind(NamedTuple):
    """A kind of file.

    Attributes:
        job: The job that delivers it.
        files: Makes the definition of its partitions; loads Dagster.
        show: Prints its report.
    """

    job: str
    files: Callable[[Settings], SourceFiles]
    show: Callable[[Any], None]


def _archives(settings: Settings) -> SourceFiles:
    from edxorg.assets.edxorg_archive import raw_data_archives  # noqa: PLC0415

    return raw_data_archives(settings)


def _logs(settings: Settings) -> SourceFiles:
    from edxorg.assets.edxorg_archive import raw_tracking_logs  # noqa: PLC0415

    return raw_tracking_logs(settings)


def _info(source: runs.SourceUrl, settings: Settings, *, is_log: bool) -> SourceInfo:
    """Return the store's description of a file.

    Raises:
        click.UsageError: There is no such file, or it was named by the user and is none of this kind. A file that is
            named like those of edX and is none was damaged on its way, which its run records.
    """
    reader = runs.open_source(source, settings)
    if source.named and (other := other_format(reader, not_decrypted, is_log=is_log)):
        raise click.UsageError(f"{source.url}: {other}. This command reads {LOGS if is_log else ARCHIVES}")
    return reader.info


def _ingest(kind: _Kind, sources: Sequence[runs.SourceUrl], settings: Settings, *, as_json: bool) -> Never:
    """Run the job for each file, print its report, and exit."""
    with console.err.status("Looking for the files …"):
        found = [(source, _info(source, settings, is_log=kind.job == LOG_JOB)) for source in sources]
        runs.check_landing_zone(settings)
    with console.loading("Starting Dagster"):
        from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415 - `--help` can do without

        files = kind.files(settings)
        job = build_definitions(settings).resolve_job_def(files.location.of(kind.job))
    failed = False
    runs.make_landing_zone(settings)
    with homes.dagster_instance() as instance:
        for source, info in found:
            with console.progress_bar(source.name, info.size, quiet=as_json) as bar, observed_by(bar):
                reasons = runs.run_for_file(job, instance, files, source, info)
            failed |= bool(reasons)
            if as_json:
                counts = bar.result.as_json() if bar.result else {}
                click.echo(json.dumps({"url": source.url, "succeeded": not reasons, "reasons": reasons, **counts}))
                continue
            if len(sources) > 1:
                console.out.print(f"\n{source.url}", style="bold", markup=False, highlight=False, soft_wrap=True)
            if bar.result:
                # A reason tells the problem below.
                report: Any = bar.result
                kind.show(replace(report, problem=None) if reasons else report)
            for reason in reasons:
                click.echo(f"Error: {reason}", err=True)
    if not as_json:
        console.out.print(f"Landing zone: {settings.landing_zone_url}", soft_wrap=True)
    sys.exit(1 if failed else 0)
