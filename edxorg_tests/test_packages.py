"""Packages as edX ships them give what the same package gives as MIT repacks it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.ingestion import Ingested, ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.samples.archive import write_sample_archive
from edxorg_tests.archives import TABLE, landed, members_of, table_name, tar_bytes, write_zip
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path


def ingest(archive: Path, landing_zone: Path) -> tuple[Ingested, list[MemberResult]]:
    source = open_store(f"file://{archive.parent}").read(archive.name)
    with PendingRecords() as to_record:
        ingested = ingest_archive(
            source, IngestOptions(f"file://{landing_zone}"), NothingRecorded(), to_record, workers=1
        )
        results = list(chain(*to_record.by_asset().values()))
        ingested.finish([])
    return ingested, results


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "mitx-2024-01-31.tar.gz"
    write_sample_archive(path, courses=2, seed=1, rows_per_course=200)
    return path


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_a_package_gives_the_same_in_every_format(ending: str, package: Path, tmp_path: Path) -> None:
    expected, expected_results = ingest(package, tmp_path / "expected")
    repacked = tmp_path / f"delftx-2024-01-31.{ending}"
    if ending == "zip":
        write_zip(repacked, members_of(package))
    else:
        repacked.write_bytes(tar_bytes(members_of(package)))
    ingested, results = ingest(repacked, tmp_path / "lake")
    assert ingested.problem is None
    assert ingested.report.as_json() == expected.report.as_json()
    assert results == expected_results
    assert landed(tmp_path / "lake") == landed(tmp_path / "expected")


LARGE = TABLE + b"".join(b"%d\tname\n" % number for number in range(3, 150_000))
"""A table that is sent to a worker as a stream."""


@pytest.mark.parametrize("broken", [TABLE, LARGE], ids=["small", "streamed"])
def test_nothing_of_a_member_with_a_wrong_checksum_lands_and_others_do(broken: bytes, tmp_path: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip", [(table_name("teams"), broken), (table_name("auth_user"), TABLE), ("readme", b"1")]
    )
    data = bytearray(archive.read_bytes())
    for header in (14, data.index(b"PK\1\2") + 16):
        data[header] ^= 1
    archive.write_bytes(data)
    ingested, _ = ingest(archive, tmp_path / "lake")
    assert {key.split("/")[3] for key in landed(tmp_path / "lake")} == {"auth_user"}
    [(path, _, problem)] = ingested.report.listed[MemberOutcome.FAILED]
    assert (path, "CRC-32" in problem) == (table_name("teams"), True)
    assert ingested.report.outcomes == {"delivered": 1, "failed": 1, "unrecognised": 1}


def test_names_that_lead_out_of_a_zip_are_set_aside(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [(f"../{table_name()}", TABLE), (f"/{table_name()}", TABLE)])
    ingested, _ = ingest(archive, tmp_path / "lake")
    assert ingested.report.outcomes == {"unrecognised": 2}
    assert landed(tmp_path / "lake") == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_two_members_with_one_name_is_recorded(tmp_path: Path) -> None:
    other = TABLE + b"3\tAlan\n"
    archive = write_zip(tmp_path / "a.zip", [(table_name(), TABLE), (table_name(), other)])
    ingested, [result] = ingest(archive, tmp_path / "lake")
    assert result.stats.rows == 3
    assert ingested.report.claimed_twice.total == 1
