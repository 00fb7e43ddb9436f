"""A package that edX's own code wrote, under the names of both sites: every row of it is there."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg_tests.support.archives import ARCHIVE, landed, write_archive
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def named(name: str, site: str) -> str:
    """The name that the exporter gives on a site; forums have the short one."""
    return name.replace("-acceptance.", f"-{site}." if name.endswith(".mongo") else f"-{site}-analytics.")


def test_every_row_of_every_table_lands_on_both_sites(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in sorted(real_data("edx-package").iterdir())}
    members = {named(name, site): content for site in ("prod", "edge") for name, content in files.items()}
    archive = write_archive(tmp_path / ARCHIVE, members)
    lake = tmp_path / "lake"
    source = open_store(f"file://{archive.parent}").read(archive.name)
    with PendingRecords() as to_record:
        account = ingest_archive(source, IngestOptions(f"file://{lake}"), NothingRecorded(), to_record).report
    assert account.sum_of_outcomes().startswith(f"{len(members)} members = ")
    assert account.outcomes[MemberOutcome.FAILED] == account.outcomes[MemberOutcome.UNRECOGNISED] == 0
    objects = landed(lake)
    rejected = 0
    for site in ("prod", "edge"):
        for name, content in files.items():
            if name.endswith(".sql"):
                table = name.removeprefix("edX-DemoX-Demo_Course-").removesuffix("-acceptance.sql")
                rejected += check_table(table, site, content, objects)
            else:
                assert content in objects.values(), f"{name} lands as it is"
    assert rejected == account.rows_rejected.total() == 0


def check_table(table: str, site: str, content: bytes, objects: dict[str, bytes]) -> int:
    """Compare a table with what one reads by splitting lines at TABs; return the rows that are missing."""
    header, *lines = content.decode().removesuffix("\n").split("\n")
    if not lines:
        return 0
    (found,) = (data for key, data in objects.items() if f"/db_table/{table}/{site}/" in key and key.endswith(".tsv"))
    csv.field_size_limit(1 << 30)
    columns, *rows = csv.reader(found.decode().splitlines(keepends=True), delimiter="\t")
    width = len(header.split("\t"))
    assert columns[:width] == header.split("\t")
    assert [row[:width] for row in rows] == [line.split("\t") for line in lines], table
    assert {row[width + 4] for row in rows} == {f"edxorg_{site}"}
    return len(lines) - len(rows)
