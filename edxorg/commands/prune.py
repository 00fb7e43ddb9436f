"""`edxorg prune`: superseded versions go, current ones stay."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from edxorg.commands import console, runs
from edxorg.lib.lake.pruning import find_superseded, remove
from ol_orchestrate.lib.shortening import counted


class _Days(click.ParamType[timedelta]):
    name = "days"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read `90d`."""
        if days := re.fullmatch(r"([0-9]{1,5})d", str(value)):
            return timedelta(days=int(days[1]))
        return self.fail(f"{value!r} is no number of days such as 90d", param, ctx)


@click.command()
@click.option("--keep", type=_Days(), required=True, metavar="90d", help="Keep versions that are younger.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--landing-zone", metavar="URL", help="Where: s3://bucket/prefix, gs://bucket/prefix or a folder.")
def command(*, keep: timedelta, dry_run: bool, landing_zone: str | None) -> None:
    """Delete superseded versions.

    Of each course's table, and of each other output, only versions go that another one has replaced and that were
    written before --keep. The current version stays, whatever its age; so do tracking logs, rejects and reports.
    """
    settings = runs.settings_for(landing_zone)
    store = runs.open_landing_zone(settings.landing_zone_url, settings)
    found = find_superseded(store, datetime.now(UTC) - keep)
    if found.total.objects:
        by_output = sorted(found.by_output.items())
        rows = [(output, [f"{each.objects:,}", f"{each.bytes / 1e6:,.1f}"]) for output, each in by_output]
        console.show_numbers(["objects", "MB"], rows)
    total = found.total
    if not dry_run:
        total.objects = total.bytes = 0
        with console.counting("Superseded versions", found.total.objects) as started:
            for each in remove(store, found):
                started(each.key)
                total.add(each)
    done = "would be deleted" if dry_run else "deleted"
    click.echo(f"{counted(total.objects, 'superseded version')} {done}, {total.bytes / 1e6:,.1f} MB: {store.url}")
