"""The rules by which an archive's members are taken, kept and given back, all in one process."""

from __future__ import annotations

import os
import tarfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from edxorg.lib.archive import ingestion as module
from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.ingestion import FAILURES_IN_A_ROW, Ingested, ingest_archive
from edxorg.lib.archive.marks import RunMark, marks_in
from edxorg.lib.archive.member_writer import IngestOptions, MemberWriter
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.object_keys import raw_data_asset
from edxorg.lib.settings.file_names import PREFERENCES
from edxorg.lib.workers import MAX_WORKERS
from edxorg_tests.support.archives import ARCHIVE, POST, TABLE, age, landed, table_name, tar_bytes, write_archive
from edxorg_tests.support.delivery_model import Event, Events, InThisProcess, RunView
from ol_orchestrate.lib.archives import (
    ArchiveEntry,
    ContradictedEntryError,
    DamagedArchiveError,
    EntryError,
    TruncatedArchiveError,
)
from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError, SourceChangedError
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.stores.folder_store import FolderStore
from ol_orchestrate.lib.stores.reading import VerifiedReader
from ol_orchestrate.lib.versions import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.lib.progress import Progress

TODAY = date(2024, 1, 31)
OTHER = TABLE + b"3\tBarbara\n"
BAD = TABLE * 20 + b"4\tBarbara\tLiskov\n"
DELIVERED, UNCHANGED, SUPERSEDED = MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED, MemberOutcome.SUPERSEDED
EMPTY, FAILED, LEFT_OUT = MemberOutcome.EMPTY, MemberOutcome.FAILED, MemberOutcome.LEFT_OUT
ASSET, COURSE = "edxorg/raw_data/db_table/auth_user", "MITx-6.00x-2012_Fall|prod"


class Given(NamedTuple):
    """What a pool is made with."""

    most: int
    descriptors: tuple[int, ...]


