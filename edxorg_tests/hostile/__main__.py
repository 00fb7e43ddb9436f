"""`uv run python -m edxorg_tests.hostile --inputs 1000`; see the package."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from edxorg_tests.hostile.attacks import KIND, attacks
from edxorg_tests.hostile.cases import GOOD_LOG, GOOD_STRUCTURE, LOG, Case, Road, archive_of, export_of
from edxorg_tests.hostile.generated import ADA, generated
from edxorg_tests.hostile.trial import MOST_BYTES, MOST_SECONDS, TOKEN, Found, Trial
from ol_orchestrate.testing.openpgp_keys import new_gnupg

if TYPE_CHECKING:
    from ol_orchestrate.testing.openpgp_keys import GnuPG

HEALTHY = [
    Case("healthy", "an archive", archive_of()),
    Case("healthy", "a log", GOOD_LOG[1], Road.LOG, LOG),
    Case("healthy", "a structure", GOOD_STRUCTURE, Road.STRUCTURE, "s.json"),
    Case("healthy", "an export", export_of(), Road.COURSE_XML, "x.xml.tar.gz"),
]


def run(inputs: int, seed: int, gnupg: GnuPG, *, known: bool) -> dict[str, Found]:
    """Bring in so many generated inputs, and the known attacks if asked for; return what came of them by kind."""
    found: dict[str, Found] = {}
    with Trial(gnupg.private_key(ADA)) as trial:
        for case in HEALTHY:
            trial.learn_healthy(case)
        for kind, cases in [*generated(inputs, seed, gnupg), *([(KIND, attacks(gnupg, TOKEN))] if known else [])]:
            trial.run(cases, found.setdefault(kind, Found()))
    return found


@click.command(help=__doc__)
@click.option("--inputs", type=int, default=1000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--attacks/--no-attacks", "known", default=True, show_default=True, help="Try the known attacks, too.")
def main(inputs: int, seed: int, *, known: bool) -> None:
    """Try hostile input, and print a table of what came of it."""
    started = time.monotonic()
    with new_gnupg() as gnupg:
        found = run(inputs, seed, gnupg, known=known)
    columns = ("inputs", "errors", "set aside", "sound after all", "slowest s", "peak MB", "faults")
    table = Table("", *(Column(heading, justify="right") for heading in columns), box=SIMPLE_HEAD)
    for kind, of_kind in found.items():
        figures = (of_kind.inputs, of_kind.refused, of_kind.set_aside, of_kind.sound)
        more = (f"{of_kind.slowest:.1f}", f"{of_kind.peak >> 20}", f"{len(of_kind.faults)}")
        table.add_row(kind, *map(str, figures), *more)
    Console().print(table)
    faults = [fault for of_kind in found.values() for fault in of_kind.faults]
    for fault in faults:
        click.echo(fault)
    total = sum(of_kind.inputs for of_kind in found.values())
    seconds, most = time.monotonic() - started, f"{MOST_SECONDS:.0f} s and {MOST_BYTES >> 20} MB"
    click.echo(
        f"{total:,} inputs, {inputs:,} of them generated (seed {seed}): {len(faults)} faults, in {seconds:.0f} s"
    )
    click.echo(f"Each had at most {most}.")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
