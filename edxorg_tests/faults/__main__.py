"""Puts faults between jobs and their servers, and exits with 1 if one of them is lost in silence."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edxorg.lib.processors import available_processors
from edxorg_tests.faults.patience import shorten_all
from edxorg_tests.faults.rounds import CHANGES, Outcome, Round, Undisturbed, play, rounds_of, undisturbed
from edxorg_tests.faults.servers import Servers, running
from edxorg_tests.faults.trials import TRIALS, encrypt_once, make_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import ForkProcess

BOUND = 120
"""Seconds that a round may take, with the run after it: more is taken for a run that hangs."""

_FORK = multiprocessing.get_context("fork")
"""Each round is a process of its own, which shares what is loaded; it can be ended, whatever it hangs at."""


@dataclass(frozen=True)
class _Task:
    name: object
    process: ForkProcess
    started: float


def in_processes(tasks: Iterable[tuple[Any, Callable[[], Any]]]) -> Iterator[tuple[Any, Any]]:
    """Call functions in processes, as many at a time as there are processors; yield names and results as they come.

    The result is an exception where there is none.
    """
    waiting = iter(tasks)
    running: dict[Connection, _Task] = {}
    while True:
        while len(running) < available_processors() and (task := next(waiting, None)) is not None:
            ours, theirs = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_send_result, args=(theirs, task[1]), daemon=True)
            process.start()
            theirs.close()
            running[ours] = _Task(task[0], process, time.monotonic())
        if not running:
            return
        ready = wait(list(running), timeout=1)
        for connection, each in list(running.items()):
            if connection in ready:
                try:
                    result = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own child
                except EOFError:
                    result = RuntimeError("its process died")
            elif time.monotonic() - each.started > BOUND:
                result = TimeoutError(f"no end within {BOUND} s")
            else:
                continue
            each.process.kill()
            each.process.join()
            connection.close()
            del running[connection]
            yield each.name, result


def _send_result(connection: Connection, function: Callable[[], Any]) -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())  # sensors log there
    try:
        result = function()
    except BaseException:  # noqa: BLE001 - told by the parent
        result = RuntimeError(traceback.format_exc())
    connection.send_bytes(pickle.dumps(result))


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Yield the lines of the table: places by kinds of faults."""
    cells: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for each in outcomes:
        counts = ("came", "passed", "said", "healed")
        cells[each.round.place, each.round.kind].update(
            {"rounds": 1, **{name: bool(getattr(each, name)) for name in counts}, "breaks": bool(each.problems)}
        )
    yield f"{'place':30}{'fault':24}{'rounds':>7}{'came':>6}{'passed':>8}{'said':>6}{'healed':>8}{'breaks':>8}"
    for (place, kind), cell in sorted(cells.items()):
        yield (
            f"{place:30}{kind:24}{cell['rounds']:7}{cell['came']:6}{cell['passed']:8}{cell['said']:6}"
            f"{cell['healed']:8}{cell['breaks']:8}"
        )


@click.command()
@click.option("--faults", default=500, show_default=True, help="The number of faults.")
@click.option("--seed", default=0, show_default=True, help="Chooses jobs, faults and moments.")
@click.option("--only", default="", help="The number of a round, or a part of names: 'log, S3 / S3, source / 403'.")
def main(faults: int, seed: int, only: str) -> None:
    """Put faults between jobs and their servers."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name, running(Path(name)) as servers:
        folder = Path(name)
        encrypt_once(servers)
        shorten_all()
        outcomes = _outcomes(faults, seed, only, servers, folder, began)
    for line in table(outcomes):
        click.echo(line)
    broken = sum(bool(each.problems) for each in outcomes)
    click.echo(
        f"{len(outcomes)} faults, {sum(each.came for each in outcomes)} of them came: "
        f"{sum(each.passed for each in outcomes)} passed by another attempt, "
        f"{sum(each.said for each in outcomes)} failed and said so, "
        f"{sum(each.healed for each in outcomes)} healed by the next run, {broken} breaks; "
        f"{time.monotonic() - began:.0f} s, seed {seed}"
    )
    sys.exit(1 if broken or not outcomes else 0)


def _outcomes(faults: int, seed: int, only: str, servers: Servers, folder: Path, began: float) -> list[Outcome]:
    list(in_processes([("", partial(make_home, folder))]))
    results = _undisturbed([(name, 0) for name in TRIALS], servers, folder)
    possible = rounds_of({name: results[name, 0] for name in TRIALS}, faults, seed)
    rounds = [each for each in possible if only in str(each) or only == str(each.number)]
    results |= _undisturbed(dict.fromkeys((each.trial, 1) for each in rounds if each.kind in CHANGES), servers, folder)
    click.echo(f"{len(rounds)} rounds; undisturbed runs took {time.monotonic() - began:.0f} s")
    outcomes: list[Outcome] = []
    start = time.monotonic()

    def plays() -> Iterator[tuple[Round, Callable[[], Outcome]]]:
        for each in rounds:
            changed = results[each.trial, 1].state if each.kind in CHANGES else None
            yield each, partial(play, each, seed, results[each.trial, 0], changed, servers, folder)

    for what, outcome in in_processes(plays()):
        done = Outcome(what, problems=[str(outcome)]) if isinstance(outcome, Exception) else outcome
        outcomes.append(done)
        for problem in done.problems:
            click.echo(f"BREAK, round {what.number} of seed {seed}, {what}, {done.fault}: {problem}")
        if len(outcomes) % 25 == 0:
            left = (time.monotonic() - start) / len(outcomes) * (len(rounds) - len(outcomes))
            click.echo(f"{len(outcomes)} of {len(rounds)}, about {left:.0f} s left")
    return outcomes


def _undisturbed(
    versions: Iterable[tuple[str, int]], servers: Servers, folder: Path
) -> dict[tuple[str, int], Undisturbed]:
    """Run jobs over versions of their sources."""
    results = dict(in_processes((each, partial(undisturbed, *each, servers, folder)) for each in versions))
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    return results


if __name__ == "__main__":
    main()
