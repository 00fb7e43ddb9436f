"""Random sequences of archives, deaths, damage, clocks and concurrent runs: what is recorded is always the newest."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg_tests.support.delivery_model import (
    BAD,
    EMPTY,
    RAGGED,
    REJECTED,
    Lake,
    dying_after,
    let_processes_die,
    losing_answers,
    memory_folder,
)
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.stores import StoreAccess
from ol_orchestrate.lib.stores.folder_store import FolderStore
from ol_orchestrate.lib.stores.s3_store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ol_orchestrate.testing.servers import S3Server


FIRST_DAY = date(2024, 1, 1)
COURSES = ["MITx-A-2020", "MITx-B-2020"]
MEMBERS = st.lists(st.tuples(st.sampled_from(COURSES), st.sampled_from(["a", "b", "c", EMPTY, BAD])), max_size=5).map(
    lambda members: [("MITx-Z-2020", "a"), *members]  # an archive is never empty
)
DAYS = st.integers(0, 8).map(lambda days: FIRST_DAY + timedelta(days=7 * days))
CHANGES = st.integers(1, 9)


@pytest.fixture(autouse=True, scope="module")
def processes_die() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        let_processes_die(patch, FolderStore)
        let_processes_die(patch, S3Store)
        yield


class Sequences(RuleBasedStateMachine):
    """Runs on a folder. `settled` says that the last thing that happened was a run that ended well."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory(dir=memory_folder())
        self.folder = Path(self.temporary.name)
        self.lake = self.make_lake()
        self.settled = True
        self.dated_back: set[str] = set()

    def make_lake(self) -> Lake:
        return Lake(f"file://{self.folder}/lake", self.folder)

    def teardown(self) -> None:
        self.temporary.cleanup()

    @rule(members=MEMBERS, day=DAYS, supersede=st.booleans(), cut=st.booleans())
    def succeeds(self, members: Sequence[tuple[str, str]], day: date, supersede: bool, cut: bool) -> None:  # noqa: FBT001
        self.lake.run(members, day, cut=cut).whole(supersede=supersede)
        self.settled = True
        before, events = self.lake.objects(), list(self.lake.events.events)
        account = self.lake.run(members, day, cut=cut).whole(supersede=supersede)
        assert self.lake.objects() == before
        assert self.lake.events.events == events
        assert account.outcomes[MemberOutcome.DELIVERED] == 0

    @rule(members=MEMBERS, day=DAYS, changes=CHANGES, before=st.booleans())
    def dies_at_a_change(self, members: Sequence[tuple[str, str]], day: date, changes: int, before: bool) -> None:  # noqa: FBT001
        run = self.lake.run(members, day)
        with dying_after(changes, before_the_last=before):
            run.whole()
        run.end()
        self.settled = False

    @rule(members=MEMBERS, day=DAYS, damaged=st.booleans())
    def writes_are_answered_with_an_error(
        self,
        members: Sequence[tuple[str, str]],
        day: date,
        damaged: bool,  # noqa: FBT001
    ) -> None:
        run = self.lake.run(members, day, damaged=damaged)
        with losing_answers(), suppress(PipelineError):
            run.whole()
        run.end()
        self.settled = False

    @rule(members=MEMBERS, day=DAYS, most=st.integers(0, 2))
    def dies_while_it_records(self, members: Sequence[tuple[str, str]], day: date, most: int) -> None:
        run = self.lake.run(members, day)
        run.ingest()
        run.record(most)
        run.end()
        self.settled = False

    @rule(members=MEMBERS, day=DAYS)
    def is_damaged(self, members: Sequence[tuple[str, str]], day: date) -> None:
        before, events = self.whole_objects(), list(self.lake.events.events)
        run = self.lake.run(members, day, damaged=True)
        account = run.ingest()
        of_archive = {str(result.object_key) for result, _ in run.pending.ever_put()}
        run.record()
        run.finish()
        assert account.outcomes[MemberOutcome.DELIVERED] == account.rows_delivered == 0
        assert self.lake.events.events == events
        recorded, after = self.lake.ever_recorded(), self.whole_objects()
        assert after - before <= recorded, "it takes back what is not recorded"
        assert not (of_archive - recorded - self.dated_back) & after, "and what an earlier run had written"
        assert before - after <= of_archive - recorded, "and nothing else"

    def whole_objects(self) -> set[str]:
        """The keys of objects; one that was cut counts as gone, so it is written, and deleted when that is refused."""
        return {key for key, (_, size) in self.lake.objects().items() if size}

    @rule(both=st.tuples(MEMBERS, MEMBERS), days=st.tuples(DAYS, DAYS), turns=st.permutations([0, 0, 0, 1, 1, 1]))
    def run_at_once(
        self, both: tuple[Sequence[tuple[str, str]], ...], days: tuple[date, ...], turns: Sequence[int]
    ) -> None:
        runs = [self.lake.run(members, day) for members, day in zip(both, days, strict=True)]
        steps = [iter(["ingest", "record", "finish"]) for _ in runs]
        for turn in turns:
            getattr(runs[turn], next(steps[turn]))()
        self.settled = True
        dates: dict[tuple[str, str], date | None] = {}
        for event in self.lake.events.events:
            before = dates.get((event.asset, event.partition))
            if event.run in {run.name for run in runs} and before and event.recorded.source_date:
                assert event.recorded.source_date >= before, "an older archive never undoes a newer one"
            dates[event.asset, event.partition] = event.recorded.source_date
        for run in runs:
            assert run.result is not None
            assert sum(run.result.report.outcomes.values()) == run.result.report.members

    @rule(both=st.tuples(MEMBERS, MEMBERS), day=DAYS, damaged_first=st.booleans())
    def one_is_damaged_while_another_is_at_work(
        self,
        both: tuple[Sequence[tuple[str, str]], ...],
        day: date,
        damaged_first: bool,  # noqa: FBT001
    ) -> None:
        good, damaged = self.lake.run(both[0], day), self.lake.run(both[1], day, damaged=True)
        first, second = (damaged, good) if damaged_first else (good, damaged)
        first.ingest()
        second.ingest()
        damaged.end()
        good.record()
        good.finish()
        self.settled = True

    @rule(course=st.sampled_from(COURSES), hours=st.sampled_from([-2, 0, 2]), which=st.sets(st.integers(0, 2)))
    def clock_is_wrong(self, course: str, hours: int, which: set[int]) -> None:
        when = time.time() + 3600 * hours
        for number, path in enumerate(sorted(self.folder.glob(f"lake/edxorg/raw_data/*/*/*/{course}/*"))):
            if number in which:
                os.utime(path, (when, when))
                self.dated_back |= {path.relative_to(self.folder / "lake").as_posix()} if hours < 0 else set()
                # As a run that died left it: an object with such a date was written by one.
                self.lake.store.write("edxorg/unfinished/dead.0.json", b"{}")
                self.lake.events.over.add("dead")
        self.settled = False

    @rule(course=st.sampled_from(COURSES))
    def is_cut(self, course: str) -> None:
        for path in self.folder.glob(f"lake/edxorg/raw_data/*/*/*/{course}/*"):
            path.write_bytes(b"")
        self.settled = False

    @invariant()
    def what_is_recorded_is_the_newest(self) -> None:
        if self.settled:
            assert self.lake.not_newest() == []
            # By its date, an object can be older than the mark of the run that wrote it, if the clock was wrong.
            assert self.lake.without_any_record() <= self.dated_back
            assert not any(key.startswith("edxorg/unfinished/") for key in self.lake.objects())


