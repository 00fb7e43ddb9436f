"""Kills runs in the middle, runs them again, and counts what is not as after undisturbed runs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edxorg_tests.crash.places import FolderPlace, S3Place
from edxorg_tests.crash.switch import Moment, Plan, Scope, Switch
from edxorg_tests.crash.trial import FAILED, Run, State, Trial, ended, is_gone
from edxorg_tests.crash.tried_jobs import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg_tests.crash.places import Servers, Stored

WITH_WORKERS = {"archive", "package", "log"}

MOMENTS = (Moment.OBJECT,) * 5 + (Moment.RECORD,) * 2 + (Moment.BYTES,) * 2 + (Moment.STEP,)

MOMENTS_OF_WORKERS = (Moment.OBJECT, Moment.BYTES, Moment.TASK)
"""Where workers write objects; a log's only have tasks."""

DIED = -9

DRAWS = 5
"""How often another moment is drawn, if a run is over before: which process counts what differs from run to run."""


@dataclass
class Tally:
    """What came of the kills of a job in one kind of place."""

    job: str
    place: str
    kills: int = 0
    in_the_middle: int = 0
    """How many left some of the run's objects, files and records, and not all of them."""
    of_workers: int = 0
    of_repairs: int = 0
    """How many hit a run that repeated a killed one."""
    equal: int = 0
    written_before: int = 0
    """Objects that killed runs had written whole, with their metadata."""
    written_again: int = 0
    """Of these, those that a later run wrote again, and all others that an undisturbed run leaves alone."""

    def figures(self) -> tuple[int, ...]:
        of_kills = (self.kills, self.in_the_middle, self.of_workers, self.of_repairs, self.equal)
        return (*of_kills, self.written_before, self.written_again)


class Undisturbed(NamedTuple):
    """A run that was not killed: its number among the job's runs, what it wrote, what it left, what it counted."""

    number: int
    run: Run
    before: Mapping[str, Stored]
    before_state: State
    written: frozenset[str]
    state: State
    counts: Mapping[Moment, int]


