"""The command: kills jobs; ends with a table, a line of totals, and exit code 1 if anything is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edxorg_tests.crash.engine import JobTrial, Tally
from edxorg_tests.crash.places import FolderPlace, S3Place, serving
from edxorg_tests.crash.trial import prepare
from edxorg_tests.crash.tried_jobs import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/dev/shm")  # noqa: S108 - the runs wait for a disk again and again

PLACES = (FolderPlace.name, S3Place.name)

COLUMNS = (
    *("job", "place", "kills", "in the middle", "of a worker", "of a repair", "equal", "objects written", "again"),
)

SECONDS_BETWEEN_LINES = 10


@click.command()
@click.option("--kills", default=200, show_default=True, help="How many runs to kill at least, over all jobs.")
@click.option("--seed", default=0, show_default=True, help="Chooses what is killed, and when.")
@click.option("--job", "jobs", multiple=True, type=click.Choice(list(JOBS)), help="Only these jobs.")
@click.option("--place", "places", multiple=True, type=click.Choice(PLACES), help="Only these places.")
@click.option("--first", default=0, show_default=True, help="The number of the first kill of each job and place.")
def main(kills: int, seed: int, jobs: tuple[str, ...], places: tuple[str, ...], first: int) -> None:
    """Kill runs in the middle, run them again, and compare with undisturbed runs."""
    prepare()
    progress = Progress(kills)
    tried = [(job, place) for job in jobs or JOBS for place in places or PLACES]
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as name:
        folder = Path(name)
        (folder / "counts").mkdir()
        with serving(folder / "servers", folder / "counts") as servers:
            for index, (job, place) in enumerate(tried):
                done = sum(tally.kills for tally in tallies)
                share = -(-(kills - done) // (len(tried) - index))
                trial = JobTrial(folder / str(index), job, place, servers)
                tallies.append(trial.tally)
                number = first
                while trial.tally.kills < share:
                    for problem in trial.kill(number, seed):
                        click.echo(f"WRONG: {problem}", err=True)
                    number += 1
                    progress.show(tallies)
                shutil.rmtree(folder / str(index))
    click.echo("\n".join(_table(tallies)))
    click.echo(f"seed {seed}, {time.monotonic() - progress.began:.0f} s: {_total(tallies)}")
    if any(tally.equal < tally.kills or tally.written_again for tally in tallies):
        sys.exit(1)


class Progress:
    """Tells how far the command is, now and then."""

    def __init__(self, kills: int) -> None:
        self.began = self._shown = time.monotonic()
        self._kills = kills

    def show(self, tallies: list[Tally]) -> None:
        now, done = time.monotonic(), sum(tally.kills for tally in tallies)
        if now - self._shown > SECONDS_BETWEEN_LINES:
            self._shown = now
            passed = now - self.began
            left = passed / done * max(0, self._kills - done)
            last = tallies[-1]
            click.echo(
                f"{done} of {self._kills} kills, now of {last.job} ({last.place}); {passed:.0f} s, "
                f"about {left:.0f} s left",
                err=True,
            )


def _table(tallies: list[Tally]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"| --- | --- |{' ---: |' * (len(COLUMNS) - 2)}"
    for tally in tallies:
        yield f"| {tally.job} | {tally.place} | {' | '.join(map(str, tally.figures()))} |"


def _total(tallies: list[Tally]) -> str:
    sums = [sum(of_column) for of_column in zip(*(tally.figures() for tally in tallies), strict=True)]
    return ", ".join(f"{name}: {figure:,}" for name, figure in zip(COLUMNS[2:], sums, strict=True))


if __name__ == "__main__":
    main()
