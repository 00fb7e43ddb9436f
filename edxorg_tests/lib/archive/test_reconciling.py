"""The end of a run: which objects and marks go, which stay, and which are made the newest."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.archive.marks import RunMark, marks_in
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import Place
from edxorg.lib.archive.reconciling import NothingRecorded, Reconciler
from edxorg.lib.object_keys import raw_data_version, versioned_raw_data_key
from edxorg_tests.support.delivery_model import Event, Events, RunView
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.stores.folder_store import FolderStore
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.lib.versions import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ol_orchestrate.lib.stores import ObjectStore

TABLE, OTHER, FORUM = (
    "edxorg/raw_data/db_table/auth_user",
    "edxorg/raw_data/db_table/auth",
    "edxorg/raw_data/forum_mongo",
)
PLACE, OTHER_PLACE = Place(TABLE, "MITx-A-2020|prod"), Place(TABLE, "MITx-B-2020|edge")
FORUM_PLACE, OPT_IN = Place(FORUM, "MITx-A-2020|prod"), Place("edxorg/raw_data/email_opt_in", "MITx")
CONTENTS = {sha256(content).hexdigest(): content for content in (b"a", b"b", b"c")}
A, B, C = CONTENTS
NOW = datetime.now(UTC)
REJECTS = "edxorg/rejects/auth_user/prod/MITx-A-2020/x.ndjson"


class Zone:
    """A landing zone, its records, and one run over it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"file://{folder}/lake"
        self.folder = folder / "lake"
        self.store: ObjectStore = open_store(self.url)
        self.events = Events()
        self.mark = RunMark("mine", 1)
        self.run = self.reconciler()

    def reconciler(self) -> Reconciler:
        return Reconciler(IngestOptions(self.url, mark=self.mark), RunView(self.events, "mine"))

    def put(self, place: Place, version: str, age: timedelta = timedelta(), content: bytes | None = None) -> None:
        self.put_key(versioned_raw_data_key(*place, version), age, CONTENTS[version] if content is None else content)

    def put_key(self, key: str, age: timedelta = timedelta(), content: bytes = b"x") -> None:
        StorePath.of(self.store, key).write_bytes(content)
        written = (NOW - age).timestamp()
        os.utime(self.folder / key, (written, written))

    def leave_mark(self, run: str, age: timedelta = timedelta(), attempt: int = 0) -> str:
        mark = RunMark(run, attempt)
        mark.leave_in(self.store)
        left = (NOW - age).timestamp()
        os.utime(self.folder / mark.key, (left, left))
        return mark.key

    def record(self, place: Place, version: str, run: str = "earlier") -> None:
        self.events.events.append(Event(run, place.asset, place.partition, Recorded(version, None)))

    @property
    def versions(self) -> set[tuple[Place, str]]:
        found = set()
        for asset in {TABLE, OTHER, FORUM, OPT_IN.asset}:
            for each in self.store.list(f"{asset}/"):
                if (version := raw_data_version(asset, each.key)) and version[1] in CONTENTS:
                    found.add((Place(asset, version[0]), version[1]))
        return found

    @property
    def marks(self) -> set[str]:
        return {mark.run for mark in marks_in(self.store)}

    def modified(self, place: Place, version: str) -> datetime:
        found = self.store.find(versioned_raw_data_key(*place, version))
        assert found is not None
        return found.modified


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path)


MINUTE = timedelta(minutes=1)


