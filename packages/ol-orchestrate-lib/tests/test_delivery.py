"""The delivery rules, one by one, and against a model that kills, reverts, repeats, cuts, loses and misdates."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ol_orchestrate.lib.errors import BadInputError, MissingObjectError, ServiceError
from ol_orchestrate.lib.settling import settle, settle_all
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores import ObjectStore, StoredObject, open_store
from ol_orchestrate.lib.stores.folder_store import FolderStore
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.lib.versions import (
    RECORD_ONLY,
    SUPERSEDED,
    UNCHANGED,
    WRITE_AND_RECORD,
    Decision,
    Recorded,
    SingleObject,
    StoredVersions,
    TableStats,
    VersionedObjects,
    VersionOutcome,
    decide,
    write_if_needed,
)

if TYPE_CHECKING:
    from typing import BinaryIO

    from ol_orchestrate.testing.servers import S3Server

EARLY, MIDDLE, LATE = date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15)
NOON = datetime(2024, 2, 1, 12, tzinfo=UTC)


def stored_as(*versions: str, sizes: dict[str, int] | None = None, by_content: bool = True) -> StoredVersions:
    """Objects written one second after the other, of ten bytes each."""
    return StoredVersions(
        {
            version: StoredObject(version, (sizes or {}).get(version, 10), NOON + timedelta(seconds=number), "")
            for number, version in enumerate(versions)
        },
        by_content=by_content,
    )


def settling(decision: Decision, version: str) -> Decision:
    return Decision(decision.write, decision.record, decision.outcome, version)


@pytest.mark.parametrize(
    ("recorded", "objects", "expected"),
    [
        pytest.param(None, stored_as(), WRITE_AND_RECORD, id="new"),
        pytest.param(Recorded("a", EARLY), stored_as(), WRITE_AND_RECORD, id="recorded but gone"),
        pytest.param(Recorded("b", EARLY), stored_as("b"), settling(WRITE_AND_RECORD, "a"), id="changed"),
        pytest.param(Recorded("a", EARLY), stored_as("a"), UNCHANGED, id="recorded and there"),
        pytest.param(Recorded("a", MIDDLE), stored_as("a"), UNCHANGED, id="the same archive again"),
        pytest.param(Recorded("a", EARLY), stored_as("b", "a"), UNCHANGED, id="recorded and newest"),
        pytest.param(
            Recorded("a", EARLY), stored_as("a", "b"), settling(UNCHANGED, "a"), id="recorded, with a newer rival"
        ),
        pytest.param(None, stored_as("a"), RECORD_ONLY, id="a first run died before recording"),
        pytest.param(Recorded("b", EARLY), stored_as("b", "a"), RECORD_ONLY, id="a later run died before recording"),
        pytest.param(
            Recorded("b", EARLY), stored_as("a", "b"), settling(RECORD_ONLY, "a"), id="an earlier version is back"
        ),
        pytest.param(Recorded("b", EARLY), stored_as("a"), RECORD_ONLY, id="the recorded object is gone"),
        pytest.param(Recorded("b", LATE), stored_as("b"), SUPERSEDED, id="a later archive was here"),
        pytest.param(
            Recorded("b", LATE), stored_as("b", "c"), settling(SUPERSEDED, "b"), id="superseded, with a rival"
        ),
        pytest.param(Recorded("a", LATE), stored_as(), SUPERSEDED, id="the later archive's own version, gone"),
        pytest.param(
            Recorded("b", None), stored_as("b"), settling(WRITE_AND_RECORD, "a"), id="recorded without a date"
        ),
        pytest.param(Recorded("a", EARLY), stored_as("a", sizes={"a": 0}), WRITE_AND_RECORD, id="cut to nothing"),
        pytest.param(Recorded("a", EARLY), stored_as("a", sizes={"a": 9}), WRITE_AND_RECORD, id="cut"),
        pytest.param(
            Recorded("b", LATE), stored_as("b", "c", sizes={"b": 0}), SUPERSEDED, id="superseded, cut to nothing"
        ),
    ],
)
def test_each_case_is_decided_by_its_row(
    recorded: Recorded | None, objects: StoredVersions, expected: Decision
) -> None:
    assert decide("a", MIDDLE, recorded=recorded, stored=objects, size=10) == expected


def test_supersede_lets_an_older_archive_in() -> None:
    decision = decide("a", EARLY, recorded=Recorded("b", LATE), stored=stored_as("b"), supersede=True)
    assert decision == settling(WRITE_AND_RECORD, "a")


def test_versions_of_one_clock_tick_are_to_be_settled() -> None:
    tie = StoredVersions({version: StoredObject(version, 10, NOON, "") for version in "ab"}, by_content=True)
    assert decide("a", MIDDLE, recorded=Recorded("a", EARLY), stored=tie) == settling(UNCHANGED, "a")


@pytest.mark.parametrize(
    ("stored", "size", "expected"),
    [(10, 11, UNCHANGED), (0, 11, WRITE_AND_RECORD), (0, 0, UNCHANGED), (0, None, UNCHANGED)],
    ids=["another time in it", "cut to nothing", "rightly empty", "perhaps rightly empty"],
)
def test_a_size_counts_less_where_it_can_differ_for_one_version(stored: int, size: int, expected: Decision) -> None:
    objects = stored_as("a", sizes={"a": stored}, by_content=False)
    assert decide("a", MIDDLE, recorded=Recorded("a", EARLY), stored=objects, size=size) == expected


def test_what_a_decision_says_is_spelled_out() -> None:
    assert Decision(write=True, record=True, outcome=VersionOutcome.DELIVERED) == WRITE_AND_RECORD
    assert Decision(write=False, record=True, outcome=VersionOutcome.DELIVERED) == RECORD_ONLY
    assert Decision(write=False, record=False, outcome=VersionOutcome.UNCHANGED) == UNCHANGED
    assert Decision(write=False, record=False, outcome=VersionOutcome.SUPERSEDED) == SUPERSEDED


def test_an_object_of_one_byte_is_whole_where_its_size_is_not_known() -> None:
    assert stored_as("a", sizes={"a": 1}).has("a")
    assert not stored_as("a", sizes={"a": 0}).has("a")


def test_a_version_is_not_the_hash_of_its_bytes_unless_its_place_says_so() -> None:
    assert StoredVersions(stored_as("a").objects).has("a", 11)
    assert not stored_as("a").has("a", 11)


def test_a_version_is_known_by_its_content_and_the_date_of_its_file() -> None:
    recorded = Recorded("b", MIDDLE)
    assert recorded.came_with("b", MIDDLE)
    assert not recorded.came_with("b", LATE)
    assert not recorded.came_with("a", MIDDLE)


def test_a_repeated_run_compares_with_the_version_before_and_not_with_its_own() -> None:
    latest, before = TableStats(rows=3, columns="new"), TableStats(rows=2, columns="old")
    recorded = Recorded("b", MIDDLE, stats=latest, before=before)
    assert recorded.replaced_by("c", LATE) == latest
    assert recorded.replaced_by(None, LATE) == latest
    assert recorded.replaced_by("b", MIDDLE) == before
    assert recorded.replaced_by("b", LATE) == TableStats(rows=None, columns=None)


def test_columns_are_other_ones_if_a_name_or_their_order_is_another() -> None:
    stats = TableStats.from_columns(3, ["id", "name"])
    assert stats == TableStats(rows=3, columns=hashlib.sha256(b"id\tname").hexdigest()[:12])
    assert not stats.has_other_columns_than(TableStats.from_columns(4, ["id", "name"]))
    assert stats.has_other_columns_than(TableStats.from_columns(3, ["name", "id"]))
    assert not stats.has_other_columns_than(TableStats.from_columns(3, None))
    assert not TableStats.from_columns(3, None).has_other_columns_than(stats)


def test_outcomes_are_spelled_as_metadata_has_them() -> None:
    assert [outcome.value for outcome in VersionOutcome] == ["delivered", "unchanged", "superseded"]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path}/lake")


def place_in(store: ObjectStore) -> VersionedObjects:
    return VersionedObjects(store, lambda version: f"place/{version}.tsv")


def put(place: VersionedObjects, *versions: str) -> None:
    for version in versions:
        place.write(version, io.BytesIO(version.encode()))
        time.sleep(0.01)


def date_objects(folder: Path, when: datetime, *versions: str) -> None:
    for version in versions:
        os.utime(folder / f"lake/place/{version}.tsv", (when.timestamp(), when.timestamp()))


def test_only_keys_like_those_of_the_output_count(store: ObjectStore) -> None:
    put(place_in(store), "a")
    for key in ("place/a.json", "place/b/c.tsv", "other/b.tsv", "place/.b.tsv"):
        (Path(store.url.removeprefix("file://")) / key).parent.mkdir(exist_ok=True)
        (Path(store.url.removeprefix("file://")) / key).write_bytes(b"1")
    assert list(place_in(store).stored().objects) == ["a"]


def test_an_object_without_a_version_in_its_name_is_none(store: ObjectStore) -> None:
    place = VersionedObjects(store, lambda version: f"place/version-{version}.tsv")
    put(place, "", "a")
    assert list(place.stored().objects) == ["a"]


def test_an_older_file_is_not_written_unless_that_is_asked_for(store: ObjectStore) -> None:
    place, recorded = place_in(store), Recorded("new", LATE)
    assert write_if_needed("old", io.BytesIO(b"old"), to=place, recorded=recorded, source_date=EARLY) == SUPERSEDED
    assert place.stored().objects == {}


def test_a_new_version_is_the_newest_where_its_rivals_are_older_than_the_run(
    store: ObjectStore, tmp_path: Path
) -> None:
    place = place_in(store)
    put(place, "a")
    content = io.BytesIO(b"b")
    decision = write_if_needed("b", content, to=place, recorded=Recorded("a", None), begin=lambda: datetime.now(UTC))
    assert decision == WRITE_AND_RECORD
    date_objects(tmp_path, datetime.now(UTC) + timedelta(hours=1), "a")
    decision = write_if_needed("c", content, to=place, recorded=Recorded("b", None), begin=lambda: datetime.now(UTC))
    assert decision == settling(WRITE_AND_RECORD, "c")


def test_a_new_version_is_not_known_to_be_the_newest_where_a_rival_is_as_old_as_the_run(
    store: ObjectStore, tmp_path: Path
) -> None:
    place = place_in(store)
    put(place, "a")
    date_objects(tmp_path, NOON, "a")
    decision = write_if_needed("b", io.BytesIO(b"b"), to=place, recorded=Recorded("a", None), begin=lambda: NOON)
    assert decision == settling(WRITE_AND_RECORD, "b")


def test_a_whole_object_that_is_named_by_its_content_is_left_alone(store: ObjectStore) -> None:
    content = io.BytesIO(b"rows")
    version = hashlib.sha256(b"rows").hexdigest()
    place = VersionedObjects(store, lambda version: f"place/{version}.tsv", by_content=True)
    assert write_if_needed(version, content, to=place, recorded=None) == WRITE_AND_RECORD
    assert b"".join(store.read(place.key_of(version))) == b"rows"
    assert write_if_needed(version, content, to=place, recorded=Recorded(version, None)) == UNCHANGED


@pytest.mark.parametrize("version", ["a", "b"])
def test_a_run_begins_before_it_writes_and_not_where_nothing_changes(store: ObjectStore, version: str) -> None:
    place = place_in(store)
    put(place, "a")
    seen = []

    def begin() -> None:
        seen.append(store.find(place.key_of("b")))

    write_if_needed(version, io.BytesIO(version.encode()), to=place, recorded=Recorded("a", None), begin=begin)
    assert seen == ([None] if version == "b" else [])


def test_an_object_that_is_deleted_before_its_run_has_begun_is_written_again(store: ObjectStore) -> None:
    place = place_in(store)
    put(place, "a", "b")
    decision = write_if_needed(
        "b",
        io.BytesIO(b"b"),
        to=place,
        recorded=Recorded("a", None),
        begin=lambda: store.delete(place.key_of("b")),
    )
    assert decision == settling(WRITE_AND_RECORD, "b")
    assert place.stored().has("b", 1)


def test_a_single_object_needs_no_settling(store: ObjectStore) -> None:
    place = SingleObject(store, "place/normalized.log")
    for version in ("a", "b"):
        decision = write_if_needed(version, io.BytesIO(version.encode()), to=place, recorded=Recorded("a", None))
        assert decision == WRITE_AND_RECORD
    assert list(place.stored().objects) == ["b"]


def test_settling_the_newest_writes_nothing(store: ObjectStore) -> None:
    place = place_in(store)
    put(place, "a", "b")
    before = place.stored()
    settle(place, "b")
    assert place.stored() == before


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=-1), timedelta(days=1)], ids=["tie", "past", "ahead"])
def test_settling_makes_an_object_the_newest_whatever_the_dates(
    store: ObjectStore, tmp_path: Path, ahead: timedelta
) -> None:
    place = place_in(store)
    put(place, "a", "b", "c")
    date_objects(tmp_path, datetime.now(UTC) + ahead, "a", "b", "c")
    settle(place, "a")
    found = place.stored()
    assert found.is_newest("a")
    assert found.objects["a"].modified <= datetime.now(UTC)
    assert {StorePath.of(store, each.key).read_bytes() for each in found.objects.values()} == {b"a", b"b", b"c"}


def test_settling_on_a_clock_of_whole_seconds_waits_for_the_next(moto_server: S3Server, s3_bucket: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto_server.environment.items():
            patch.setenv(name, value)
        store = open_store(f"s3://{s3_bucket}/lake")
        places = [VersionedObjects(store, lambda version, number=number: f"{number}/{version}") for number in range(20)]  # type: ignore[misc]
        start = time.monotonic()
        for place in places:
            place.write("a", io.BytesIO(b"a"))
            place.write("b", io.BytesIO(b"b"))
        assert list(settle_all([(place, place, "a") for place in places], threads=4)) == []
        assert all(place.stored().is_newest("a") for place in places)
        assert time.monotonic() - start < 10, "all wait for one tick together"


def test_settling_a_missing_object_names_it(store: ObjectStore) -> None:
    place = place_in(store)
    put(place, "a", "b")
    with pytest.raises(MissingObjectError, match=r"place/c\.tsv"):
        settle(place, "c")
    unsettled = list(settle_all([("first", place, "c"), ("second", place, "a")], threads=1))
    assert [each.place for each in unsettled] == ["first"]
    assert place.stored().is_newest("a")


def test_an_object_of_other_bytes_than_its_name_is_not_made_current(store: ObjectStore) -> None:
    version = hashlib.sha256(b"right").hexdigest()
    place = VersionedObjects(store, lambda version: f"place/{version}", by_content=True)
    place.write(version, io.BytesIO(b"wrong"))
    time.sleep(0.01)
    place.write("rival", io.BytesIO(b"rival"))
    with pytest.raises(BadInputError, match=version):
        settle(place, version)
    assert [type(each.problem) for each in settle_all([("place", place, version)], threads=1)] == [BadInputError]


@dataclass
class Clock:
    """A store's clock, which goes on while the settling sleeps, and the keys of the objects that it dates."""

    folder: Path
    tick: int
    """Microseconds."""
    now: datetime = datetime(2024, 1, 31, 12, 0, 0, 500_000, UTC)
    slept: list[float] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    gone: frozenset[str] = frozenset()
    """Keys of objects that another program deletes as soon as they are written."""

    def begin(self, patch: pytest.MonkeyPatch) -> None:
        write = FolderStore.write

        def write_and_date(store: FolderStore, key: str, content: BinaryIO) -> None:
            write(store, key, content)
            self.written.append(key)
            seconds, microseconds = divmod(round(self.now.timestamp() * 1_000_000), 1_000_000)
            microseconds -= microseconds % self.tick
            os.utime(self.folder / "lake" / key, ns=(0, (seconds * 1_000_000 + microseconds) * 1_000))
            if key in self.gone:
                store.delete(key)

        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.now += timedelta(seconds=seconds)

        patch.setattr(FolderStore, "write", write_and_date)
        patch.setattr("ol_orchestrate.lib.settling.time", SimpleNamespace(sleep=sleep))


