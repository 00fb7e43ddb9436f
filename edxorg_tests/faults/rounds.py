"""Rounds: one fault in one job, and the verdict about what came of it."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from edxorg_tests.faults.full_disk import FullDisk
from edxorg_tests.faults.kinds import KINDS
from edxorg_tests.faults.proxies import Fault, Protocol
from edxorg_tests.faults.trials import TRIALS, Ran, Reports, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edxorg_tests.faults.kinds import Kind
    from edxorg_tests.faults.proxies import Asked
    from edxorg_tests.faults.servers import Servers
    from edxorg_tests.faults.trials import Trial

DISK, TEMPORARY = "disk, landing zone", "disk, temporary files"
FULL = "no room"

LASTING = 0.25
"""How many of the faults go on until the run is over, if they can."""

WITHOUT_REASON = frozenset({"400", "expired token", "redirect"})
"""Kinds of faults that a HEAD cannot tell from a wrong region."""

_UNEXPECTED = re.compile(r"(?:[A-Za-z_]+\.)*[A-Z]\w*(?:Error|Exception|Warning): |Traceback")
"""How the text of an error begins that no one has foreseen."""


CHANGES = frozenset(kind.name for kind in KINDS if kind.changes)
"""Kinds of faults that need to know what comes of the second version of a source."""


class Round(NamedTuple):
    """A round that is to be played."""

    number: int
    trial: str
    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.trial} / {self.place} / {self.kind}"


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a job asks and leaves without faults."""

    asked: list[Asked]
    requested: list[str]
    state: State


@dataclass(slots=True)
class Outcome:
    """What came of a round.

    Attributes:
        fault: What was disturbed.
        came: True if the fault came.
        passed: True if the run succeeded all the same, with all that belongs there.
        said: True if it failed, and said where and why, or if it named all that is gone from its source.
        healed: True if the next run then brought all that belongs there.
        problems: What must not be.
    """

    round: Round
    fault: str = ""
    came: bool = False
    passed: bool = False
    said: bool = False
    healed: bool = False
    problems: list[str] = field(default_factory=list)


def undisturbed(name: str, version: int, servers: Servers, folder: Path) -> Undisturbed:
    """Run a job without faults, over a version of its source."""
    with _trial(name, servers, folder) as trial:
        if version:
            trial.bring(version)
        ran = trial.run()
        assert ran.succeeded, (name, ran)
        return Undisturbed(list(trial.proxies.asked), ran.requested, trial.state())


def rounds_of(results: Mapping[str, Undisturbed], count: int, seed: int) -> list[Round]:
    """Choose rounds: each fault that a job can meet has its turn before one comes again."""
    possible = [each for name, result in results.items() for each in _possible(name, result)]
    chosen: list[tuple[str, str, str]] = []
    chance = Random(seed)  # noqa: S311 - no secret
    while len(chosen) < count:
        chosen += chance.sample(possible, len(possible))
    return [Round(number, *each) for number, each in enumerate(chosen[:count])]


def _possible(name: str, result: Undisturbed) -> Iterator[tuple[str, str, str]]:
    trial = TRIALS[name]
    if trial.scheme == "file":
        yield name, DISK, FULL
        if trial.uses_temporary_files:
            yield name, TEMPORARY, FULL
        return
    places = dict.fromkeys(asked.place for asked in result.asked)
    for kind in KINDS:
        if kind.changes and not trial.changes:
            continue
        for place in places:
            if kind.changes and "source" not in place:
                continue
            if kind.refuses_tls and place != next(each for each in places if _protocol(each) is _protocol(place)):
                continue
            if any(_fits(kind, asked) for asked in result.asked if asked.place == place):
                yield name, place, kind.name


def _fits(kind: Kind, asked: Asked) -> bool:
    return kind.fits(_protocol(asked.place), asked.sort)


def _protocol(place: str) -> Protocol:
    return Protocol(place.partition(",")[0])


def play(what: Round, seed: int, result: Undisturbed, changed: State | None, servers: Servers, folder: Path) -> Outcome:
    """Play a round.

    Args:
        result: What the job leaves without the fault.
        changed: What it leaves of the second version of its source, if the fault puts that there.
    """
    chance = Random(f"{seed}/{what.number}")  # noqa: S311 - no secret
    with _trial(what.trial, servers, folder) as trial:
        outcome = Outcome(what)
        if what.kind == FULL:
            _play_without_room(trial, outcome, chance, result)
            return outcome
        kind = next(each for each in KINDS if each.name == what.kind)
        places = sum(_fits(kind, asked) for asked in result.asked if asked.place == what.place)
        number = 1 if kind.from_start else chance.randint(1, places)
        lasts = kind.from_start or (kind.can_last and chance.random() < LASTING)
        fault = Fault(kind, what.place, number, lasts)
        outcome.fault = f"request {number} of {places}{' and all later ones' if lasts else ''}"
        trial.proxies.fault = fault
        trial.proxies.asked.clear()
        ran = trial.run()
        trial.proxies.fault = None
        trial.proxies.release()
        disturbed = [asked for asked in trial.proxies.asked if asked.is_disturbed]
        connections = trial.before[_protocol(what.place)].untrusted.connections
        outcome.came = bool(disturbed) or connections > 0
        final = kind.is_final_at(_protocol(what.place))
        _judge_run(trial, outcome, ran, result, changed)
        if final:
            _judge_attempts(outcome, ran, disturbed, _askers(trial, what))
            if connections > len(result.asked):
                outcome.problems.append(f"{connections} connections to a server whose certificate is not trusted")
        elif outcome.came and not lasts and not ran.succeeded and _protocol(what.place) not in kind.either:
            outcome.problems.append(f"a fault that passes was not tried again: {ran.failures}")
        _heal(trial, outcome, result, changed)
    return outcome