class TestRefusedArchives:
    """An archive that is refused leaves nothing that nobody has recorded."""

    def test_what_was_written_goes_and_what_is_recorded_stays(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        for place in (PLACE, OTHER_PLACE, FORUM_PLACE):
            for version in (A, B):
                zone.put(place, version)
        zone.record(PLACE, A)
        zone.record(PLACE, B)
        zone.record(PLACE, A)
        zone.record(FORUM_PLACE, B)
        zone.put_key(REJECTS)
        written = [(PLACE, A), (PLACE, B), (OTHER_PLACE, A), (FORUM_PLACE, A), (FORUM_PLACE, B), (PLACE, C)]
        assert zone.run.take_back(written, [], [REJECTS, "edxorg/rejects/none"]) == 3
        assert zone.versions == {(PLACE, A), (PLACE, B), (OTHER_PLACE, B), (FORUM_PLACE, B)}
        assert zone.store.find(REJECTS) is None
        assert zone.marks == set()

    def test_what_was_found_goes_if_an_unfinished_run_may_have_written_it(self, zone: Zone) -> None:
        zone.events.over.add("died")
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("died", age=60 * MINUTE)
        zone.put(PLACE, A, age=70 * MINUTE)
        zone.put(PLACE, B, age=71 * MINUTE)
        zone.put(PLACE, C, age=200 * MINUTE)
        zone.put_key(REJECTS)
        assert zone.run.take_back([(PLACE, C)], [(PLACE, A), (PLACE, B)], [REJECTS]) == 2
        assert zone.versions == {(PLACE, B)}
        assert zone.store.find(REJECTS) is not None, "the run that died may have brought the same"
        assert zone.marks == {"died"}

    def test_what_was_found_and_written_counts_as_written(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.put(PLACE, A, age=100 * MINUTE)
        assert zone.run.take_back([(PLACE, A)], [(PLACE, A)], []) == 1

    def test_without_any_mark_what_was_found_stays(self, zone: Zone) -> None:
        zone.put(PLACE, A, age=MINUTE)
        assert zone.run.take_back([], [(PLACE, A)], []) == 0
        assert zone.versions == {(PLACE, A)}

    def test_all_stays_while_another_run_is_at_work(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("other")
        zone.put(PLACE, A)
        zone.put_key(REJECTS)
        assert zone.run.take_back([(PLACE, A)], [], [REJECTS]) is None
        assert zone.versions == {(PLACE, A)}
        assert zone.store.find(REJECTS) is not None
        assert zone.marks == {"mine", "other"}

    def test_a_mark_of_over_a_week_holds_nothing_up(self, zone: Zone) -> None:
        zone.leave_mark("lost", age=timedelta(days=8))
        zone.put(PLACE, A)
        assert zone.run.take_back([(PLACE, A)], [], []) == 1

    def test_an_earlier_attempt_of_the_run_is_another_one(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=0)
        zone.put(PLACE, A)
        zone.put_key(REJECTS)
        assert zone.run.take_back([(PLACE, A)], [], []) is None
        zone.events.over.add("mine")
        assert zone.run.take_back([(PLACE, A)], [], [REJECTS]) == 2

    def test_the_mark_stays_for_what_may_have_been_written(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.run.keep_mark()
        assert zone.run.take_back([], [], []) == 0
        assert zone.marks == {"mine"}

    def test_without_a_landing_zone_there_is_nothing(self) -> None:
        run = Reconciler(IngestOptions(None), NothingRecorded())
        assert run.take_back([(PLACE, A)], [], ["x"]) == 0
        run.finish([TABLE], [])
        run.was_overtaken()
        with pytest.raises(ValueError, match="without a landing zone there is nothing to reconcile"):
            run.finish([TABLE], [])


class TestEnds:
    """The last run to end deletes what nobody has recorded, and removes the marks."""

    def test_a_run_alone_removes_its_mark_and_nothing_else(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.put(PLACE, A)
        zone.put(PLACE, B)
        zone.record(PLACE, B)
        before = zone.modified(PLACE, B)
        zone.run.finish([TABLE], [])
        assert zone.versions == {(PLACE, A), (PLACE, B)}
        assert zone.modified(PLACE, B) == before
        assert zone.marks == set()

    def test_what_runs_that_are_over_have_written_and_nobody_recorded_is_deleted(self, zone: Zone) -> None:
        zone.events.over |= {"died", "died too"}
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("died", age=60 * MINUTE)
        zone.leave_mark("died too", age=50 * MINUTE)
        zone.put(PLACE, A, age=70 * MINUTE)
        zone.put(PLACE, B, age=71 * MINUTE)
        zone.put(PLACE, C)
        zone.put(OTHER_PLACE, A)
        zone.put(Place(OTHER, "MITx-A-2020|prod"), A)
        zone.put(FORUM_PLACE, A)
        zone.put(OPT_IN, A)
        zone.put(OPT_IN, B)
        zone.record(OPT_IN, B)
        for name in ("notes.tsv", f"{A.upper()}.tsv", f"{A}a.tsv", f"{A}.tsv.tmp"):
            zone.put_key(f"{TABLE}/prod/MITx-A-2020/{name}")
        zone.put_key(f"{TABLE}/{A}.tsv")
        zone.run.finish([TABLE], [(PLACE, C), (OTHER_PLACE, B)])
        assert zone.versions == {(PLACE, B), (PLACE, C), (OPT_IN, B)}
        left = {each.key.rpartition("/")[2] for each in zone.store.list(TABLE + "/prod/MITx-A-2020/")}
        assert left == {
            f"{B}.tsv",
            f"{C}.tsv",
            "notes.tsv",
            f"{A.upper()}.tsv",
            f"{A}a.tsv",
            f"{A}.tsv.tmp",
        }
        assert zone.store.find(f"{TABLE}/{A}.tsv") is not None
        assert zone.marks == set()

    def test_all_stays_while_a_run_is_at_work(self, zone: Zone) -> None:
        zone.events.over.add("died")
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("died")
        zone.leave_mark("other")
        zone.put(PLACE, A)
        zone.run.finish([TABLE], [])
        assert zone.versions == {(PLACE, A)}
        assert zone.marks == {"mine", "died", "other"}

    def test_what_a_run_of_another_instance_has_written_stays(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("unknown", age=timedelta(days=8))
        zone.put(PLACE, A)
        zone.run.finish([TABLE], [])
        assert zone.versions == {(PLACE, A)}
        assert zone.marks == set()

    def test_only_what_is_younger_than_the_known_runs_is_theirs(self, zone: Zone) -> None:
        zone.events.over.add("died")
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("unknown", age=timedelta(days=8))
        zone.leave_mark("died", age=60 * MINUTE)
        zone.put(PLACE, A, age=80 * MINUTE)
        zone.put(PLACE, B, age=20 * MINUTE)
        zone.run.finish([TABLE], [])
        assert zone.versions == {(PLACE, A)}
        assert zone.marks == set()

    def test_a_run_that_begins_meanwhile_keeps_all(self, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
        zone.events.over.add("died")
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("died")
        zone.put(PLACE, A)
        list_objects = FolderStore.list

        def begin_and_list(store: FolderStore, prefix: str = "") -> Iterable[object]:
            if prefix == f"{FORUM}/":
                zone.leave_mark("new")
            return list_objects(store, prefix)

        monkeypatch.setattr(FolderStore, "list", begin_and_list)
        zone.run.finish([TABLE], [])
        assert zone.versions == {(PLACE, A)}
        assert zone.marks == {"mine", "died", "new"}

    def test_marks_that_come_at_the_end_keep_the_runs_own(self, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
        zone.leave_mark("mine", attempt=1)
        zone.events.over |= {"died"}
        zone.leave_mark("died")
        zone.record(PLACE, A)
        latest = RunView.latest

        def begin_and_read(view: RunView, asset: str) -> object:
            zone.leave_mark("new")
            return latest(view, asset)

        monkeypatch.setattr(RunView, "latest", begin_and_read)
        zone.run.finish([TABLE], [])
        assert zone.marks == {"mine", "new"}

    def test_its_mark_stays_if_it_has_to_and_others_do_not(self, zone: Zone) -> None:
        zone.events.over.add("died")
        zone.leave_mark("mine", attempt=1)
        zone.leave_mark("died")
        zone.run.keep_mark()
        zone.run.finish([], [])
        assert zone.marks == {"mine"}

    def test_an_earlier_attempt_that_is_not_over_does_not_keep_it(self, zone: Zone) -> None:
        zone.leave_mark("mine", attempt=1)
        earlier = zone.leave_mark("mine", attempt=0)
        zone.run.finish([], [])
        assert [mark.key for mark in marks_in(zone.store)] == [earlier]


class TestPlaces:
    """What is recorded is the newest object of its place, where others may have written."""

    def overtaken(self, zone: Zone) -> None:
        zone.run.was_overtaken()
        zone.run.finish([TABLE], [])

    @pytest.mark.parametrize(("rival_age", "is_touched"), [(1, True), (2, True), (3, False)])
    def test_a_version_that_is_not_the_newest_is_made_so(self, zone: Zone, rival_age: int, *, is_touched: bool) -> None:
        zone.put(PLACE, A, age=2 * MINUTE)
        zone.put(PLACE, B, age=rival_age * MINUTE)
        zone.put(PLACE, C, age=9 * MINUTE)
        zone.record(PLACE, A)
        before = zone.modified(PLACE, A)
        self.overtaken(zone)
        assert (zone.modified(PLACE, A) > before) is is_touched
        assert zone.modified(PLACE, A) > zone.modified(PLACE, B)

    def test_each_place_is_looked_at(self, zone: Zone) -> None:
        unknown = Place(TABLE, "MITx-0-2020|prod")
        for place in (unknown, PLACE, OTHER_PLACE):
            zone.put(place, A, age=2 * MINUTE)
            zone.put(place, B, age=MINUTE)
        zone.put_key(f"{TABLE}/aaa/bbb/ccc/other.tsv")
        zone.put(FORUM_PLACE, A, age=2 * MINUTE)
        zone.put(FORUM_PLACE, B, age=MINUTE)
        zone.record(PLACE, A)
        zone.record(OTHER_PLACE, A)
        zone.record(FORUM_PLACE, A)
        self.overtaken(zone)
        for place in (PLACE, OTHER_PLACE):
            assert zone.modified(place, A) > zone.modified(place, B)
        for place in (FORUM_PLACE, unknown):
            assert zone.modified(place, A) < zone.modified(place, B)

    def test_after_another_run_the_places_of_all_assets_are_looked_at(self, zone: Zone) -> None:
        zone.events.over.add("died")
        zone.leave_mark("died")
        zone.put(FORUM_PLACE, A, age=60 * MINUTE)
        zone.put(FORUM_PLACE, B, age=50 * MINUTE)
        zone.record(FORUM_PLACE, B)
        zone.record(FORUM_PLACE, A)
        zone.run.finish([TABLE], [])
        assert zone.modified(FORUM_PLACE, A) > zone.modified(FORUM_PLACE, B)

    def test_objects_without_content_and_absent_ones_are_left(self, zone: Zone) -> None:
        zone.put(PLACE, A, age=2 * MINUTE, content=b"")
        zone.put(PLACE, B, age=MINUTE)
        zone.put(OTHER_PLACE, B)
        zone.record(PLACE, A)
        zone.record(OTHER_PLACE, A)
        before = zone.modified(PLACE, A)
        self.overtaken(zone)
        assert zone.modified(PLACE, A) == before
        assert zone.marks == set()

    def test_a_mark_is_there_while_places_are_settled(self, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
        zone.put(PLACE, A, age=2 * MINUTE)
        zone.put(PLACE, B, age=MINUTE)
        assert list(zone.run.settle([])) == []
        assert zone.marks == set()
        marks: list[set[str]] = []
        read = FolderStore.read

        def look_and_read(store: FolderStore, *arguments: Any) -> object:  # noqa: ANN401
            marks.append(zone.marks)
            return read(store, *arguments)

        monkeypatch.setattr(FolderStore, "read", look_and_read)
        assert list(zone.run.settle([(PLACE, A)])) == []
        assert marks == [{"mine"}]

    @pytest.mark.parametrize("count", [1, 3])
    def test_places_that_cannot_be_settled_end_it_and_all_marks_stay(self, zone: Zone, count: int) -> None:
        places = [Place(TABLE, f"MITx-{number}-2020|prod") for number in range(count)]
        for place in places:
            zone.put(place, A, age=2 * MINUTE, content=b"damaged")
            zone.put(place, B, age=MINUTE)
            zone.record(place, A)
        zone.leave_mark("mine", attempt=1)

        zone.run.was_overtaken()
        with pytest.raises(BadInputError) as refused:
            zone.run.finish([TABLE], [])
        first, *more = str(refused.value).split("\n")
        assert f"/{A}.tsv: the SHA-256 of its bytes is not the one in its name" in first
        assert first.endswith(" that delivers it")
        assert more == (["and 2 more"] if count == 3 else [])
        assert zone.marks == {"mine"}


def test_nothing_recorded_is_what_it_says() -> None:
    nothing = NothingRecorded()
    assert (nothing.latest("a"), nothing.recorded_among("a", {("p", A)}), list(nothing.assets())) == ({}, set(), [])
    assert (nothing.changed("a"), nothing.is_over("r")) == (False, False)
