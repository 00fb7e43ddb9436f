"""Kills the archive job at random moments, runs it again, and compares with an undisturbed run.

`python -m edxorg_tests.support.kill_safety --points 200`. Every run is a fork of a process that has loaded everything,
so that the moments fall into the run itself and not into seconds of imports.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import dagster as dg

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import RUN_MARKS
from edxorg.lib.settings import Settings
from edxorg_tests.support import archives
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.location import QUIET, ArchiveLocation
from ol_orchestrate.partitions.edxorg import course_and_source_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

COURSES = 12
WEEKS = ("mitx-2024-01-03.tar.gz", "mitx-2024-01-10.tar.gz", "mitx-2024-01-17.tar.gz")
"""The second brings other versions of half of the members, the third brings the first ones back."""

SECONDS_TO_END = 10
"""How long the workers of a killed run may take to notice that it is gone."""


def landed(lake: Path) -> dict[str, bytes]:
    """Object keys and contents. Marks of runs are none: Dagster takes a killed run for one that is still at work."""
    return {key: content for key, content in archives.landed(lake).items() if not key.startswith(f"{RUN_MARKS}/")}


def times(lake: Path) -> dict[str, int]:
    """When each of these objects was last written, in nanoseconds."""
    return {key: when for key, when in archives.times(lake).items() if not key.startswith(f"{RUN_MARKS}/")}


class State(NamedTuple):
    """What must not depend on whether a run was killed."""

    objects: dict[str, bytes]
    recorded: dict[tuple[str, str], str]
    newest: dict[tuple[str, str], str]
    """Which version of each place is the newest by the store's clock: some readers choose by that."""
    partitions: list[str]


@dataclass
class Killed:
    """What came of killing."""

    points: int = 0
    in_the_middle: int = 0
    """How many kills left some of the run's objects, and not all of them."""
    written_before: int = 0
    """Objects that the killed runs had written, all in all."""
    written_again: int = 0
    left_over: int = 0
    wrong: list[str] = field(default_factory=list)


class Trial:
    """A folder with archives, a lake and an instance, in which runs are made, killed, and taken back."""

    def __init__(self, folder: Path) -> None:
        """Nothing has run yet."""
        self.root = folder / "trial"
        self.lake = self.root / "lake"
        self.temporary = self.root / "tmp"
        self._saved = folder / "saved"
        self._settings = Settings(archive_url=f"file://{self.root}/archives", landing_zone_url=f"file://{self.lake}")
        home = self.root / "home"
        for each in (home, self.temporary, self.lake):
            each.mkdir(parents=True)
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        for week, name in enumerate(WEEKS):
            write_archive(self.root / "archives" / name, members(week))
        self._job = build_definitions(self._settings).resolve_job_def("retrieve_edxorg_raw_data")
        # Dagster makes its tables at the first use of a home, and cannot use half of them: a matter of its own.
        assert awaited(forked(self._make_tables, self.temporary)) == 0

    def start(self, week: int) -> int:
        """Start the job for the archive of a week, and give the number of its process."""
        return forked(lambda: self._run(week), self.temporary)

    def run(self, week: int) -> State:
        """Run the job for the archive of a week to its end."""
        process = self.start(week)
        assert awaited(process) == 0, f"the run {process} failed"
        state: State = pickle.loads((self.root / "state").read_bytes())  # noqa: S301 - our own
        return state

    def _make_tables(self) -> None:
        with dg.DagsterInstance.from_config(str(self.root / "home")) as instance:
            instance.get_dynamic_partitions(course_and_source_partitions.name or "")

    def _run(self, week: int) -> None:
        with dg.DagsterInstance.from_config(str(self.root / "home")) as instance:
            instance.add_dynamic_partitions("edxorg_archive", [WEEKS[week]])
            result = self._job.execute_in_process(instance=instance, partition_key=WEEKS[week], run_config=QUIET)
            assert result.success
            recorded = ArchiveLocation(self.root, instance).everything_recorded()
            partitions = sorted(instance.get_dynamic_partitions(course_and_source_partitions.name or ""))
        written = times(self.lake)
        by_folder = {
            key.rpartition("/")[0]: Path(key).name.partition(".")[0] for key in sorted(written, key=written.__getitem__)
        }
        newest = {}
        for asset, partition in recorded:
            course, _, site = partition.rpartition("|")
            newest[asset, partition] = by_folder[f"{asset}/{site}/{course}"]
        state = State(landed(self.lake), recorded, newest, partitions)
        (self.root / "state").write_bytes(pickle.dumps(state))

    def save(self, name: str) -> None:
        """Keep everything as it is now."""
        shutil.copytree(self.root, self._saved / name)

    def restore(self, name: str) -> None:
        """Take everything back to what was saved."""
        shutil.rmtree(self.root)
        shutil.copytree(self._saved / name, self.root)

    def unfinished(self) -> list[Path]:
        """Objects that were being written."""
        folder = self.lake / ".unfinished"
        return list(folder.iterdir()) if folder.exists() else []


