"""Archives and tables that cannot be read as they should."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.tables import Dialect
from edxorg_tests.support.archives import TABLE, landed, table_name, tar_bytes, write_archive
from edxorg_tests.support.delivery_model import InThisProcess
from edxorg_tests.support.ingestion import TODAY, Outcome, in_a_process, ingest, rows
from ol_orchestrate.lib.archives import ArchiveError
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable


class BrokenColumns(frozenset[str]):
    """Columns whose use is a mistake of the program."""

    def isdisjoint(self, other: Iterable[object]) -> bool:
        raise LookupError(f"a row of {sorted(map(str, other))}")


@pytest.mark.parametrize("rows_of_broken", [2, 200_000], ids=["small", "streamed"])
def test_a_mistake_in_the_conversion_fails_its_member_alone_and_tells_no_data(
    rows_of_broken: int, archive: Path, lake: Path
) -> None:
    broken = b"id\tname\n" + b"1\tLovelace\n" * rows_of_broken
    write_archive(archive, {table_name("teams"): broken, table_name(): TABLE})
    options = IngestOptions(f"file://{lake}", known_columns={"teams": BrokenColumns({"id"})})
    with PendingRecords() as to_record:
        source = open_store(f"file://{archive.parent}").read(archive.name)
        report = ingest_archive(source, options, NothingRecorded(), to_record, workers=1).report
    assert (report.outcomes, report.failed_for_now) == ({"failed": 1, "delivered": 1}, 0)
    [(path, _, why)] = report.listed[MemberOutcome.FAILED]
    assert (path, "unexpected LookupError (" in why, "a row" in why) == (table_name("teams"), True, False)
    assert f"({__name__}, line " in why


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

    @pytest.mark.parametrize("courses", [(), ["Other-*"]], ids=["unrecognised", "left out on request"])
    def test_an_archive_that_breaks_off_in_a_member_that_is_passed_over_adds_up(
        self, archive: Path, lake: Path, courses: list[str]
    ) -> None:
        name = table_name() if courses else "odd.csv"
        unpacked = tar_bytes({table_name("first", course="Other-1-2020"): TABLE, name: os.urandom(100_000)})
        # It breaks off right after the header of the second member.
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(gzip.compress(unpacked[: 3 * 512]))
        options = IngestOptions(f"file://{lake}", archive_date=TODAY, courses=courses)
        source = open_store(f"file://{archive.parent}").read(archive.name)
        with PendingRecords() as to_record:
            report = ingest_archive(source, options, NothingRecorded(), to_record, pool_class=InThisProcess).report
        passed_over = MemberOutcome.LEFT_OUT if courses else MemberOutcome.UNRECOGNISED
        assert report.outcomes == {MemberOutcome.DELIVERED: 1, passed_over: 1}
        assert report.sum_of_outcomes().startswith("2 members = ")
        assert "breaks off" in str(report.problem)

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
