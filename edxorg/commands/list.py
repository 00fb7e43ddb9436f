"""`edxorg list`: what lies at the source, and what of it has not come in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from edxorg.commands import console, homes, runs
from edxorg.lib.job_names import ARCHIVE_JOB, LOG_JOB
from edxorg.lib.settings import Settings
from edxorg.lib.settings.file_names import FileNames, is_in_folder_of_request, is_of_preferences
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.stores import join_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    import dagster as dg

    from edxorg.sensors.object_storage import FoundFile
    from edxorg.source_files import SourceFiles
    from ol_orchestrate.lib.stores import StoredObject

KINDS = ("archive", "log", "email")


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS), metavar="[archive|log|email]...")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only files of this day and later ones.")
@click.option("--missing", is_flag=True, help="Only files that have not come in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
def command(kinds: tuple[str, ...], since: datetime | None, *, missing: bool, as_json: bool) -> None:
    """Show the files at the source, and what has become of them.

    Looks into EDXORG_ARCHIVE_URL and EDXORG_TRACKING_LOG_URL, and into the runs of DAGSTER_HOME. Starts nothing.
    """
    settings = Settings()
    if not settings.archive_url:
        raise SettingsError("there is no source to look into: set EDXORG_ARCHIVE_URL")
    listed = []
    with homes.instance_to_read() as instance:
        for kind, url, found in files_at_source(settings, instance, kinds or KINDS, objects_in):
            if kind not in (kinds or KINDS) or (since and found.day < since.date()):
                continue
            if missing and found.need.is_in:
                continue
            if as_json:
                about = {"kind": kind, "name": found.name, "url": url, "date": found.day.isoformat()}
                click.echo(json.dumps({**about, "size": found.stored.size, "state": found.need.value}))
            else:
                listed.append((kind, found))
    if not as_json:
        _show(listed)


def _show(listed: list[tuple[str, FoundFile]]) -> None:
    """Print a line for each file, and what the states mean. No name is cut: on a narrow screen it has its own line."""
    if not listed:
        click.echo("There are no such files")
        return
    states = {found.need: found.need.name.lower().replace("_", " ") for _, found in listed}
    widths = (
        max(map(len, KINDS)),
        max(len(f"{found.stored.size:,}") for _, found in listed),
        max(map(len, states.values())),
    )
    width = console.out.width if console.out.is_terminal else None
    for kind, found in listed:
        start = f"{kind:{widths[0]}} {found.day} {found.stored.size:{widths[1]},} {states[found.need]:{widths[2]}} "
        is_narrow = width is not None and len(start) + len(found.name) > width
        click.echo(f"{start.rstrip()}\n    {found.name}" if is_narrow else f"{start}{found.name}")
    for need, state in states.items():
        if state != need.value:
            click.echo(f"{state}: {need.value}")


def objects_in(place: str, settings: Settings) -> Iterator[StoredObject]:
    """Yield the objects in a folder of the source and below."""
    return open_store(place, runs.access(place, settings)).list()


def files_at_source(
    settings: Settings,
    instance: dg.DagsterInstance,
    kinds: Sequence[str],
    objects_in: Callable[[str, Settings], Iterable[StoredObject]],
) -> Iterator[tuple[str, str, FoundFile]]:
    """Yield each file with its kind and its URL; look only where files of those kinds are, and yield others there."""
    from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs  # noqa: PLC0415 - loads Dagster
    from edxorg.sensors.object_storage import files_at  # noqa: PLC0415

    archives, logs = raw_data_archives(settings), raw_tracking_logs(settings)
    requested = replace(archives, names=FileNames(()))
    archive_names, log_names = settings.archive_name, settings.tracking_log_name
    sources: list[tuple[SourceFiles, str, str, FileNames, Callable[[str], bool]]] = []
    if {"archive", "email"} & set(kinds):
        sources.append((archives, ARCHIVE_JOB, settings.archive_url, log_names, is_in_folder_of_request))
    if "log" in kinds:
        sources.append((logs, LOG_JOB, settings.logs_url, archive_names, lambda _: False))
    if settings.tracking_log_url and "archive" in kinds:  # where edX puts packages of one request, too
        sources.append((requested, ARCHIVE_JOB, settings.logs_url, archive_names, is_in_folder_of_request))
    seen = set()
    for files, job, place, other_names, undated in sources:
        objects = objects_in(place, settings)
        for found in files_at(instance, files, files.location.of(job), place, objects, other_names, undated=undated):
            kind = "log" if files is logs else "email" if is_of_preferences(found.name) else "archive"
            url = join_url(place, found.stored.key)
            if url not in seen:
                seen.add(url)
                yield kind, url, found