class Archives:
    """Runs of archives over one landing zone and one set of records."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.lake = folder / "lake"
        self.url: str | None = f"file://{self.lake}"
        self.events = Events()
        self.runs = 0
        self.progress: list[Progress] = []
        self.given: list[Given] = []
        self.pending = stack.enter_context(PendingRecords())

    def write(self, *members: tuple[str, bytes], name: str = ARCHIVE) -> None:
        write_archive(self.folder / name, list(members))

    def ingest(self, *members: tuple[str, bytes], name: str = ARCHIVE, day: date = TODAY, **options: Any) -> Ingested:  # noqa: ANN401
        if members:
            self.write(*members, name=name)
        self.runs += 1
        self.pending = self.stack.enter_context(PendingRecords())
        given = self.given

        class Pool(InThisProcess):
            def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401
                given.append(Given(more["most"], more["descriptors"]))
                super().__init__(*arguments, **more)

        return ingest_archive(
            open_store(f"file://{self.folder}").read(name),
            IngestOptions(self.url, archive_date=day, mark=RunMark(f"run{self.runs}"), **options),
            RunView(self.events, f"run{self.runs}"),
            self.pending,
            progress=self.progress.append,
            pool_class=Pool,
        )

    def record(self, result: Ingested, run: str | None = None, day: date = TODAY) -> list[MemberResult]:
        results = []
        for asset, of_asset in self.pending.by_asset().items():
            for each in result.still_to_record(asset, of_asset):
                assert each.version is not None
                assert each.member.partition is not None
                place = raw_data_asset(each.member.kind, each.member.table), each.member.partition
                recorded = Recorded(each.version, day, each.stats, made_from=each.made_from)
                self.events.events.append(Event(run or f"run{self.runs}", *place, recorded))
                results.append(each)
        return results

    def whole(self, *members: tuple[str, bytes], **options: Any) -> Ingested:  # noqa: ANN401
        result = self.ingest(*members, **options)
        self.record(result, day=options.get("day", TODAY))
        result.finish(list(self.pending.by_asset()))
        self.events.over.add(f"run{self.runs}")
        return result

    def results(self) -> list[MemberResult]:
        return list(chain(*self.pending.by_asset().values()))

    @property
    def marks(self) -> set[str]:
        return {mark.run for mark in marks_in(open_store(f"file://{self.lake}"))}

    def objects(self) -> set[str]:
        return {key for key in landed(self.lake) if "unfinished" not in key}

    def age(self, key: str, hours: float) -> None:
        age(self.lake / key, hours)


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Archives]:
    with ExitStack() as stack:
        yield Archives(tmp_path, stack)


USERS = (table_name(), TABLE)


class TestRecords:
    """Another run may have recorded versions before this one does."""

    @pytest.mark.parametrize(
        ("version", "day", "outcome"),
        [
            ("same", TODAY, UNCHANGED),
            ("same", date(2024, 1, 24), None),
            ("b" * 64, TODAY, None),
            ("b" * 64, date(2024, 2, 7), SUPERSEDED),
            ("b" * 64, date(2024, 1, 24), None),
        ],
    )
    def test_what_another_run_has_recorded_meanwhile_counts(
        self, archives: Archives, version: str, day: date, outcome: MemberOutcome | None
    ) -> None:
        result = archives.ingest(USERS, ("MITx-email_opt_in-prod-analytics.csv", b"user_id\n1\n"))
        ours = next(each.version for each in archives.results() if each.member.table)
        assert ours is not None
        recorded = Recorded(ours if version == "same" else version, day)
        archives.events.events.append(Event("other", ASSET, COURSE, recorded))
        recorded_now = {each.member.output for each in archives.record(result)}
        assert recorded_now == ({"email_opt_in"} if outcome else {"email_opt_in", "auth_user"})
        assert result.report.outcomes == ({DELIVERED: 1, outcome: 1} if outcome else {DELIVERED: 2})

    def test_it_counts_only_if_it_came_meanwhile(self, archives: Archives) -> None:
        archives.events.events.append(Event("other", ASSET, COURSE, Recorded("b" * 64, TODAY)))
        result = archives.ingest(USERS)
        assert len(archives.record(result)) == 1
        assert result.report.outcomes == {DELIVERED: 1}

    def test_a_later_archive_may_be_undone_if_it_is_to(self, archives: Archives) -> None:
        result = archives.ingest(USERS, supersede=True)
        archives.events.events.append(Event("other", ASSET, COURSE, Recorded("b" * 64, date(2024, 2, 7))))
        assert len(archives.record(result)) == 1

    @pytest.mark.parametrize("is_overtaken", [True, False])
    def test_places_are_settled_at_the_end_if_another_run_has_recorded(
        self, archives: Archives, *, is_overtaken: bool
    ) -> None:
        result = archives.ingest(USERS)
        (users,) = archives.objects()
        rival = users.replace(users.rpartition("/")[2], "f" * 64 + ".tsv")
        (archives.lake / rival).write_bytes(b"rival")
        archives.age(users, 2)
        archives.age(rival, 1)
        if is_overtaken:
            archives.events.events.append(Event("other", ASSET, COURSE, Recorded("f" * 64, date(2024, 1, 24))))
        archives.record(result)
        result.finish([ASSET])
        times = {key: (archives.lake / key).stat().st_mtime for key in (users, rival)}
        assert (times[users] > times[rival]) is is_overtaken
        assert archives.marks == set()


class TestRuns:
    def test_a_run_tells_how_far_it_is(self, archives: Archives) -> None:
        archives.ingest(*[(table_name(f"t{number}"), TABLE) for number in range(70)])
        size = (archives.folder / ARCHIVE).stat().st_size
        assert [each.items for each in archives.progress] == [*range(1, 71), 70]
        assert archives.progress[-1] == (size, size, 70, 140)
        assert [each.rows for each in archives.progress][62:65] == [0, 128, 128]

    def test_a_run_over_files_has_as_many_workers_as_there_may_be(self, archives: Archives) -> None:
        archives.ingest(USERS)
        archives.url = None
        archives.ingest(USERS)
        (written, (most, descriptors)) = archives.given
        assert (written.most, most, descriptors) == (MAX_WORKERS, MAX_WORKERS, ())
        assert len(written.descriptors) > 0

    def test_a_run_over_google_cloud_storage_has_two(self, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
        class Bucket:
            url = "gs://bucket"
            descriptors = ()

            def open(self) -> object:
                return open_store(f"file://{archives.lake}")

        @contextmanager
        def bucket(_: IngestOptions) -> Iterator[Bucket]:
            yield Bucket()

        monkeypatch.setattr(module, "_landing_zone", bucket)
        archives.ingest(USERS)
        assert archives.given == [(2, ())]

    def test_nothing_lands_without_a_landing_zone(self, archives: Archives) -> None:
        archives.url = None
        result = archives.whole(USERS)
        assert (result.report.outcomes, result.report.rows_delivered, result.problem) == ({DELIVERED: 1}, 2, None)
        assert archives.results() == []
        assert not archives.lake.exists()

    def test_an_archive_without_a_member_is_no_archive(self, archives: Archives) -> None:
        (archives.folder / "empty.tar").write_bytes(tar_bytes({}))
        result = archives.ingest(name="empty.tar")
        assert isinstance(result.problem, TruncatedArchiveError)
        assert result.report.problem == str(result.problem)
        assert result.report.problem == f"file://{archives.folder}/empty.tar: the archive is empty"
        assert result.report.warning is None
        name = f"{PREFERENCES}mitx-2024-01-31.tar"
        (archives.folder / name).write_bytes(tar_bytes({}))
        assert archives.ingest(name=name).problem is None
        assert not archives.ingest(USERS).report.problem

    def test_warnings_are_told(self, archives: Archives) -> None:
        (archives.folder / "plain.tar").write_bytes(tar_bytes([USERS]))
        url = f"file://{archives.folder}/plain.tar"
        unverified, unmatched = archives.ingest(
            name="plain.tar", courses=["MITx-*", "Nobody-*", "No-*"]
        ).report.warning.split("\n")  # type: ignore[union-attr]
        assert unverified == f"{url}: {module.UNVERIFIED}"
        assert unmatched == f"{url}: it has no course of these names or patterns: Nobody-*, No-*"
        assert archives.ingest(USERS, courses=["MITx-*"]).report.warning is None
        preferences = ("MITx-email_opt_in-prod-analytics.csv", b"user_id\n1\n")
        assert archives.ingest(preferences, courses=["MITx-*"]).report.warning is None


class TestBrokenArchives:
    def test_members_before_a_cut_are_delivered(self, archives: Archives) -> None:
        archives.write(USERS, (table_name("other"), os.urandom(9_000)))
        path = archives.folder / ARCHIVE
        path.write_bytes(path.read_bytes()[:-5_000])
        result = archives.ingest()
        assert isinstance(result.problem, TruncatedArchiveError)
        assert str(result.problem).startswith(f"file://{path}: ")
        assert str(result.problem).endswith(
            f", after the member {table_name('other')}. What stands before was read. "
            "Get the archive from its source again"
        )
        assert (result.is_refused, result.taken_back, result.report.problem) == (False, None, str(result.problem))
        assert result.report.outcomes == {DELIVERED: 1, FAILED: 1}
        assert len(archives.results()) == len(archives.objects()) == 1

    def test_a_file_that_is_no_archive_names_no_member(self, archives: Archives) -> None:
        (archives.folder / ARCHIVE).write_bytes(b"\x1f\x8bno gzip")
        problem = str(archives.ingest().problem)
        assert "after the member" not in problem
        assert problem.endswith(". Get the archive from its source again")
        assert "x. Get" not in problem

    def damaged(self, archives: Archives, *members: tuple[str, bytes]) -> Ingested:
        archives.write(*members)
        path = archives.folder / ARCHIVE
        content = bytearray(path.read_bytes())
        content[-6] ^= 1
        path.write_bytes(content)
        return archives.ingest()

    def test_nothing_of_a_damaged_archive_stays(self, archives: Archives) -> None:
        archives.whole(("x/" + table_name("known"), TABLE))
        before = archives.objects()
        result = self.damaged(
            archives,
            (table_name("known"), TABLE),
            USERS,
            (table_name("bad"), BAD),
            (table_name("twice"), TABLE),
            (table_name("twice"), OTHER),
            (table_name("none"), b""),
        )
        assert isinstance(result.problem, DamagedArchiveError)
        assert (result.is_refused, result.taken_back) == (True, 5)
        assert archives.objects() == before
        assert archives.results() == []
        assert result.report.outcomes == {UNCHANGED: 1, FAILED: 4, EMPTY: 1}
        assert result.report.warning is None
        assert archives.marks == set()
        result.finish([ASSET])

    def test_what_a_damaged_archive_found_stays(self, archives: Archives) -> None:
        archives.ingest(USERS)
        (archives.lake / RunMark("run1").key).unlink()
        (users,) = archives.objects()
        archives.age(users, 2)
        result = self.damaged(archives, USERS)
        assert (result.taken_back, archives.objects()) == (0, {users})
        assert result.report.outcomes == {FAILED: 1}

    def test_what_an_unfinished_run_left_of_it_goes(self, archives: Archives) -> None:
        archives.ingest(USERS)
        archives.events.over.add("run1")
        result = self.damaged(archives, USERS)
        assert (result.taken_back, archives.objects()) == (1, set())

    def test_a_damaged_archive_does_not_end_the_runs_of_others(self, archives: Archives) -> None:
        result = self.damaged(archives, USERS)
        open_store(f"file://{archives.lake}").write(RunMark("died").key, b"{}")
        archives.events.over.add("died")
        result.finish([ASSET])
        assert archives.marks == {"died"}

    def test_bytes_that_are_not_those_of_the_store_refuse_it(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def change(_: VerifiedReader) -> None:
            raise SourceChangedError("it changed")

        monkeypatch.setattr(VerifiedReader, "drain", change)
        result = archives.ingest(USERS)
        assert (str(result.problem), result.is_refused, result.taken_back) == ("it changed", True, 1)
        assert archives.objects() == set()


class TestMembers:
    def test_courses_that_nobody_wants_are_left_out(self, archives: Archives) -> None:
        other = (table_name(course="MITx-7.00x-2012_Fall"), TABLE)
        preferences = ("MITx-email_opt_in-prod-analytics.csv", b"user_id\n1\n")
        result = archives.ingest(USERS, other, preferences, courses=["MITx-7*"])
        assert result.report.outcomes == {LEFT_OUT: 1, DELIVERED: 2}
        assert result.report.members == 3
        assert {each.member.partition for each in archives.results()} == {"MITx-7.00x-2012_Fall|prod", "MITx"}

    def test_other_files_are_counted_with_their_sizes(self, archives: Archives) -> None:
        result = archives.ingest(
            USERS, ("odd.csv", b"a,b\n"), (table_name("gone") + ".failed", b"x"), ("._" + table_name(), b"Mac")
        )
        assert result.report.outcomes == {
            DELIVERED: 1,
            MemberOutcome.UNRECOGNISED: 1,
            MemberOutcome.MISSING_AT_SOURCE: 1,
            MemberOutcome.IGNORED: 1,
        }
        assert result.report.listed[MemberOutcome.UNRECOGNISED][0][1] == 4
        assert result.report.claimed_twice.total == 0

    def entries(self, monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, bytes, Exception | None]) -> None:
        """Have an archive with these entries: names, types, and errors of their content."""

        def content(error: Exception | None) -> Iterator[bytes]:
            if error:
                raise error
            yield TABLE

        def read(*_: object) -> Iterator[ArchiveEntry]:
            return (ArchiveEntry(name, kind, 7, content(error)) for name, kind, error in entries)

        monkeypatch.setattr(module, "archive_entries", read)

    def test_a_link_in_place_of_a_file_fails(self, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, link, file = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.REGTYPE
        self.entries(
            monkeypatch,
            (table_name("a"), link, None),
            ("odd.csv", link, None),
            (table_name("gone") + ".failed", link, None),
            (table_name("b"), folder, None),
            (table_name("c"), file, None),
        )
        result = archives.ingest(USERS)
        problem = "the archive says that it is a link, and its name is that of a file with data"
        assert result.report.listed[FAILED] == [(table_name("a"), 7, problem)]
        assert result.report.outcomes[FAILED] == result.report.outcomes[DELIVERED] == 1
        assert sum(result.report.outcomes.values()) == 5

    def test_a_file_that_the_archive_contradicts_fails_though_nobody_wants_it(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.entries(
            monkeypatch,
            ("odd.csv", tarfile.REGTYPE, ContradictedEntryError("two names")),
            ("odder.csv", tarfile.REGTYPE, EntryError("its checksum is wrong")),
            (table_name(), tarfile.REGTYPE, None),
            (table_name("b"), tarfile.REGTYPE, ContradictedEntryError("two sizes")),
        )
        result = archives.ingest(USERS)
        assert sorted(result.report.listed[FAILED]) == [(table_name("b"), 7, "two sizes"), ("odd.csv", 7, "two names")]
        assert result.report.outcomes == {FAILED: 2, MemberOutcome.UNRECOGNISED: 1, DELIVERED: 1}

    def test_a_file_at_which_the_archive_breaks_off_is_counted(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.entries(monkeypatch, ("odd.csv", tarfile.REGTYPE, TruncatedArchiveError("cut")))
        result = archives.ingest(USERS)
        assert isinstance(result.problem, TruncatedArchiveError)
        assert result.report.outcomes == {MemberOutcome.UNRECOGNISED: 1}

    def test_encrypted_members_fail_without_keys_and_others_do_not(self, archives: Archives) -> None:
        result = archives.ingest((table_name("a") + ".gpg", b"\x85\x01"), USERS)
        assert result.report.outcomes == {FAILED: 1, DELIVERED: 1}
        ((name, size, reason),) = result.report.listed[FAILED]
        assert (name, size) == (table_name("a") + ".gpg", 2)
        assert "key" in reason
        assert result.report.failed_until_mended == 1

    def test_rows_are_compared_with_those_before(self, archives: Archives) -> None:
        archives.whole((table_name(), BAD))
        result = archives.whole(USERS, day=date(2024, 2, 7))
        assert result.report.shrunken.total == 1
        assert result.report.new_with_rejects.total == 0
        again = archives.whole(USERS, day=date(2024, 2, 7))
        assert again.report.outcomes == {UNCHANGED: 1}

    def test_new_rejects_are_named_also_when_it_runs_again(self, archives: Archives) -> None:
        assert archives.whole((table_name(), BAD)).report.new_with_rejects.total == 1
        assert archives.whole((table_name(), BAD)).report.new_with_rejects.total == 1
        assert archives.whole((table_name(), BAD), day=date(2024, 2, 7)).report.new_with_rejects.total == 0


class TestPlacesClaimedTwice:
    TWICE = table_name()

    def test_the_last_one_with_content_counts(self, archives: Archives) -> None:
        result = archives.whole(
            (self.TWICE, TABLE), USERS, (self.TWICE, OTHER), (self.TWICE, b""), ("x/" + self.TWICE, b"")
        )
        assert result.report.claimed_twice.total == 4
        assert result.report.claimed_twice.first[-1] == "x/" + self.TWICE
        (kept,) = archives.results()
        assert kept.stats.rows == 3
        newest = max(archives.objects(), key=lambda key: (archives.lake / key).stat().st_mtime_ns)
        assert newest == kept.object_key

    def test_an_earlier_one_that_was_there_counts_as_unchanged(self, archives: Archives) -> None:
        archives.ingest((self.TWICE, TABLE))
        result = archives.ingest((self.TWICE, TABLE), (self.TWICE, OTHER))
        assert result.report.outcomes == {UNCHANGED: 1, DELIVERED: 1}
        assert [each.stats.rows for each in archives.results()] == [3]
        result = archives.ingest((self.TWICE, b"id\tname\n7\tx\n"), (self.TWICE, TABLE))
        assert result.report.outcomes == {DELIVERED: 2}
        assert [each.stats.rows for each in archives.results()] == [2]

    def test_one_that_is_recorded_already_takes_the_place(self, archives: Archives) -> None:
        archives.whole((self.TWICE, TABLE))
        (known,) = archives.objects()
        result = archives.ingest((self.TWICE, OTHER), (self.TWICE, TABLE))
        assert archives.results() == []
        assert result.report.outcomes == {DELIVERED: 1, UNCHANGED: 1}
        newest = max(archives.objects(), key=lambda key: (archives.lake / key).stat().st_mtime_ns)
        assert newest == known

    def test_the_rows_of_a_forum_have_a_place_too(self, archives: Archives) -> None:
        name = "MITx-6.00x-2012_Fall-prod.mongo"
        result = archives.whole((name, POST), (name, POST + POST))
        assert result.report.claimed_twice.total == 1
        assert [each.stats.rows for each in archives.results()] == [None, 2]


class TestStores:
    def failing(self, monkeypatch: pytest.MonkeyPatch, error: Exception, *tables: str) -> None:
        write = FolderStore.write

        def refuse(store: FolderStore, key: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
            if any(f"/db_table/{table}/" in key for table in tables):
                raise error
            write(store, key, *arguments, **options)

        monkeypatch.setattr(FolderStore, "write", refuse)

    @pytest.mark.parametrize("fails", [True, False])
    def test_the_mark_stays_if_an_object_may_have_been_written(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch, *, fails: bool
    ) -> None:
        self.failing(monkeypatch, ServiceError("no answer"), *(["a"] if fails else []))
        result = archives.whole((table_name("a"), TABLE), (table_name("b"), TABLE))
        assert result.report.outcomes == ({FAILED: 1, DELIVERED: 1} if fails else {DELIVERED: 2})
        assert archives.marks == ({"run1"} if fails else set())

    @pytest.mark.parametrize(
        ("error", "kind"),
        [(ServiceError("no answer"), ServiceError), (AccessRefusedError("no entry"), AccessRefusedError)],
    )
    def test_a_run_ends_after_twenty_failures_in_a_row(
        self, archives: Archives, error: Exception, kind: type[PipelineError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert FAILURES_IN_A_ROW == 20
        names = [f"t{number}" for number in range(20)]
        self.failing(monkeypatch, error, *names)
        members = [(table_name(name), TABLE) for name in names]
        result = archives.ingest(*members[:19], (table_name("good"), TABLE), *members[:19])
        assert result.report.outcomes == {FAILED: 38, DELIVERED: 1}
        with pytest.raises(kind) as ended:
            archives.ingest(*members)
        assert str(ended.value) == (
            f"20 members in a row could not be written. The last one, {table_name('t19')}: {error}. "
            "Nothing of this run is recorded; the next one finds what was written"
        )

    def test_rows_of_a_forum_have_no_size_in_the_archive(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = FolderStore.write

        def refuse(store: FolderStore, key: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
            if "/forum_posts/" in key:
                raise ServiceError("no answer")
            write(store, key, *arguments, **options)

        monkeypatch.setattr(FolderStore, "write", refuse)
        name = "MITx-6.00x-2012_Fall-prod.mongo"
        result = archives.ingest((name, POST))
        assert (result.report.outcomes, result.report.failed) == ({DELIVERED: 1}, 1)
        assert result.report.listed[FAILED] == [(name, 0, "no answer")]

    def test_a_member_that_cannot_be_read_is_no_failure_of_the_store(self, archives: Archives) -> None:
        result = archives.ingest(*[(table_name(f"t{number}"), b"id\tid\n1\t2\n") for number in range(40)])
        assert result.report.outcomes == {FAILED: 40}


class TestSettling:
    """A version that is recorded, or is to be, has to be the newest object of its place."""

    def rival(self, archives: Archives, key: str, hours: float) -> None:
        rival = key.rpartition("/")[0] + "/" + "f" * 64 + ".tsv"
        (archives.lake / rival).write_bytes(b"rival")
        archives.age(rival, hours)

    @pytest.mark.parametrize("is_recorded", [True, False])
    def test_it_is_made_the_newest(self, archives: Archives, *, is_recorded: bool) -> None:
        archives.ingest(USERS)
        (users,) = archives.objects()
        if is_recorded:
            archives.whole()
        archives.age(users, 2)
        self.rival(archives, users, 1)
        result = archives.whole(USERS)
        assert result.report.outcomes == {UNCHANGED if is_recorded else DELIVERED: 1}
        assert (archives.lake / users).stat().st_mtime > datetime.now(UTC).timestamp() - 600

    def test_the_version_of_a_later_archive_is_made_the_newest(self, archives: Archives) -> None:
        archives.whole(USERS, day=date(2024, 2, 7))
        (users,) = archives.objects()
        archives.age(users, 2)
        self.rival(archives, users, 1)
        result = archives.whole((table_name(), OTHER))
        assert result.report.outcomes == {SUPERSEDED: 1}
        assert (archives.lake / users).stat().st_mtime > datetime.now(UTC).timestamp() - 600

    @pytest.mark.parametrize("is_recorded", [True, False])
    def test_one_that_cannot_be_fails_and_is_not_recorded(self, archives: Archives, *, is_recorded: bool) -> None:
        (archives.whole if is_recorded else archives.ingest)(USERS, (table_name("zzz"), TABLE))
        for key in archives.objects():
            if "/auth_user/" in key:
                content = (archives.lake / key).read_bytes()
                (archives.lake / key).write_bytes(b"X" + content[1:])  # as long, and damaged
            archives.age(key, 2)
            self.rival(archives, key, 1)
        result = archives.ingest(USERS, (table_name("zzz"), TABLE))
        assert result.report.outcomes == {FAILED: 1, UNCHANGED if is_recorded else DELIVERED: 1}
        assert [each.member.table for each in archives.results()] == ([] if is_recorded else ["zzz"])
        ((name, _, reason),) = result.report.listed[FAILED]
        assert name == table_name()
        assert "the SHA-256 of its bytes is not the one in its name" in reason
        archives.record(result)
        result.finish([])
        assert f"run{archives.runs}" in archives.marks

    def test_one_that_another_program_deletes_meanwhile_fails_if_it_is_new(
        self, archives: Archives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        members = [(table_name("a"), TABLE), (table_name("b"), TABLE)]
        archives.ingest(members[0])
        for number, known in enumerate((False, True)):
            if known:
                archives.whole(*members)
            for key in archives.objects():
                archives.age(key, 2)
                self.rival(archives, key, 1)
            deliver = MemberWriter.deliver

            def deliver_and_wait(*arguments: Any, _deliver: Any = deliver) -> Any:  # noqa: ANN401
                written = _deliver(*arguments)
                written.result()
                for key in archives.objects():
                    if "/a/" in key and "f" * 64 not in key:
                        (archives.lake / key).unlink()
                return written

            with monkeypatch.context() as patch:
                patch.setattr(MemberWriter, "deliver", deliver_and_wait)
                result = archives.ingest(*members)
            assert result.report.outcomes[FAILED] == (0 if known else 1), number
            assert "a" not in {each.member.table for each in archives.results()}
            if known:
                assert (
                    archives.lake / next(key for key in archives.objects() if "/b/" in key and "f" * 64 not in key)
                ).stat().st_mtime > datetime.now(UTC).timestamp() - 600