def kill_and_repeat(folder: Path, points: int, seed: int, say: Callable[[object], None] = lambda _: None) -> Killed:
    """Kill runs at random moments, and count what is not as it should be.

    Every other kill hits the whole group of processes, as when a container ends; the others only the run itself, so
    that the next run meets workers that still live.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    trial = Trial(folder)
    states, seconds, new = [], [], []
    for week in range(len(WEEKS)):
        trial.save(f"before {week}")
        before, start = times(trial.lake), time.monotonic()
        states.append(trial.run(week))
        seconds.append(time.monotonic() - start)
        new.append([key for key, when in times(trial.lake).items() if before.get(key) != when])
        assert states[week].recorded == states[week].newest
    result = Killed()
    for point in range(points):
        week, everything = point % len(WEEKS), point % 2 == 0
        trial.restore(f"before {week}")
        before = times(trial.lake)
        process = trial.start(week)
        moment = _wait(trial, chance, before, len(new[week]), seconds[week])
        (os.killpg if everything else os.kill)(process, signal.SIGKILL)
        awaited(process)
        if everything:
            for left in trial.unfinished():
                os.utime(left, (0, 0))  # younger ones are spared, since their writer may not have locked them yet
        written = {key: when for key, when in times(trial.lake).items() if before.get(key) != when}
        state = trial.run(week)
        _compare(result, f"week {week}, killed {moment}, all={everything}", state, states[week])
        result.points += 1
        result.in_the_middle += 0 < len(written) < len(new[week])
        result.written_before += len(written)
        again = times(trial.lake)
        result.written_again += sum(again[key] != when for key, when in written.items())
        result.left_over += sum(1 for _ in trial.temporary.iterdir()) + (len(trial.unfinished()) if everything else 0)
        _await_end_of(process)
        say(result)
    return result


def _wait(trial: Trial, chance: random.Random, before: dict[str, int], objects: int, seconds: float) -> str:
    """Wait for the moment to kill: while a run starts, after a number of its objects, or while it records."""
    part = chance.random()
    if part < 1 / 4:
        time.sleep(pause := chance.uniform(0, seconds / 2))
        return f"{pause:.3f} s after its start"
    wanted = chance.randint(1, objects) if part < 3 / 4 else objects
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        written = {key for key, when in times(trial.lake).items() if before.get(key) != when}
        if len(written) >= wanted:
            break
        time.sleep(0.002)
    time.sleep(pause := chance.uniform(0, 0.05 if wanted < objects else seconds / 2))
    return f"{pause:.3f} s after {wanted} of {objects} objects"


def _compare(result: Killed, what: str, state: State, undisturbed: State) -> None:
    names = [name for name in State._fields if getattr(state, name) != getattr(undisturbed, name)]
    if names:
        result.wrong.append(f"{what}: other {', '.join(names)}")


def members(week: int) -> dict[str, bytes]:
    """What is in the archive of a week."""
    content = {}
    for number in range(COURSES):
        course = f"MITx-{number}x-2020"
        changed = b"3\tBarbara\n" if week == 1 and number % 2 else b""
        content[table_name(course=course)] = TABLE + changed
        content[table_name("teams", course=course, site="edge")] = TABLE + b"too\tmany\tfields\n" + TABLE * 20 + changed
        content[f"{course}-course_structure-prod-analytics.json"] = b'{"changed": %d}' % bool(changed)
    # More than a worker is sent in one piece.
    content[table_name("large")] = TABLE + b"3\t%d\n" % (week == 1) + b"4\tJoan\n" * 300_000
    return content


def forked(work: Callable[[], None], temporary: Path) -> int:
    """Do something in a process that leads a group of its own, and give its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may go on here as if it were the parent
        traceback.print_exc()
    finally:
        os._exit(status)


def awaited(process: int) -> int:
    """Wait for a process, and give its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _await_end_of(group: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"workers of the killed run {group} are still there")


@click.command()
@click.option("--points", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(points: int, seed: int) -> None:
    """Kill archive runs at random moments, and exit with 1 if anything is not as after an undisturbed run."""
    with tempfile.TemporaryDirectory() as folder:
        result = kill_and_repeat(Path(folder), points, seed, click.echo)
    if result.wrong or result.written_again or result.left_over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
