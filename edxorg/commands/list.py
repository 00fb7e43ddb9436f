"""`edxorg list`: what lies at the source, and what of it has not come in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edxorg.commands import console, homes, runs
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.stores import join_url, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import dagster as dg

    from edxorg.sensors.object_storage import FoundFile

KINDS = ("archive", "log", "email")
_EMAIL = "email-opt-in-"
"""The first part of the names of packages of e-mail preferences; else they are archives like others."""


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
    with homes.dagster_instance() as instance:
        for kind, url, found in _files(settings, instance):
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


def _files(settings: Settings, instance: dg.DagsterInstance) -> Iterator[tuple[str, str, FoundFile]]:
    """Yield each file with its kind and its URL."""
    from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs  # noqa: PLC0415 - loads Dagster
    from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415
    from edxorg.sensors.object_storage import files_at  # noqa: PLC0415

    access = runs.access_to_sources(build_definitions(settings))
    archives, logs = raw_data_archives(settings), raw_tracking_logs(settings)
    sources = (
        (archives, "retrieve_edxorg_raw_data", settings.archive_url, settings.tracking_log_name),
        (
            logs,
            "refresh_edxorg_tracking_logs",
            settings.tracking_log_url or settings.archive_url,
            settings.archive_name,
        ),
    )
    for files, job, url, other_names in sources:
        store = open_store(url, access(url))
        for found in files_at(instance, files, files.location.of(job), store, other_names):
            kind = "log" if files is logs else "email" if found.name.startswith(_EMAIL) else "archive"
            yield kind, join_url(store.url, found.stored.key), found