Sequences.TestCase.settings = settings(max_examples=40, stateful_step_count=10)
TestSequences = Sequences.TestCase


def test_a_refused_archive_deletes_nothing_of_a_lake_whose_records_were_lost(tmp_path: Path) -> None:
    Lake(f"file://{tmp_path}/lake", tmp_path / "before").run([(COURSES[0], "a"), (COURSES[1], "a")], FIRST_DAY).whole()
    an_hour_ago = time.time() - 3600
    for path in tmp_path.glob("lake/edxorg/raw_data/**/*.tsv"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    lake = Lake(f"file://{tmp_path}/lake", tmp_path / "after")
    before = lake.objects()

    damaged = lake.run([(COURSES[0], "a"), (COURSES[1], "b")], FIRST_DAY, damaged=True)
    damaged.whole()

    assert len(before) == 2
    assert lake.objects() == before


def test_an_object_that_was_written_and_answered_with_an_error_is_settled_by_the_next_run(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    lake.run([(COURSES[0], "a")], FIRST_DAY).whole()
    failed = lake.run([(COURSES[0], "b")], FIRST_DAY + timedelta(days=7))
    with losing_answers():
        assert failed.whole().failed == 1
    assert len(lake.not_newest()) == 1
    lake.run([(COURSES[1], "a")], FIRST_DAY + timedelta(days=14)).whole()
    assert lake.not_newest() == []
    assert not any(key.startswith("edxorg/unfinished/") for key in lake.objects())


def tables(lake: Lake) -> set[str]:
    return {key for key in lake.objects() if key.endswith(".tsv")}


def test_what_a_dead_run_of_a_damaged_archive_wrote_is_deleted_when_it_is_refused(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    lake.run([(COURSES[0], "a")], FIRST_DAY).whole()
    lake.run([(COURSES[0], "b")], FIRST_DAY + timedelta(days=7)).whole()
    before = tables(lake)
    members = [(COURSES[0], "c"), (COURSES[1], "a")]
    dead = lake.run(members, FIRST_DAY + timedelta(days=14), damaged=True)
    with dying_after(3):  # the mark, and both tables
        dead.ingest()
    dead.end()
    assert len(tables(lake)) == len(before) + 2
    refused = lake.run(members, FIRST_DAY + timedelta(days=14), damaged=True)
    refused.whole()
    assert refused.result is not None
    assert refused.result.taken_back == 2
    assert tables(lake) == before


def test_a_damaged_archive_never_takes_an_earlier_recorded_version_with_it(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    for week, content in enumerate("ab"):
        lake.run([(COURSES[0], content)], FIRST_DAY + timedelta(days=7 * week)).whole()
    before = tables(lake)
    refused = lake.run([(COURSES[0], "a")], FIRST_DAY + timedelta(days=14), damaged=True)
    refused.whole()
    assert refused.result is not None
    assert refused.result.taken_back == 0
    assert tables(lake) == before
    assert lake.not_newest() == []


def test_a_damaged_archive_takes_its_rejects_along_but_none_that_were_there(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    lake.run([(COURSES[0], RAGGED)], FIRST_DAY).whole()
    before = lake.objects()
    members = [(COURSES[0], RAGGED), (COURSES[1], RAGGED), (COURSES[1], REJECTED)]
    refused = lake.run(members, FIRST_DAY + timedelta(days=7), damaged=True)
    refused.whole()
    assert refused.result is not None
    assert refused.result.taken_back == 3, "a table, its rejects, and those of a table that has nothing else"
    assert lake.objects() == before


def test_rejects_of_a_damaged_archive_stay_if_another_run_may_have_delivered_the_same(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    ended = lake.run([(COURSES[0], "a")], FIRST_DAY)
    ended.ingest()
    ended.end()
    refused = lake.run([(COURSES[1], RAGGED)], FIRST_DAY, damaged=True)
    refused.whole()
    assert refused.result is not None
    assert refused.result.taken_back == 1
    assert [key for key in lake.objects() if COURSES[1] in key] == [
        key for key in lake.objects() if key.startswith("edxorg/rejects/")
    ]


def test_a_mark_is_left_before_rejects_are_written(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    dead = lake.run([(COURSES[0], RAGGED)], FIRST_DAY)
    with dying_after(1):
        dead.ingest()
    dead.end()
    [mark] = lake.objects()
    assert mark.startswith("edxorg/unfinished/")


def test_what_a_dead_run_wrote_is_deleted_by_the_next_run_of_other_courses(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    for week, content in enumerate("ab"):
        lake.run([(COURSES[0], content)], FIRST_DAY + timedelta(days=7 * week)).whole()
    before = tables(lake)
    dead = lake.run([(COURSES[0], "a"), (COURSES[0], "c"), (COURSES[1], "a")], FIRST_DAY + timedelta(days=14))
    dead.ingest()
    dead.end()
    other = tmp_path / "lake/edxorg/raw_data/db_table/auth_user/prod/MITx-B-2020/notes.tsv"
    other.write_text("of another program")
    lake.run([("MITx-Z-2020", "a")], FIRST_DAY + timedelta(days=21)).whole()
    assert tables(lake) - before == {
        other.relative_to(tmp_path / "lake").as_posix(),
        *lake.recorded_keys("MITx-Z-2020"),
    }
    assert before <= tables(lake)
    assert lake.not_newest() == []


def test_what_a_dead_run_wrote_stays_while_another_run_is_at_work(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/lake", tmp_path)
    dead = lake.run([(COURSES[1], "a")], FIRST_DAY)
    dead.ingest()
    dead.end()
    at_work = lake.run([(COURSES[1], "a")], FIRST_DAY)
    at_work.ingest()
    refused = lake.run([(COURSES[1], "a")], FIRST_DAY, damaged=True)
    refused.whole()
    assert refused.result is not None
    assert refused.result.taken_back is None
    lake.run([(COURSES[0], "a")], FIRST_DAY).whole()
    at_work.record()
    at_work.finish()
    assert lake.without_any_record() == set()
    assert lake.ever_recorded() == tables(lake)
    assert not any(key.startswith("edxorg/unfinished/") for key in lake.objects())


def test_a_sequence_on_a_clock_of_whole_seconds(moto_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    keys = (moto_server.access_key_id, moto_server.secret_access_key, None)
    access = StoreAccess(aws_keys=keys, aws_region=moto_server.region, aws_endpoint_url=moto_server.endpoint_url)
    lake = Lake(f"s3://{s3_bucket}/lake", tmp_path, access)
    course = COURSES[0]
    weeks = [FIRST_DAY + timedelta(days=7 * week) for week in range(4)]
    lake.run([(course, "a"), (course, "b"), (course, EMPTY)], weeks[0]).whole()
    assert lake.not_newest() == []
    dead = lake.run([(course, "c")], weeks[1])
    dead.ingest()
    dead.end()
    assert len(lake.not_newest()) == 1
    lake.run([(COURSES[1], "a")], weeks[2]).whole()
    assert lake.not_newest() == []
    lake.run([(course, "a"), (COURSES[1], "b")], weeks[3], damaged=True).whole()
    assert lake.not_newest() == []
    # The first of two members of one place was never recorded, so the refused archive took it along.
    members = [(course, "a"), (course, "b"), (course, EMPTY)]
    outcomes = lake.run(members, weeks[3]).whole().outcomes
    assert (outcomes[MemberOutcome.DELIVERED], outcomes[MemberOutcome.UNCHANGED]) == (1, 1)
    assert lake.not_newest() == []
    before = lake.objects()
    assert lake.run(members, weeks[3]).whole().outcomes[MemberOutcome.UNCHANGED] == 2
    assert lake.objects() == before
