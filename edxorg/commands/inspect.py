"""`edxorg inspect` counts the contents of a file, and what would be set aside."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Never

import click

from edxorg.commands import console, course_xml, runs
from edxorg.commands.formats import ARCHIVES, LOGS, other_format
from edxorg.commands.ingest import json_option, verbose_option
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.private_keys import private_keys
from edxorg.lib.progress import Progress
from edxorg.lib.tracking_log import LogResult, normalize_log
from edxorg.lib.workers import WorkerPool
from ol_orchestrate.lib.archive_files import ENCRYPTED, in_clear
from ol_orchestrate.lib.openpgp import LazyKeyRing

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings
    from edxorg.lib.tracking_log import LogReport
    from ol_orchestrate.lib.stores import VerifiedReader


@click.command()
@click.argument("url", metavar="URL")
@verbose_option
@json_option
def command(url: str, *, verbose: bool, as_json: bool) -> None:
    """Count the contents of an archive of course exports, a tracking log, or the export of one course. Writes nothing.

    URL is gs://, s3://, file://, or a path of this machine. A file named ….log.gz is read as a tracking log; an archive
    that holds XML files is the export of one course.
    """
    settings = runs.settings_for(None)
    if Path(url.removeprefix("file://")).is_dir():
        raise click.UsageError(f"{url!r} is a folder: name a file in it")
    (source,) = runs.source_urls((url,))
    name = source.name.removesuffix(ENCRYPTED)
    is_log = bool(settings.tracking_log_name.date_in(source.name)) or name.endswith(".log.gz")
    reader = runs.open_source(source, settings)
    with LazyKeyRing(partial(private_keys, settings)) as ring:
        other = other_format(reader, ring.decryptor, is_log=is_log)
    if other:
        reads = f"{ARCHIVES}, {LOGS} and exports of courses (.xml.tar.gz)"
        raise click.UsageError(f"{source.url}: {other}. Name one of the formats that are read: {reads}")
    if is_log:
        _inspect_log(source, reader, settings, verbose=verbose, as_json=as_json)
    elif course_xml.is_export(source, settings):
        course_xml.inspect(reader, settings, as_json=as_json)
    else:
        _inspect_archive(source, reader, settings, verbose=verbose, as_json=as_json)


def _inspect_archive(
    source: runs.SourceUrl, reader: VerifiedReader, settings: Settings, *, verbose: bool, as_json: bool
) -> Never:
    options = IngestOptions(landing_zone=None, escapes=settings.escapes, row_hash=settings.row_hash)
    with console.progress_bar(source.name, reader.info.size, quiet=as_json) as bar, PendingRecords() as none:
        ingested = ingest_archive(
            reader,
            options,
            NothingRecorded(),
            none,
            keys=partial(private_keys, settings),
            progress=bar.progress,
            workers=settings.workers,
        )
    if as_json:
        click.echo(json.dumps({"url": source.url, **ingested.report.as_json()}))
    else:
        console.show_report(ingested.report, verbose=verbose)
    sys.exit(1 if ingested.problem or ingested.report.failed else 0)


def _inspect_log(
    source: runs.SourceUrl, reader: VerifiedReader, settings: Settings, *, verbose: bool, as_json: bool
) -> Never:
    with (
        console.progress_bar(source.name, reader.info.size, quiet=as_json) as bar,
        WorkerPool(object, workers=settings.workers) as pool,
        LazyKeyRing(partial(private_keys, settings)) as ring,
    ):

        def progress(report: LogReport) -> None:
            bar.progress(Progress(report.bytes_in, reader.info.size, report.lines_in, report.lines_out))

        blocks = in_clear(reader, source.name, ring.decryptor)
        log = normalize_log(blocks, name=source.url, pool=pool, progress=progress)
        with closing(log):
            reader.drain()
    result = LogResult(log.report, problem=str(log.problem) if log.problem else None)
    if as_json:
        click.echo(json.dumps({"url": source.url, **result.as_json()}))
    else:
        console.show_log(result, verbose=verbose)
    sys.exit(1 if log.problem else 0)
