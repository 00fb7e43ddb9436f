"""An archive of which some is there already: nothing is written, recorded or converted twice."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.object_keys import raw_data_asset
from edxorg.lib.tables import Dialect
from edxorg_tests.support.archives import TABLE, landed, table_name, times, write_archive
from edxorg_tests.support.ingestion import TODAY, Outcome, ingest
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.versions import Recorded, TableStats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class TestWhatIsThereAlready:
    @pytest.fixture(autouse=True, params=[True, False], ids=["known", "converted"])
    def remembers(self, request: pytest.FixtureRequest) -> None:
        """Whether the record tells what a table was made from; if not, it is converted before it is compared."""
        self.remembering: bool = request.param

    def recorded(self, result: Outcome, day: date = TODAY) -> dict[str, dict[str, Recorded]]:
        known: dict[str, dict[str, Recorded]] = {}
        for each in result.results:
            assert each.version is not None
            assert each.member.course is not None
            asset = f"edxorg/raw_data/db_table/{each.member.table}"
            made_from = each.made_from if self.remembering else None
            of_course = Recorded(each.version, day, stats=each.stats, made_from=made_from)
            known.setdefault(asset, {})[each.member.course.key()] = of_course
        return known

    def test_nothing_is_written_or_recorded_twice(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE, table_name("bad"): b"a\tb\n1\n2\t3\n4\t5\n6\t7\n"})
        first = ingest(archive, lake)
        written = times(lake)
        again = ingest(archive, lake, self.recorded(first))
        assert again.report.outcomes == {MemberOutcome.UNCHANGED: 2}
        assert len(again.results) == 0
        assert times(lake) == written

    def test_what_a_killed_run_wrote_is_recorded_and_not_written_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        ingest(archive, lake)
        written = times(lake)
        again = ingest(archive, lake)
        assert len(again.results) == 1
        assert times(lake) == written

    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "0 bytes"])
    def test_rejects_of_an_unchanged_table_are_written_again(
        self, damage: Callable[[Path], object], archive: Path, lake: Path
    ) -> None:
        write_archive(archive, {table_name(): TABLE + b"3\tBarbara\tLiskov\n"})
        first = ingest(archive, lake)
        content = landed(lake)
        (rejects,) = (key for key in content if "/rejects/" in key)
        damage(lake / rejects)
        again = ingest(archive, lake, self.recorded(first))
        assert again.report.outcomes == {MemberOutcome.UNCHANGED: 1}
        assert landed(lake) == content

    def test_a_lost_object_is_written_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE, table_name("other"): TABLE})
        first = ingest(archive, lake)
        lost = next(iter(landed(lake)))
        (lake / lost).unlink()
        again = ingest(archive, lake, self.recorded(first))
        assert again.report.outcomes == {MemberOutcome.UNCHANGED: 1, MemberOutcome.DELIVERED: 1}
        assert [each.object_key for each in again.results] == [lost]
        assert lost in landed(lake)

    def test_an_older_archive_does_not_undo_a_later_one(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        later = {
            "edxorg/raw_data/db_table/auth_user": {"MITx-6.00x-2012_Fall|prod": Recorded("0" * 64, date(2024, 2, 7))}
        }
        result = ingest(archive, lake, later)
        assert result.report.outcomes == {MemberOutcome.SUPERSEDED: 1}
        assert (result.results, landed(lake)) == ([], {})
        forced = ingest(archive, lake, later, supersede=True)
        assert forced.report.outcomes == {MemberOutcome.DELIVERED: 1}

    def test_what_a_later_archive_brought_of_the_same_counts_as_superseded(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        later = self.recorded(ingest(archive, lake), date(2024, 2, 7))
        assert ingest(archive, lake, later).report.outcomes == {MemberOutcome.SUPERSEDED: 1}

    def test_of_two_members_with_one_name_the_last_is_recorded(self, archive: Path, lake: Path) -> None:
        other = TABLE + b"3\tBarbara\n"
        write_archive(archive, [(table_name(), TABLE), (f"again/{table_name()}", other)])
        result = ingest(archive, lake)
        assert [each.stats.rows for each in result.results] == [3]
        assert result.report.claimed_twice.first == [f"again/{table_name()}"]
        newest = max(times(lake).items(), key=lambda item: item[1])[0]
        assert newest == result.results[0].object_key
        assert len(landed(lake)) == 2


class TestWhatIsNotConvertedAgain:
    """The record says that there are 999 rows, so that it shows where a count comes from."""

    def counted(self, archive: Path, lake: Path, result: Outcome, dialect: Mapping[str, Dialect] | None = None) -> int:
        (made,) = result.results
        assert made.version is not None
        known = {
            "MITx-6.00x-2012_Fall|prod": Recorded(made.version, TODAY, stats=TableStats(999), made_from=made.made_from)
        }
        again = ingest(archive, lake, {"edxorg/raw_data/db_table/auth_user": known}, dialect=dialect)
        return again.report.tables["auth_user"].rows

    def test_a_table_of_the_same_bytes_is_not_converted_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        assert self.counted(archive, lake, ingest(archive, lake)) == 999

    def test_a_streamed_table_of_the_same_bytes_is_not_converted_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): b"id\tname\n" + b"1\tAda\n" * 300_000})
        assert self.counted(archive, lake, ingest(archive, lake)) == 999

    def test_a_table_of_other_bytes_is_converted(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        first = ingest(archive, lake)
        write_archive(archive, {table_name(): TABLE + b"3\tBarbara\n"})
        assert self.counted(archive, lake, first) == 3

    def test_the_same_bytes_are_converted_again_with_other_options(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE})
        first = ingest(archive, lake)
        assert self.counted(archive, lake, first, dialect={"auth_user": Dialect.QUOTED}) == 2

    def test_a_table_with_rejects_is_converted_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): TABLE + b"3\tBarbara\tLiskov\n"})
        first = ingest(archive, lake)
        assert [each.made_from for each in first.results] == [None]
        assert self.counted(archive, lake, first) == 2

    def test_a_table_too_large_to_be_held_is_converted_again(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): b"id\tname\n" + b"1\tAda Lovelace\n" * 600_000})
        assert self.counted(archive, lake, ingest(archive, lake)) == 600_000


class TestForumsThatAreNotConvertedAgain:
    FORUM = "MITx-6.00x-2012_Fall-prod.mongo"
    POST = b'{"_id": "1", "_type": "Comment"}\n'

    def again(self, archive: Path, lake: Path, first: Outcome) -> Outcome:
        """Ingest with records of the first run; they say that there are 999 posts, to show where a count comes from."""
        known = {
            raw_data_asset(each.member.kind): {
                str(each.member.partition): Recorded(
                    str(each.version), TODAY, stats=TableStats(999), made_from=each.made_from
                )
            }
            for each in first.results
        }
        return ingest(archive, lake, known)

    def test_a_forum_of_the_same_bytes_is_not(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {self.FORUM: self.POST})
        first, written = ingest(archive, lake), times(lake)
        again = self.again(archive, lake, first)
        assert again.report.tables["forum_posts"].rows == 999
        assert (again.report.outcomes, again.results) == ({MemberOutcome.UNCHANGED: 1}, [])
        assert times(lake) == written

    def test_a_forum_of_other_bytes_is(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {self.FORUM: self.POST})
        first = ingest(archive, lake)
        write_archive(archive, {self.FORUM: self.POST * 2})
        again = self.again(archive, lake, first)
        assert again.report.tables["forum_posts"].rows == 2
        assert len(again.results) == 2

    def test_a_forum_with_rejects_is(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {self.FORUM: self.POST + b"no post\n"})
        first = ingest(archive, lake)
        assert self.again(archive, lake, first).report.tables["forum_posts"].rows == 1

    @pytest.mark.parametrize("gone", ["forum_mongo", "forum_posts"])
    def test_a_forum_with_an_object_that_is_gone_is(self, gone: str, archive: Path, lake: Path) -> None:
        write_archive(archive, {self.FORUM: self.POST})
        first = ingest(archive, lake)
        content = landed(lake)
        (path,) = (lake / key for key in content if gone in key)
        path.unlink()
        self.again(archive, lake, first)
        assert landed(lake) == content


def test_two_ingestions_at_once_end_in_the_same_objects(archive: Path, lake: Path, tmp_path: Path) -> None:
    write_archive(archive, {table_name(f"t{number}"): TABLE + b"3\t%d\n" % number for number in range(300)})
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
        "result = ingest(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert result.report.failed == 0, result.report.as_json()\n"
        "assert len(result.results) == 300\n"
    )
    command = [sys.executable, "-c", program, str(archive), str(lake)]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]  # noqa: S603
    assert [each.wait() for each in both] == [0, 0]
    ingest(archive, tmp_path / "alone")
    # Each may have kept its mark, as the other was at work; the next run takes them away.
    both_landed = {key: content for key, content in landed(lake).items() if not key.startswith("edxorg/unfinished/")}
    assert both_landed == landed(tmp_path / "alone")
