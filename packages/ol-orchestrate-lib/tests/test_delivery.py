"""The delivery rules, one by one and against a model that kills, reverts, repeats, duplicates and reorders."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ol_orchestrate.lib.delivery import RECORD_ONLY, SUPERSEDED, UNCHANGED, WRITE_AND_RECORD, Decision, Recorded, decide

EARLY, MIDDLE, LATE = date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15)


@dataclass
class Objects:
    """A store's objects with a clock that ticks at each write."""

    times: dict[str, datetime] = field(default_factory=dict)
    now: datetime = datetime(2024, 2, 1, tzinfo=UTC)
    questions: int = 0
    one_key: bool = False

    def written(self, version: str) -> datetime | None:
        self.questions += 1
        return self.times.get(version)

    def write(self, version: str) -> None:
        self.now += timedelta(seconds=1)
        self.times[version] = self.now


def objects(*versions: str) -> Objects:
    """Objects written in this order."""
    made = Objects()
    for version in versions:
        made.write(version)
    return made


@pytest.mark.parametrize(
    ("recorded", "there", "expected"),
    [
        pytest.param(None, objects(), WRITE_AND_RECORD, id="new"),
        pytest.param(Recorded("a", EARLY), objects(), WRITE_AND_RECORD, id="recorded but gone"),
        pytest.param(Recorded("b", EARLY), objects("b"), WRITE_AND_RECORD, id="changed"),
        pytest.param(Recorded("a", EARLY), objects("a"), UNCHANGED, id="recorded and there"),
        pytest.param(Recorded("a", MIDDLE), objects("a"), UNCHANGED, id="the same archive again"),
        pytest.param(None, objects("a"), RECORD_ONLY, id="a first run died before recording"),
        pytest.param(Recorded("b", EARLY), objects("b", "a"), RECORD_ONLY, id="a later run died before recording"),
        pytest.param(Recorded("b", EARLY), objects("a", "b"), WRITE_AND_RECORD, id="an earlier version came back"),
        pytest.param(Recorded("b", EARLY), objects("a"), WRITE_AND_RECORD, id="the recorded object is gone"),
        pytest.param(Recorded("b", LATE), objects("b"), SUPERSEDED, id="a later archive was here"),
        pytest.param(Recorded("a", LATE), objects(), SUPERSEDED, id="the later archive's own version, gone"),
        pytest.param(Recorded("b", None), objects("b"), WRITE_AND_RECORD, id="recorded without a date"),
    ],
)
def test_each_case(recorded: Recorded | None, there: Objects, expected: Decision) -> None:
    assert decide("a", MIDDLE, recorded=recorded, versions=there) == expected


def test_supersede_lets_an_older_archive_in() -> None:
    assert decide("a", EARLY, recorded=Recorded("b", LATE), versions=objects("b"), supersede=True) == WRITE_AND_RECORD


def test_two_versions_of_one_clock_tick_count_as_unordered() -> None:
    there = Objects({"a": datetime(2024, 1, 1, tzinfo=UTC), "b": datetime(2024, 1, 1, tzinfo=UTC)})
    assert decide("a", MIDDLE, recorded=Recorded("b", EARLY), versions=there) == WRITE_AND_RECORD


def test_with_one_key_for_all_versions_the_one_that_is_there_is_the_newest() -> None:
    there = Objects({"a": datetime(2024, 1, 1, tzinfo=UTC)}, one_key=True)
    assert decide("a", MIDDLE, recorded=Recorded("b", EARLY), versions=there) == RECORD_ONLY


@pytest.mark.parametrize("recorded", [None, Recorded("a", EARLY), Recorded("b", EARLY), Recorded("b", LATE)])
@pytest.mark.parametrize("there", [(), ("a",), ("b",), ("a", "b"), ("b", "a")])
def test_the_store_is_asked_twice_at_most(recorded: Recorded | None, there: tuple[str, ...]) -> None:
    store = objects(*there)
    decide("a", MIDDLE, recorded=recorded, versions=store)
    changed_and_there = recorded is not None and recorded.version != "a" and "a" in there
    assert store.questions <= (2 if changed_and_there else 1)


VERSIONS = st.sampled_from("abc")
DAYS = st.integers(0, 20)


class Archives(RuleBasedStateMachine):
    """Archives come in any order, twice, changed and changed back; runs die; objects get lost.

    A run that is not killed leaves its version, unless a later archive was recorded, as the latest recorded one and as
    the newest object of all that are recorded; what only killed runs wrote is nobody's version yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = Objects()
        self.records: list[Recorded] = []
        self.settled: str | None = None
        self.written_by_killed_runs: set[str] = set()

    def latest(self) -> Recorded | None:
        return self.records[-1] if self.records else None

    def deliver(self, version: str, day: int, *, killed_after: int = 2, supersede: bool = False) -> Decision:
        archive = EARLY + timedelta(days=day)
        decision = decide(version, archive, recorded=self.latest(), versions=self.store, supersede=supersede)
        if decision.write and killed_after > 0:
            self.store.write(version)
            self.settled = None
            self.written_by_killed_runs.add(version)
        if decision.record and killed_after > 1:
            self.records.append(Recorded(version, archive))
            self.settled = version
            self.written_by_killed_runs.discard(version)
        return decision

    @rule(version=VERSIONS, day=DAYS, supersede=st.booleans())
    def run(self, version: str, day: int, supersede: bool) -> None:  # noqa: FBT001 - hypothesis names its arguments
        before = self.latest()
        decision = self.deliver(version, day, supersede=supersede)
        if decision == SUPERSEDED:
            assert before is not None
            assert before.source_date is not None
            assert before.source_date > EARLY + timedelta(days=day)
            assert not supersede
            assert self.latest() == before
            return
        latest = self.latest()
        assert latest is not None
        assert latest.version == version
        assert version in self.store.times

    @rule(version=VERSIONS, day=DAYS, point=st.integers(0, 1))
    def killed_run(self, version: str, day: int, point: int) -> None:
        self.deliver(version, day, killed_after=point)

    @rule(version=VERSIONS, day=DAYS)
    def killed_run_repeated(self, version: str, day: int) -> None:
        undisturbed = Archives()
        undisturbed.store, undisturbed.records = Objects(dict(self.store.times), self.store.now), list(self.records)
        undisturbed.deliver(version, day)
        before = self.latest()
        killed = self.deliver(version, day, killed_after=1)
        again = self.deliver(version, day)
        assert self.store.times.keys() == undisturbed.store.times.keys()
        latest, expected = self.latest(), undisturbed.latest()
        assert (latest and latest.version) == (expected and expected.version)
        recorded_is_there = before is None or before.version in self.store.times
        assert not (killed.write and again.write and recorded_is_there), "only what was missing is uploaded"

    @rule(version=VERSIONS, day=DAYS)
    def same_archive_twice(self, version: str, day: int) -> None:
        self.deliver(version, day)
        times, records = dict(self.store.times), list(self.records)
        assert self.deliver(version, day) in (UNCHANGED, SUPERSEDED)
        assert (self.store.times, self.records) == (times, records)

    @rule(version=VERSIONS)
    def lose_object(self, version: str) -> None:
        self.store.times.pop(version, None)
        self.settled = None

    @invariant()
    def the_settled_version_is_recorded_and_newest(self) -> None:
        latest = self.latest()
        if self.settled is not None and latest is not None:
            assert latest.version == self.settled
            recorded = {record.version for record in self.records} - self.written_by_killed_runs
            assert max(recorded & self.store.times.keys(), key=self.store.times.__getitem__) == self.settled


TestArchives = Archives.TestCase
