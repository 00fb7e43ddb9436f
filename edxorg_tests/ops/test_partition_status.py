"""What Dagster shows of an archive's partition when its run did not end well, and when a later one did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.ops.archive_reports import ArchiveReports
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.location import ArchiveLocation
from edxorg_tests.support.sensors import CANCELED
from ol_orchestrate.landing.attempts import plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND = "mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz"
JOB = "retrieve_edxorg_raw_data"
RAW_ARCHIVE = dg.AssetKey(["edxorg", "raw_data_archive"])
GOOD = {table_name(): TABLE}
BAD = {table_name(): b"id\tid\n1\t2\n"}


class Status(NamedTuple):
    """Partitions, as the pages count them."""

    materialized: set[str]
    failed: set[str]
    under_way: set[str]


@pytest.fixture
def location(tmp_path: Path) -> Iterator[ArchiveLocation]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield ArchiveLocation(tmp_path, instance)


def status(location: ArchiveLocation) -> Status:
    partitions = raw_data_archives(location.settings).partitions_def()
    found = get_and_update_asset_status_cache_value(location.instance, RAW_ARCHIVE, partitions)
    assert found is not None
    failed = set(found.deserialize_failed_partition_subsets(partitions).get_partition_keys())
    under_way = set(found.deserialize_in_progress_partition_subsets(partitions).get_partition_keys())
    materialized = set(found.deserialize_materialized_partition_subsets(partitions).get_partition_keys())
    return Status(materialized - failed - under_way, failed, under_way)


def listed(location: ArchiveLocation) -> str:
    """The partitions that the check lists."""
    job = build_definitions(location.settings).resolve_implicit_global_asset_job_def()
    check = dg.AssetCheckKey(RAW_ARCHIVE, "no_failed_partitions")
    result = job.get_subset(asset_check_selection={check}).execute_in_process(instance=location.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return str(evaluation.metadata["reasons"].value) if "reasons" in evaluation.metadata else ""


def test_a_failed_archive_shows_as_failed_until_a_run_succeeds(location: ArchiveLocation) -> None:
    write_archive(location.archives / FIRST, GOOD)
    assert location.run(FIRST).success
    assert status(location) == Status({FIRST}, set(), set())
    write_archive(location.archives / SECOND, BAD)
    assert not location.run(SECOND).success
    assert status(location) == Status({FIRST}, {SECOND}, set())
    assert SECOND in listed(location)
    assert not location.run(SECOND).success
    assert status(location).failed == {SECOND}
    write_archive(location.archives / SECOND, GOOD)
    assert location.run(SECOND).success
    assert status(location) == Status({FIRST, SECOND}, set(), set())
    assert listed(location) == ""


def test_a_retry_that_succeeds_with_the_same_file_makes_it_well(
    location: ArchiveLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(location.archives / FIRST, GOOD)
    with monkeypatch.context() as broken:
        broken.setattr(ArchiveReports, "tell", lambda *_, **__: 1 / 0)
        assert not location.run(FIRST).success
    assert status(location).failed == {FIRST}
    version = raw_data_archives(location.settings).recorded(location.instance, [FIRST])
    assert location.run(FIRST).success
    assert status(location) == Status({FIRST}, set(), set())
    assert raw_data_archives(location.settings).recorded(location.instance, [FIRST]) == version


def test_an_archive_that_is_gone_shows_as_failed(location: ArchiveLocation) -> None:
    location.instance.add_dynamic_partitions("edxorg_archive", [FIRST])
    assert not location.run_job(JOB, FIRST).success
    assert status(location) == Status(set(), {FIRST}, set())
    assert FIRST in listed(location)


def test_an_archive_whose_process_was_killed_shows_as_under_way_then_as_failed(location: ArchiveLocation) -> None:
    location.instance.add_dynamic_partitions("edxorg_archive", [FIRST])
    job = build_definitions(location.settings).resolve_job_def(JOB)
    run = location.instance.create_run_for_job(
        job, tags={"dagster/partition": FIRST}, status=dg.DagsterRunStatus.STARTED
    )
    plan(location.instance, run.run_id, RAW_ARCHIVE, FIRST, job=JOB, step="process_edxorg_archive")
    assert status(location) == Status(set(), set(), {FIRST})
    location.instance.report_run_failed(run)
    assert status(location) == Status(set(), {FIRST}, set())


def test_a_canceled_archive_has_an_observation_that_says_so_until_a_run_succeeds(
    location: ArchiveLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        (run,) = location.instance.get_runs(limit=1)
        location.instance.report_run_canceling(run)
        raise dg.DagsterExecutionInterruptedError

    write_archive(location.archives / FIRST, GOOD)
    with monkeypatch.context() as canceled:
        canceled.setattr(ArchiveReports, "tell", interrupted)
        run = location.instance.get_run_by_id(location.run(FIRST).run_id)
    assert run is not None
    assert run.status == CANCELED
    (observed,) = location.instance.fetch_observations(RAW_ARCHIVE, limit=9).records
    assert observed.asset_observation is not None
    assert observed.partition_key == FIRST
    assert observed.asset_observation.metadata["outcome"].value == "canceled"
    assert FIRST in listed(location)
    write_archive(location.archives / SECOND, GOOD)
    assert location.run(SECOND).success, "an archive without a report is none to compare with"
    assert location.run(FIRST).success
    (latest,) = location.instance.fetch_materializations(RAW_ARCHIVE, limit=1).records
    assert latest.partition_key == FIRST
    assert listed(location) == ""


def test_an_archive_that_runs_by_hand_is_recorded_once(location: ArchiveLocation) -> None:
    write_archive(location.archives / FIRST, GOOD)
    location.instance.add_dynamic_partitions("edxorg_archive", [FIRST])
    for _ in range(2):
        assert location.run_job(JOB, FIRST).success
    (recorded,) = location.materializations(RAW_ARCHIVE)
    assert recorded.metadata["path"].value == f"file://{location.archives}/{FIRST}"
    assert status(location) == Status({FIRST}, set(), set())
