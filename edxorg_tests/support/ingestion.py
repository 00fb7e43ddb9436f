"""Ingests archives without Dagster, for tests."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from edxorg.lib.archive.ingest_report import IngestReport, MemberResult
    from edxorg.lib.tables import Dialect
    from ol_orchestrate.lib.errors import PipelineError
    from ol_orchestrate.lib.versions import Recorded


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

    def recorded_among(self, asset: str, versions: AbstractSet[tuple[str, str]]) -> AbstractSet[tuple[str, str]]:
        return versions & {(partition, each.version) for partition, each in self.latest(asset).items()}


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


def rows(content: bytes) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    return list(csv.DictReader(content.decode().splitlines(keepends=True), delimiter="\t"))


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