def _play_without_room(trial: Trial, outcome: Outcome, chance: Random, result: Undisturbed) -> None:
    """Run a job on a disk that is too small, and again when there is room."""
    if outcome.round.place == DISK:
        disk, needed = trial.folder / "lake", sum(map(len, result.state.objects.values()))
    else:
        disk, needed = trial.temporary, max(map(len, result.state.objects.values()))
    size = max(4096, int(needed * chance.random()) & ~4095)
    outcome.fault = f"room for {size} of {needed} bytes"
    outcome.came = True
    with FullDisk(disk, size) as full:
        ran = trial.run()
        _judge_run(trial, outcome, ran, result, None)
        full.make_room()
        _heal(trial, outcome, result, None)


def _judge_run(trial: Trial, outcome: Outcome, ran: Ran, result: Undisturbed, changed: State | None) -> None:
    """Judge what a disturbed run left and said."""
    state = trial.state()
    wanted = [result.state] if changed is None else [result.state, changed]
    problems = outcome.problems
    allowed = {key: {each.objects[key] for each in wanted if key in each.objects} for key in state.objects}
    problems += [f"wrong object {key}" for key, content in state.objects.items() if content not in allowed[key]]
    problems += [f"recorded, and not there: {each}" for each in state.lost]
    if not any(state.recorded.items() <= each.recorded.items() for each in wanted):
        problems.append(f"wrong record: {state.recorded.items() - wanted[0].recorded.items()}")
    if ran.succeeded:
        outcome.passed = any(_differences(state, each) == [] for each in wanted)
        if not outcome.passed:
            gone = [f"missing object {key}" for key in wanted[0].objects if _is_told_as_gone(key, outcome.round, ran)]
            lost = [each for each in _differences(state, wanted[0]) if each not in gone]
            outcome.said = not lost
            problems += [f"success, and {lost}"] if lost else []
        if ran.requested != result.requested:
            problems.append(f"another tick: {ran.requested}")
        return
    text = "\n".join(ran.failures)
    names_of_places = [trial.source.name, trial.lake.name, *trial.names()]
    if not any(name in text for name in names_of_places):
        problems.append(f"no place is named: {text}")
    elif any(_UNEXPECTED.match(each) for each in ran.failures):
        problems.append(f"an error that nobody foresaw: {text}")
    else:
        outcome.said = True


def _is_told_as_gone(key: str, what: Round, ran: Ran) -> bool:
    """Return True if a run said that the report of a copy is gone, as the source had it."""
    report = key.removeprefix("copies/")
    return what.kind == "404" and any(said.startswith(f"{report} is gone from ") for said in ran.said)


def _askers(trial: Trial, what: Round) -> int:
    """Return how many times the same is asked for with another right, or without waiting for each other."""
    match _protocol(what.place), what.kind:
        case Protocol.GCS, "wrong credentials":
            return 3  # Google's client gets two new tokens
        case Protocol.GOOGLE, _:
            return 2  # it looks up the bucket beside its first request
        case Protocol.S3, "404" if isinstance(trial, Reports):
            return 2  # a report that is not found is looked for once more, before it counts as gone
        case _:
            return trial.independent


def _judge_attempts(outcome: Outcome, ran: Ran, disturbed: Sequence[Asked], independent: int) -> None:
    """See that a fault for good was tried once.

    S3 gives no reason with a HEAD that it refuses. One of a wrong region is refused like others, so the vendor's client
    finds out the region, and asks once more.
    """
    counts = Counter(asked.identity for asked in disturbed)
    outcome.problems += [
        f"a fault for good was tried {count} times: {' '.join(identity[:3])}"
        for identity, count in counts.items()
        if count > independent + (identity[0] == "HEAD" and outcome.round.kind in WITHOUT_REASON)
    ]
    if ran.again:
        outcome.problems.append(f"a step was tried again after a fault for good: {ran.failures}")


def _heal(trial: Trial, outcome: Outcome, result: Undisturbed, changed: State | None) -> None:
    """Run once more without a fault, unless all is there."""
    if outcome.passed and changed is None:
        return
    ran = trial.run()
    state = trial.state()
    if not ran.succeeded:
        outcome.problems.append(f"the next run failed: {ran.failures}")
        return
    if ran.requested != result.requested:
        outcome.problems.append(f"the next tick is another: {ran.requested}")
    wanted = changed or result.state
    if changed is not None:  # the first version may have landed before
        state = state._replace(
            objects={
                key: content
                for key, content in state.objects.items()
                if key in wanted.objects or result.state.objects.get(key) != content
            }
        )
    outcome.problems += [f"after the next run, {each}" for each in _differences(state, wanted)]
    outcome.healed = not outcome.passed and not outcome.problems


def _differences(state: State, wanted: State) -> list[str]:
    found = []
    for key in sorted(state.objects.keys() | wanted.objects.keys()):
        if key not in state.objects:
            found.append(f"missing object {key}")
        elif key not in wanted.objects:
            found.append(f"object too many {key}")
        elif state.objects[key] != wanted.objects[key]:
            found.append(f"other content of {key}")
    if state.recorded != wanted.recorded:
        missing = wanted.recorded.items() - state.recorded.items()
        found.append(f"records missing {sorted(missing)}, too many {state.recorded.items() - wanted.recorded.items()}")
    if state.partitions != wanted.partitions:
        found.append(f"partitions {state.partitions}")
    return found


def _trial(name: str, servers: Servers, folder: Path) -> Trial:
    stack = ExitStack()
    own = Path(stack.enter_context(TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)))
    trial = TRIALS[name](servers, own)
    trial.stack.callback(stack.close)
    return trial
