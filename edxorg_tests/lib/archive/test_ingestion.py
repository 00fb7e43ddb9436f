"""From an archive to objects and an report, without Dagster: good members, and every kind of bad ones."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from datetime import date
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from edxorg.lib.archive.ingest_report import IngestReport, MemberOutcome, MemberResult
from edxorg.lib.archive.ingestion import MAX_WORKERS_WITH_GCS, ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.tables import Dialect
from edxorg.lib.workers import MAX_WORKERS, WorkerPool
from edxorg_tests.support.archives import ARCHIVE, POST, TABLE, landed, table_name, tar_bytes, times, write_archive
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.archives import ArchiveError
from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError, SourceChangedError
from ol_orchestrate.lib.stores import StoreAccess, open_store
from ol_orchestrate.lib.versions import Recorded, TableStats
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ol_orchestrate.testing.servers import GCSServer, S3Server

TODAY = date(2024, 1, 31)


class Outcome(NamedTuple):
    """What came of an archive, and what is to be recorded."""

    report: IngestReport
    results: list[MemberResult]
    problem: PipelineError | None


class Known(NothingRecorded):
    """Records that stay as they are."""

    def __init__(self, recorded: Mapping[str, Mapping[str, Recorded]]) -> None:
        self._recorded = recorded

    def latest(self, asset: str) -> Mapping[str, Recorded]:
        return self._recorded.get(asset, {})


def ingest(
    archive: Path,
    landing_zone: Path,
    recorded: Mapping[str, Mapping[str, Recorded]] | None = None,
    *,
    supersede: bool = False,
    dialect: Mapping[str, Dialect] | None = None,
) -> Outcome:
    options = IngestOptions(f"file://{landing_zone}", archive_date=TODAY, supersede=supersede, dialect=dialect or {})
    source = open_store(f"file://{archive.parent}").read(archive.name)
    with PendingRecords() as to_record:
        result = ingest_archive(source, options, Known(recorded or {}), to_record, workers=1)
        results = list(chain(*to_record.by_asset().values()))
        result.finish([])
        report = result.report
        assert sum(report.outcomes.values()) == report.members, report.sum_of_outcomes()
        return Outcome(report, results, result.problem)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archives" / ARCHIVE


def rows(content: bytes) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    return list(csv.DictReader(content.decode().splitlines(keepends=True), delimiter="\t"))


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "outcome"), [("auth_user", MemberOutcome.FAILED), ("brand_new_table", MemberOutcome.DELIVERED)]
    )
    def test_a_header_without_any_column_of_the_dictionary_fails_a_table_that_is_in_it(
        self, archive: Path, lake: Path, name: str, outcome: MemberOutcome
    ) -> None:
        write_archive(archive, {table_name(name): b"ada\tlovelace\nbob\tbabbage\n"})
        result = ingest(archive, lake)
        assert result.report.outcomes == {outcome: 1}
        assert len(landed(lake)) == (outcome is MemberOutcome.DELIVERED)


class TestGoodMembers:
    def test_each_kind_lands_under_its_key(self, archive: Path, lake: Path) -> None:
        course = "MITx-6.00x-2012_Fall"
        write_archive(
            archive,
            {
                table_name(): TABLE,
                f"x/{course}-course_structure-prod-analytics.json": b"{}",
                f"x/{course}-course-prod-analytics.xml.tar.gz": b"\x1f\x8b",
                f"x/{course}-edge.mongo": POST,
                f"ora/{table_name('submissions_score', site='edge')}": TABLE,
            },
        )
        result = ingest(archive, lake)
        assert {key.rpartition("/")[0] for key in landed(lake)} == {
            f"edxorg/raw_data/db_table/auth_user/prod/{course}",
            f"edxorg/raw_data/course_structure/prod/{course}",
            f"edxorg/raw_data/course_xml/prod/{course}",
            f"edxorg/raw_data/forum_mongo/edge/{course}",
            f"edxorg/processed_data/forum_posts/edge/{course}",
            f"edxorg/raw_data/db_table/submissions_score/edge/{course}",
        }
        assert {Path(key).name.split(".", 1)[1] for key in landed(lake)} == {"tsv", "json", "xml.tar.gz", "mongo"}
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 5}
        assert [each.object_key for each in result.results] == [
            next(key for key in landed(lake) if each.version and each.version in key) for each in result.results
        ]

    def test_a_forum_lands_as_it_is_and_as_rows_with_its_rejects(self, archive: Path, lake: Path) -> None:
        forum = POST + b"no post\n" + POST
        write_archive(archive, {"MITx-6.00x-2012_Fall-prod.mongo": forum})
        result = ingest(archive, lake)
        course = "prod/MITx-6.00x-2012_Fall"
        contents = {key.rpartition("/")[0]: content for key, content in landed(lake).items()}
        assert contents.keys() == {
            f"edxorg/raw_data/forum_mongo/{course}",
            f"edxorg/processed_data/forum_posts/{course}",
            f"edxorg/rejects/forum_posts/{course}",
        }
        assert contents[f"edxorg/raw_data/forum_mongo/{course}"] == forum
        posts = contents[f"edxorg/processed_data/forum_posts/{course}"].splitlines()
        assert [json.loads(line)["_id"] for line in posts] == ["p1", "p1"]
        reject = json.loads(contents[f"edxorg/rejects/forum_posts/{course}"])
        assert (reject["line"], reject["reason"], reject["raw"]) == (2, "invalid_json", "no post")
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 1}
        assert (result.report.tables["forum_posts"].rows, result.report.rows_rejected) == (2, {"invalid_json": 1})

    def test_email_preferences_land_by_organization(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {"MITx-email_opt_in-prod-analytics.csv": b"user_id\n1\n"})
        result = ingest(archive, lake)
        [(key, content)] = landed(lake).items()
        assert key == f"edxorg/raw_data/email_opt_in/MITx/{sha256(content).hexdigest()}.csv"
        assert content == b"user_id\n1\n"
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 1}

    def test_a_table_has_its_rows_and_where_they_come_from(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(course="MITx-6.00.1-x-1T2014", site="edge"): TABLE})
        ingest(archive, lake)
        (content,) = landed(lake).values()
        assert [row["name"] for row in rows(content)] == ["Ada", "Grace"]
        first = rows(content)[0]
        assert first["extracted_course_key"] == "MITx-6.00.1-x-1T2014"
        assert first["extracted_course_organization"] == "MITx"
        assert first["extracted_course_number"] == "6.00.1-x"
        assert first["extracted_course_run"] == "1T2014"
        assert first["extracted_source_platform"] == "edxorg_edge"
        assert len(first["row_hash"]) == 64

    def test_an_unknown_table_is_delivered(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name("brand_new_table"): TABLE})
        result = ingest(archive, lake)
        assert next(iter(landed(lake))).startswith("edxorg/raw_data/db_table/brand_new_table/prod/")
        assert result.report.rows_delivered == 2

    def test_a_large_member_is_streamed(self, archive: Path, lake: Path) -> None:
        lines = [b"%d\t%s" % (number, b"x" * 100) for number in range(40_000)]
        write_archive(archive, {table_name(): b"id\tname\n" + b"\n".join(lines) + b"\n", table_name("other"): TABLE})
        result = ingest(archive, lake)
        assert result.report.rows_delivered == 40_002
        assert {len(rows(content)) for content in landed(lake).values()} == {2, 40_000}

    def test_members_that_do_not_land_are_counted_and_listed(self, archive: Path, lake: Path) -> None:
        write_archive(
            archive,
            {
                table_name() + ".failed": b"Traceback (most recent call last):\n",
                "odd.csv": b"a,b\n",
                "._" + table_name(): b"AppleDouble",
                table_name("empty"): b"",
                table_name("header_only"): b"id\tname\n",
            },
        )
        report = ingest(archive, lake).report
        assert report.outcomes == {
            MemberOutcome.MISSING_AT_SOURCE: 1,
            MemberOutcome.UNRECOGNISED: 1,
            MemberOutcome.IGNORED: 1,
            MemberOutcome.EMPTY: 2,
        }
        assert report.listed[MemberOutcome.MISSING_AT_SOURCE][0][0] == table_name() + ".failed"
        assert report.listed[MemberOutcome.UNRECOGNISED][0][1] == 4
        assert landed(lake) == {}
        assert report.failed == 0


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


class TestBrokenTables:
    def test_ragged_rows_and_invalid_utf8_are_set_aside(self, archive: Path, lake: Path) -> None:
        content = b"id\tname\n1\ta\n2\tb\tc\n3\td\n4\t\xff\n5\te\n"
        write_archive(archive, {table_name(): content})
        result = ingest(archive, lake)
        assert result.report.rows_rejected == {"too_many_fields": 1, "invalid_utf8": 1}
        (table,) = (key for key in landed(lake) if key.endswith(".tsv"))
        (rejects,) = (key for key in landed(lake) if key.endswith(".ndjson"))
        assert rejects.startswith("edxorg/rejects/db_table/auth_user/prod/MITx-6.00x-2012_Fall/")
        assert [row["id"] for row in rows(landed(lake)[table])] == ["1", "3", "5"]
        lines = [json.loads(line) for line in landed(lake)[rejects].splitlines()]
        assert [line["line"] for line in lines] == [3, 5]
        assert result.results[0].rejects_key == rejects
        assert result.report.failed == 0

    @pytest.mark.parametrize(
        "content",
        [b"\n1\t2\n", b"id\tid\n1\t2\n", b"\x00\x01\n1\n", b"id\t\n1\t2\n", b"\xff\xfe\n1\n"],
        ids=["no header", "a column twice", "control characters", "a column without a name", "no UTF-8"],
    )
    def test_a_table_without_a_usable_header_fails_alone(self, archive: Path, lake: Path, content: bytes) -> None:
        write_archive(archive, {table_name("bad"): content, table_name("good"): TABLE})
        result = ingest(archive, lake)
        assert result.report.outcomes == {MemberOutcome.FAILED: 1, MemberOutcome.DELIVERED: 1}
        (path, _, why) = result.report.listed[MemberOutcome.FAILED][0]
        assert path == table_name("bad")
        assert "header" in why or "column" in why
        assert result.report.failed_for_now == 0
        assert [each.member.table for each in result.results] == ["good"]

    def test_a_table_whose_rows_are_all_rejected_fails_and_its_rejects_land(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(): b"id\tname\n1\t2\t3\n4\t5\t6\n"})
        result = ingest(archive, lake)
        assert result.report.outcomes == {MemberOutcome.FAILED: 1}
        (rejects,) = landed(lake)
        assert rejects.endswith(".ndjson")
        assert len(landed(lake)[rejects].splitlines()) == 2

    def test_a_forced_reading_is_taken(self, archive: Path, lake: Path) -> None:
        content = b'a\tb\n1\t"x\ty"\n'
        write_archive(archive, {table_name(): content})
        ingest(archive, lake, dialect={"auth_*": Dialect.PLAIN})
        assert [key for key in landed(lake) if key.endswith(".tsv")] == []

    def test_a_record_of_100_mb_is_set_aside_whole(self, archive: Path, lake: Path) -> None:
        long = b"9\t" + b"x" * (100 << 20)
        write_archive(archive, {table_name(): TABLE + long + b"\n3\tBarbara\n"})
        result = ingest(archive, lake)
        assert result.report.rows_rejected == {"oversized": 1}
        (record,) = (key for key in landed(lake) if key.endswith(".record"))
        assert landed(lake)[record] == long
        (line,) = (json.loads(content) for key, content in landed(lake).items() if key.endswith(".ndjson"))
        assert line["length"] == len(long)
        assert record.endswith(f"/{line['sha256']}.record")


class TestBrokenArchives:
    def broken(self, archive: Path, lake: Path, data: bytes) -> Outcome:
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(data)
        result = ingest(archive, lake)
        assert isinstance(result.problem, ArchiveError)
        assert not result.problem.is_transient
        assert str(archive) in str(result.problem)
        return result

    def test_a_truncated_gzip_gives_what_came_before(self, archive: Path, lake: Path) -> None:
        members = {table_name(f"t{number}"): TABLE + os.urandom(2000).hex().encode() for number in range(20)}
        whole = write_archive(archive, members).read_bytes()
        result = self.broken(archive, lake, whole[: len(whole) // 2])
        complete = result.report.outcomes[MemberOutcome.DELIVERED]
        assert 5 < complete < 15
        assert len(result.results) == complete
        assert table_name(f"t{complete}") in str(result.problem)
        assert "breaks off" in str(result.problem)

    def test_a_large_member_that_breaks_off_fails_and_is_named(self, archive: Path, lake: Path) -> None:
        large = b"id\tname\n" + b"".join(b"%d\t%s\n" % (n, os.urandom(50).hex().encode()) for n in range(30_000))
        whole = write_archive(archive, {table_name("small"): TABLE, table_name("large"): large}).read_bytes()
        result = self.broken(archive, lake, whole[: len(whole) * 3 // 4])
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 1, MemberOutcome.FAILED: 1}
        assert result.report.listed[MemberOutcome.FAILED][0][0] == table_name("large")
        assert [key for key in landed(lake) if "/large/" in key] == []

    def test_a_wrong_checksum_of_the_gzip_refuses_the_archive(self, archive: Path, lake: Path) -> None:
        members = {table_name(f"t{number}"): TABLE + b"3\t" + b"x" * 500_000 + b"\n" for number in range(10)}
        data = bytearray(write_archive(archive, members).read_bytes())
        data[-6] ^= 1
        result = self.broken(archive, lake, bytes(data))
        assert result.report.outcomes[MemberOutcome.FAILED] >= 7
        assert result.report.rows_delivered == 0
        assert (result.results, landed(lake)) == ([], {})
        assert "checksum" in str(result.problem)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "empty"),
            (b"PK\3\4 a zip file", "no gzip"),
            (gzip.compress(b"this is no tar at all\n" * 100), "no tar"),
            (gzip.compress(tar_bytes({})), "empty"),
        ],
        ids=["nothing", "no gzip", "no tar", "no members"],
    )
    def test_a_file_that_is_no_archive_is_refused(self, archive: Path, lake: Path, data: bytes, message: str) -> None:
        result = self.broken(archive, lake, data)
        assert message in str(result.problem)
        assert (result.results, landed(lake)) == ([], {})

    def test_hostile_members_land_nowhere(self, archive: Path, lake: Path) -> None:
        names = ["../../etc/passwd", f"../{table_name()}", f"/abs/{table_name()}", table_name(course="a|b-c-d")]
        write_archive(archive, [(name, TABLE) for name in names])
        result = ingest(archive, lake)
        assert result.report.outcomes == {MemberOutcome.UNRECOGNISED: len(names)}
        assert landed(lake) == {}

    def test_a_bomb_is_set_aside_and_takes_little_memory(self, archive: Path, lake: Path) -> None:
        size = 300 << 20
        archive.parent.mkdir()
        with tarfile.open(archive, "w:gz", compresslevel=9) as tar, Path("/dev/zero").open("rb") as zeros:
            for name, unpacked in ((table_name("bomb"), size), (table_name(), len(TABLE))):
                info = tarfile.TarInfo(name)
                info.size = unpacked
                tar.addfile(info, zeros if unpacked == size else io.BytesIO(TABLE))
        assert size / archive.stat().st_size > 900
        program = (
            "import json, sys\n"
            "from pathlib import Path\n"
            "from benchmarks.measure import measured\n"
            "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
            "with measured() as taken:\n"
            "    report = ingest(Path(sys.argv[1]), Path(sys.argv[2])).report\n"
            "print(json.dumps([report.as_json(), taken.peak_bytes]))\n"
        )
        report, peak = json.loads(in_a_process(program, archive, lake, prefix=[]))
        assert (report["delivered"], report["failed"]) == (1, 1)
        assert report["listed"]["failed"][0]["member"] == table_name("bomb")
        assert peak < 256 << 20, "of all processes together"


class TestBrokenStores:
    def test_a_source_that_changes_while_it_is_read_is_refused(self, archive: Path, lake: Path) -> None:
        write_archive(
            archive, {table_name(f"t{n}"): TABLE + b"3\t%s\n" % os.urandom(3000).hex().encode() for n in range(300)}
        )
        source = open_store(f"file://{archive.parent}").read(archive.name)
        archive.write_bytes(archive.read_bytes() + b"\0")
        with PendingRecords() as to_record:
            result = ingest_archive(source, IngestOptions(f"file://{lake}"), NothingRecorded(), to_record, workers=1)
            assert len(to_record) == 0
        assert isinstance(result.problem, SourceChangedError)
        assert ARCHIVE in str(result.problem)
        report = result.report
        assert sum(report.outcomes.values()) == report.members
        assert report.outcomes.keys() == {MemberOutcome.FAILED}
        assert landed(lake) == {}

    def test_a_landing_zone_that_cannot_be_written_ends_the_run_soon(self, archive: Path, lake: Path) -> None:
        lake.write_bytes(b"a file where a folder should be")
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        with pytest.raises(PipelineError, match="in a row") as caught:
            ingest(archive, lake)
        assert str(lake) in str(caught.value)
        assert isinstance(caught.value, (AccessRefusedError, ServiceError))

    def test_a_folder_without_permission_ends_the_run_soon(self, archive: Path, lake: Path) -> None:
        lake.mkdir(mode=0o500)
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
            "from ol_orchestrate.lib.errors import AccessRefusedError\n"
            "try:\n"
            "    ingest(Path(sys.argv[1]), Path(sys.argv[2]))\n"
            "except AccessRefusedError as error:\n"
            "    print(error)\n"
        )
        said = in_a_process(program, archive, lake, prefix=bound_by_permissions())
        assert "members in a row could not be written" in said
        assert f"file://{lake}/edxorg/unfinished/" in said  # the mark is the first object
        assert "no permission (Permission denied). Let this user read and write the folder" in said
        assert "Nothing of this run is recorded" in said
        assert list(lake.iterdir()) == []

    def test_a_bucket_without_permission_ends_the_run_soon(self, archive: Path, guarded_s3_server: S3Server) -> None:
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        access = StoreAccess(
            aws_keys=(guarded_s3_server.access_key_id, "wrong", None),
            aws_region=guarded_s3_server.region,
            aws_endpoint_url=guarded_s3_server.endpoint_url,
        )
        source = open_store(f"file://{archive.parent}").read(archive.name)
        refusal = r"in a row.* s3://bucket/lake/.* refuses access"
        with PendingRecords() as to_record, pytest.raises(AccessRefusedError, match=refusal) as caught:
            ingest_archive(source, IngestOptions("s3://bucket/lake", access), NothingRecorded(), to_record, workers=1)
        assert not caught.value.is_transient

    def test_a_refusal_of_the_runs_mark_is_asked_for_once(self, archive: Path) -> None:
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(50)})

        store = ScriptedS3()

        def refuses_writes(request: Request) -> Response:
            return Response(403) if request.method == "PUT" else store(request)

        with serving(refuses_writes) as server, PendingRecords() as to_record:
            access = StoreAccess(aws_keys=("id", "secret", None), aws_region="here", aws_endpoint_url=server.url)
            options = IngestOptions("s3://bucket/lake", access)
            source = open_store(f"file://{archive.parent}").read(archive.name)
            with pytest.raises(AccessRefusedError, match="in a row"):
                ingest_archive(source, options, NothingRecorded(), to_record, workers=1)
        assert [request.method for request in server.requests].count("PUT") == 1

    @pytest.mark.parametrize("what", ["the landing zone", "the temporary folder"])
    def test_a_full_disk_fails_what_does_not_fit_and_says_so(self, archive: Path, tmp_path: Path, what: str) -> None:
        large = TABLE + b"".join(b"3\t%s\n" % os.urandom(500).hex().encode() for _ in range(8000))
        # The large one comes last, since nothing else fits while its start fills the disk.
        members = {table_name("a"): TABLE, table_name("z"): TABLE, table_name("large"): large}
        write_archive(archive, members)
        disk = tmp_path / "disk"
        disk.mkdir()
        lake, temporary = (disk / "lake", tmp_path) if what == "the landing zone" else (tmp_path / "lake", disk)
        program = (
            "import json, subprocess, sys\n"
            "from pathlib import Path\n"
            "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
            "archive, lake, disk = map(Path, sys.argv[1:])\n"
            "accounts = []\n"
            "for size in ('-osize=4m', '-oremount,size=64m'):\n"
            "    subprocess.run(['mount', '-t', 'tmpfs', size, 'tmpfs', disk], check=True)\n"
            "    accounts.append(ingest(archive, lake).report)\n"
            "assert accounts[0].failed_for_now == 1, accounts[0].as_json()\n"
            "files = [path for path in disk.rglob('*') if path.is_file() and path.suffix != '.tsv']\n"
            "left = [str(path) for path in files if path.parent.name != 'unfinished']  # but for the runs' marks\n"
            "print(json.dumps([*(each.as_json() for each in accounts), left]))\n"
        )
        said = in_a_process(program, archive, lake, disk, prefix=own_mounts(), TMPDIR=str(temporary))
        first, again, left = json.loads(said)
        assert (first["delivered"], first["failed"]) == (2, 1)
        (failed,) = first["listed"]["failed"]
        assert failed["member"] == table_name("large")
        remedy = "the disk is full" if what == "the landing zone" else "make room in the folder that TMPDIR names"
        assert remedy in failed["reason"]
        assert (again["delivered"], again["failed"], left) == (3, 0, [])


def in_a_process(program: str, *arguments: Path, prefix: list[str], **variables: str) -> str:
    """What a program prints that has to run under other conditions than the tests."""
    result = subprocess.run(  # noqa: S603
        [*prefix, sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def bound_by_permissions() -> list[str]:
    """How to start a process that may do only what the permissions of files let their owner do; root may do all."""
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:  # noqa: S603
        pytest.skip("root here, and there is no setpriv to give up root's rights")
    return prefix


def own_mounts() -> list[str]:
    """How to start a process that can mount a small disk that no other process sees, and which is gone with it."""
    prefix = ["unshare", "--map-root-user", "--mount"]
    tried = ["sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, *tried], check=False).returncode:  # noqa: S603
        pytest.skip("no disk can be mounted here")
    return prefix


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


@pytest.mark.parametrize(("scheme", "limit"), [("s3", MAX_WORKERS), ("gs", MAX_WORKERS_WITH_GCS)])
def test_google_cloud_storage_is_written_to_by_fewer_workers(
    scheme: str,
    limit: int,
    s3_bucket: str,
    gcs_bucket: str,
    moto_server: S3Server,
    gcs_server: GCSServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**moto_server.environment, **gcs_server.environment}.items():
        monkeypatch.setenv(name, value)
    limits = []

    class Pool(WorkerPool):
        def __init__(self, *args: Any, most: int, **named: Any) -> None:  # noqa: ANN401 - whatever a pool takes
            limits.append(most)
            super().__init__(*args, **named | {"workers": 1})

    write_archive(tmp_path / ARCHIVE, {table_name(): TABLE})
    zone = f"{scheme}://{s3_bucket if scheme == 's3' else gcs_bucket}"
    source = open_store(f"file://{tmp_path}").read(ARCHIVE)
    with PendingRecords() as to_record:
        ingest_archive(source, IngestOptions(zone), NothingRecorded(), to_record, pool_class=Pool)
    assert limits == [limit]