class JobTrial:
    """A job in one kind of place."""

    def __init__(self, folder: Path, job: str, place: str, servers: Servers) -> None:
        folder.mkdir()
        self.tally = Tally(job, place)
        self._trial = Trial(folder, FolderPlace(folder) if place == FolderPlace.name else S3Place(servers.port))
        runs = JOBS[job](self._trial, servers)
        self._count = sum(not run.is_given for run in runs)
        self._ahead = self._undisturbed(runs)
        self._runs: list[Undisturbed] = []

    def _undisturbed(self, runs: list[Run]) -> Iterator[Undisturbed]:
        """Make all runs, one after the other, each only when it is needed."""
        trial = self._trial
        for number, run in enumerate(runs):
            if number:
                trial.restore(f"after-{number - 1}")
            run.begin()
            trial.save(f"before-{number}")
            before = trial.objects()
            before_state = trial.state(before)
            status = ended(trial.start(run))
            assert status == 0, f"{self.tally.job}: an undisturbed run ended with {status}: {trial.said}"
            objects = trial.objects()
            trial.save(f"after-{number}")
            written = frozenset(key for key, each in objects.items() if before.get(key) != each)
            state = trial.state(objects)
            assert None not in state.newest.values(), state.newest
            if not run.is_given:
                counts = Switch.read(trial.counts)
                yield Undisturbed(number, run, before, before_state, written, state, counts)

    def kill(self, number: int, seed: int) -> list[str]:
        """Kill a run, and perhaps its repetition, run it again, and return what is wrong; the numbers choose all."""
        chance = random.Random(f"{seed} {self.tally.job} {self.tally.place} {number}")  # noqa: S311 - no secret
        undisturbed = self._run((number + seed) % self._count)
        kills = self.tally.kills
        for _ in range(DRAWS):
            plan = self._draw(chance, undisturbed)
            self._trial.restore(f"before-{undisturbed.number}")
            process = self._trial.start(undisturbed.run, plan)
            status = ended(process)
            if Switch.fired(self._trial.counts) is not None:
                break
        else:
            raise AssertionError(f"{self.tally.job}: no moment of {undisturbed.counts} is reached")
        problems = list(self._after(chance, undisturbed, plan, process, status))
        if not problems:
            self.tally.equal += self.tally.kills - kills
        what = f"{self.tally.job}, {self.tally.place}, --first {number} --seed {seed}, run {undisturbed.number}, {plan}"
        return [f"{what}: {problem}" for problem in problems]

    def _run(self, number: int) -> Undisturbed:
        while len(self._runs) <= number:
            self._runs.append(next(self._ahead))
        return self._runs[number]

    def _draw(self, chance: random.Random, undisturbed: Undisturbed) -> Plan:
        counts = undisturbed.counts
        scopes = [Scope.EVERYTHING, Scope.EVERYTHING, Scope.RUN]
        if self.tally.job in WITH_WORKERS:
            scopes.append(Scope.WORKER)
        scope = chance.choice(scopes)
        moments: tuple[Moment, ...] = MOMENTS
        if scope is Scope.WORKER:
            moments = (Moment.TASK,) if self.tally.job == "log" else MOMENTS_OF_WORKERS
        elif not undisturbed.state.recorded:
            moments = tuple(each for each in MOMENTS if each is not Moment.RECORD)  # all of these come after its work
        moment = chance.choice([each for each in moments if counts[each]])
        first = 2 if moment in {Moment.OBJECT, Moment.BYTES} and counts[moment] > 1 else 1
        return Plan(moment, chance.randint(first, counts[moment]), scope)

    def _after(
        self, chance: random.Random, undisturbed: Undisturbed, plan: Plan, process: int, status: int | None
    ) -> Iterator[str]:
        """Repeat a killed run, and yield what is wrong."""
        trial, tally = self._trial, self.tally
        tally.of_workers += plan.scope is Scope.WORKER
        written = self._look(undisturbed, plan)
        yield from self._of_end(undisturbed, plan, status)
        processes = [process]
        is_known_dead = chance.random() < 1 / 2
        if chance.random() < 1 / 4:
            moments = undisturbed.counts[Moment.ANY] // 2 + 1
            again = Plan(Moment.ANY, chance.randint(1, moments), Scope.EVERYTHING)
            processes.append(trial.start(undisturbed.run, again, is_known_dead=is_known_dead))
            ended(processes[-1])
            if Switch.fired(trial.counts) is not None:
                tally.of_repairs += 1
                written |= self._look(undisturbed, again)
        processes.append(trial.start(undisturbed.run, is_known_dead=is_known_dead))
        if (status := ended(processes[-1])) != 0:
            yield f"the run after it ended with {status}: {trial.said[-2000:]}"
        objects = trial.objects()
        again_written = {key for key, each in written.items() if objects.get(key) != each}
        changed = {key for key, each in objects.items() if undisturbed.before.get(key) != each}
        tally.written_before += len(written)
        tally.written_again += len(again_written | changed - undisturbed.written)
        yield from self._compare(undisturbed, objects)
        if is_known_dead and (marks := trial.marks()):
            yield f"marks of runs that are over are left: {marks}"
        yield from self._left_over(processes)

    def _of_end(self, undisturbed: Undisturbed, plan: Plan, status: int | None) -> Iterator[str]:
        """Yield what is wrong with the end of a run that was killed, or lost a worker."""
        said = self._trial.said[-2000:]
        if plan.scope is not Scope.WORKER:
            if status != DIED:
                yield f"the run ended with {status}: {said}"
        elif status == 0:
            yield from self._compare(undisturbed, self._trial.objects())
        elif status != FAILED:
            yield f"the run without its worker did not end by itself, but with {status}: {said}"
        elif "worker process ended" not in said:
            yield f"the run failed, and did not say that it lost a worker: {said}"

    def _left_over(self, processes: list[int]) -> Iterator[str]:
        if not all(is_gone(each) for each in processes):
            yield "workers of killed runs live on"
        if left := self._trial.left_over():
            yield f"left over: {left}"
        if left := self._trial.processes():
            yield f"processes live on: {left}"

    def _look(self, undisturbed: Undisturbed, plan: Plan) -> dict[str, Stored]:
        """Count a kill; return the objects that were written whole before it."""
        trial = self._trial
        self.tally.kills += 1
        objects = trial.objects()
        state = trial.state(objects)
        changed = {key: each for key, each in objects.items() if undisturbed.before.get(key) != each}
        if plan.scope is Scope.WORKER:
            # The run has gone on since; it was not at its end, as it had workers.
            self.tally.in_the_middle += bool(Switch.fired(trial.counts))
        else:
            has_begun = changed or trial.left_over() or undisturbed.before_state.differences(state)
            self.tally.in_the_middle += bool(has_begun and state.differences(undisturbed.state))
        trial.place.age()
        return {key: each for key, each in changed.items() if each.digest == undisturbed.state.objects.get(key)}

    def _compare(self, undisturbed: Undisturbed, objects: Mapping[str, Stored]) -> Iterator[str]:
        state = self._trial.state(objects)
        for name in state.differences(undisturbed.state):
            here, there = (_as_mapping(getattr(each, name)) for each in (state, undisturbed.state))
            others = [each for each in {**here, **there} if here.get(each, _ABSENT) != there.get(each, _ABSENT)]
            shown = [(each, here.get(each, _ABSENT), there.get(each, _ABSENT)) for each in others[:3]]
            yield f"{len(others)} other {name} than of an undisturbed run, such as {shown}"


_ABSENT = "absent"


def _as_mapping(value: Any) -> Mapping[Any, Any]:  # noqa: ANN401 - a field of `State`
    return value if isinstance(value, Mapping) else dict.fromkeys(value, "present")