def test_settling_writes_an_object_once_where_no_clock_was_ahead(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in(store)
    put(place, "a", "b")
    date_objects(tmp_path, Clock.now - timedelta(hours=1), "a", "b")
    clock = Clock(tmp_path, 1)
    clock.begin(monkeypatch)
    settle(place, "a")
    assert (clock.written, clock.slept) == (["place/a.tsv"], [])


@pytest.mark.parametrize(("tick", "seconds"), [(1, 0.02), (1_000_000, 1.01)], ids=["microseconds", "seconds"])
def test_settling_dates_an_object_of_a_clock_that_was_ahead_and_waits_for_the_next_time(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tick: int, seconds: float
) -> None:
    place = place_in(store)
    put(place, "a", "b")
    date_objects(tmp_path, Clock.now + timedelta(hours=1), "a", "b")
    clock = Clock(tmp_path, tick)
    clock.begin(monkeypatch)
    settle(place, "a")
    assert clock.written == ["place/a.tsv", "place/b.tsv", "place/a.tsv"]
    assert clock.slept == [seconds]


def test_a_place_whose_object_goes_while_it_is_settled_holds_up_no_other(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = VersionedObjects(store, lambda version: f"other/{version}.tsv"), place_in(store)
    for place in (first, second):
        put(place, "a", "b")
    date_objects(tmp_path, Clock.now + timedelta(hours=1), "a", "b")
    Clock(tmp_path, 1, gone=frozenset({"other/a.tsv"})).begin(monkeypatch)
    unsettled = list(settle_all([("first", first, "a"), ("second", second, "a")], threads=1))
    assert [(each.place, type(each.problem)) for each in unsettled] == [("first", MissingObjectError)]
    assert second.stored().is_newest("a")


def test_settling_keeps_no_copy_of_an_object(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in(store)
    put(place, "a", "b")
    copy = Spool()
    monkeypatch.setattr("ol_orchestrate.lib.settling.Spool", lambda: copy)
    settle(place, "a")
    assert (copy.size, copy.reader().read()) == (1, b"")


def test_two_processes_that_settle_against_each_other_give_up(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in(store)
    put(place, "a", "b")
    write = type(store).write

    def and_the_other_hand(self: ObjectStore, key: str, content: io.BytesIO) -> None:
        write(self, key, content)
        date_objects(tmp_path, datetime.now(UTC) + timedelta(days=1), "b")

    monkeypatch.setattr(type(store), "write", and_the_other_hand)
    with pytest.raises(ServiceError, match=r"a\.tsv.*after 5 attempts.*run again when no other run"):
        settle(place, "a")


VERSIONS = st.sampled_from("abc")
DAYS = st.integers(0, 20)


class Places(RuleBasedStateMachine):
    """Files come in any order, twice, changed and changed back; runs die; objects are lost, cut and misdated.

    After each run that ends, the recorded version is strictly the newest object, if it is there at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)  # noqa: S108
        self.place = place_in(open_store(f"file://{self.temporary.name}/lake"))
        self.records: list[Recorded] = []

    def teardown(self) -> None:
        self.temporary.cleanup()

    def latest(self) -> Recorded | None:
        return self.records[-1] if self.records else None

    def deliver(self, version: str, day: int, *, killed_after: int = 3, supersede: bool = False) -> Decision:
        source_date = EARLY + timedelta(days=day)
        content = io.BytesIO(version.encode() * 10)
        decision = write_if_needed(
            version, content, to=self.place, recorded=self.latest(), source_date=source_date, supersede=supersede
        )
        if decision.settle is not None and killed_after > 1:
            settle(self.place, decision.settle)
        if decision.record and killed_after > 2:
            self.records.append(Recorded(version, source_date))
        return decision

    @rule(version=VERSIONS, day=DAYS, supersede=st.booleans())
    def run(self, version: str, day: int, supersede: bool) -> None:  # noqa: FBT001 - hypothesis names its arguments
        before = self.latest()
        decision = self.deliver(version, day, supersede=supersede)
        latest = self.latest()
        assert latest is not None
        if decision.outcome == SUPERSEDED.outcome:
            assert latest == before
        else:
            assert latest.version == version
            assert self.place.stored().has(version)
        found = self.place.stored()
        if found.has(latest.version):
            assert found.is_newest(latest.version)
            again = self.deliver(version, day, supersede=supersede)
            assert again in (UNCHANGED, SUPERSEDED)
            assert self.place.stored() == found
            assert self.latest() == latest

    @rule(version=VERSIONS, day=DAYS, step=st.integers(1, 2))
    def die(self, version: str, day: int, step: int) -> None:
        self.deliver(version, day, killed_after=step)

    @rule(version=VERSIONS)
    def lose(self, version: str) -> None:
        self.place.store.delete(self.place.key_of(version))

    @rule(version=VERSIONS)
    def cut(self, version: str) -> None:
        for path in Path(self.temporary.name).glob(f"lake/place/{version}.tsv"):
            path.write_bytes(b"")

    @rule(versions=st.sets(VERSIONS), hours=st.sampled_from([-1, 0, 1]))
    def misdate(self, versions: set[str], hours: int) -> None:
        there_now = [version for version in versions if version in self.place.stored().objects]
        date_objects(Path(self.temporary.name), datetime.now(UTC) + timedelta(hours=hours), *there_now)


Places.TestCase.settings = settings(max_examples=40, stateful_step_count=12)
TestPlaces = Places.TestCase
