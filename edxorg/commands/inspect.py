"""`edxorg inspect`: what a file holds, and what would be set aside."""

from __future__ import annotations

import json
import sys

import click

from edxorg.commands import console, runs
from edxorg.commands.ingest import json_option
from edxorg.lib.archive.ingest import ingest_archive
from edxorg.lib.archive.worker import Orders
from ol_orchestrate.lib.errors import MissingObjectError
from ol_orchestrate.lib.stores import open_store


@click.command()
@click.argument("url", metavar="URL")
@json_option
def command(url: str, *, as_json: bool) -> None:
    """Say what an archive of course exports holds. Writes nothing.

    URL is gs://, s3://, file://, or a path of this machine.
    """
    settings = runs.settings_for(None)
    (source,) = runs.source_urls((url,), None)
    try:
        reader = open_store(source.folder).read(source.name)
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None
    orders = Orders(landing_zone=None, escapes=settings.escapes, row_hash=settings.row_hash)
    with console.progress_bar(source.name, quiet=as_json) as bar:
        ingested = ingest_archive(reader, orders, lambda _: {}, naming=settings.member_naming, progress=bar.progress)
    if as_json:
        click.echo(json.dumps({"url": source.url, **ingested.account.as_json()}))
    else:
        console.show_account(ingested.account)
    sys.exit(1 if ingested.problem or ingested.account.failed else 0)
