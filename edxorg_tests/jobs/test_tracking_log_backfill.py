"""Backfills of tracking logs by the code of Dagster's daemon; its runs happen in this process."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration

from edxorg.assets import tracking_logs
from edxorg.assets.edxorg_archive import raw_tracking_logs
from edxorg.assets.tracking_logs import normalize_edxorg_tracking_log
from edxorg.lib import code_versions
from edxorg.lib.tracking_log import normalize_log
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.location import EVENTS, LOG, NORMALIZED_LOGS, OTHER_LOGS, TRUNCATED, LogLocation
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.failed_partitions import failed_partitions
from ol_orchestrate.failures import why_failed
from ol_orchestrate.lib.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.lib.tracking_log import NormalizedLog

# Dagster's own, where it describes a location to its daemon.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Property `ScheduleDefinition.environment_vars`:DeprecationWarning",
    "ignore:Function `AssetSelection.sources`:DeprecationWarning",
)

JOB = "refresh_edxorg_tracking_logs"
CODE = """
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
defs = build_definitions(Settings(archive_url={archives!r}, landing_zone_url={lake!r}, logs_a_run={logs_a_run}))
"""
IN_THIS_PROCESS = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"},
}


@pytest.fixture
def location(tmp_path: Path) -> Iterator[LogLocation]:
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=IN_THIS_PROCESS) as instance:
        yield LogLocation(tmp_path, instance)


class Daemon:
    """Takes a backfill from its request to its end."""

    def __init__(self, location: LogLocation, folder: Path, logs_a_run: int = 25) -> None:
        self._instance = location.instance
        file = folder / "location.py"
        file.write_text(
            CODE.format(
                archives=location.settings.archive_url,
                lake=location.settings.landing_zone_url,
                logs_a_run=logs_a_run,
            )
        )
        origin = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file), attribute="defs")
        self._workspace = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="edxorg"))

    def of_assets(self, *days: str) -> BulkActionStatus:
        """As from the page of the asset, or `dg launch --assets`."""
        with WorkspaceProcessContext(self._instance, self._workspace) as process:
            backfill = PartitionBackfill.from_asset_partitions(
                backfill_id="assets",
                asset_graph=process.create_request_context().asset_graph,
                partition_names=days,
                asset_selection=[NORMALIZED_LOGS],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=self._instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
            return self._run(process, backfill)

    def of_job(self, *days: str) -> BulkActionStatus:
        """As from the page of the job, or `dagster job backfill`."""
        with WorkspaceProcessContext(self._instance, self._workspace) as process:
            repository = next(
                iter(process.create_request_context().get_code_location("edxorg").get_repositories().values())
            )
            (partition_set,) = (each for each in repository.get_partition_sets() if each.job_name == JOB)
            backfill = PartitionBackfill(
                backfill_id="job",
                status=BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={},
                backfill_timestamp=time.time(),
                partition_set_origin=partition_set.get_remote_origin(),
                partition_names=days,
            )
            return self._run(process, backfill)

    def _run(self, process: WorkspaceProcessContext, backfill: PartitionBackfill) -> BulkActionStatus:
        self._instance.add_backfill(backfill)
        for _ in range(10):
            errors = list(execute_backfill_iteration(process, logging.getLogger("daemon")))
            assert not any(errors), errors
            for queued in self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):
                self._instance.launch_run(queued.run_id, process.create_request_context())
            found = self._instance.get_backfill(backfill.backfill_id)
            assert found is not None
            if found.status not in (BulkActionStatus.REQUESTED, BulkActionStatus.COMPLETED):
                return found.status
        raise AssertionError(f"{backfill.backfill_id} is not over")


def write_days(location: LogLocation) -> tuple[str, str, str]:
    days = (LOG, *OTHER_LOGS)
    for number, day in enumerate(days, 1):
        location.write(*EVENTS * number, name=day)
    location.instance.add_dynamic_partitions("edxorg_tracking_log", list(days))
    return LOG, OTHER_LOGS[0], OTHER_LOGS[1]


def succeeded(location: LogLocation) -> dict[str | None, bool]:
    """The runs, by partition."""
    return {
        run.tags.get("dagster/partition") or run.tags["dagster/asset_partition_range_end"]: run.is_success
        for run in location.instance.get_runs()
    }


def failed_partitions_of_dagster(location: LogLocation) -> set[str]:
    """The days that the asset's page shows as failed."""
    partitions = raw_tracking_logs(location.settings).partitions_def()
    status = get_and_update_asset_status_cache_value(location.instance, NORMALIZED_LOGS, partitions)
    assert status is not None
    return set(status.deserialize_failed_partition_subsets(partitions).get_partition_keys())


class TestOfTheAsset:
    @pytest.mark.parametrize("logs_a_run", [25, 2, 1])
    def test_a_run_has_as_many_days_as_the_setting_says(
        self, logs_a_run: int, location: LogLocation, tmp_path: Path
    ) -> None:
        days = write_days(location)
        assert Daemon(location, tmp_path, logs_a_run).of_assets(*days) == BulkActionStatus.COMPLETED_SUCCESS
        assert set(succeeded(location)) == {25: {days[2]}, 2: {days[1], days[2]}, 1: set(days)}[logs_a_run]
        assert [len(location.versions(day)) for day in days] == [1, 1, 1]

    @pytest.mark.parametrize("logs_a_run", [1, 2])
    def test_a_broken_day_fails_alone(self, logs_a_run: int, location: LogLocation, tmp_path: Path) -> None:
        days = write_days(location)
        location.write(name=days[0], packed=TRUNCATED)
        daemon = Daemon(location, tmp_path, logs_a_run)
        assert daemon.of_assets(*days) == BulkActionStatus.COMPLETED_FAILED
        assert succeeded(location) == (
            {days[1]: False, days[2]: True} if logs_a_run == 2 else {days[0]: False, days[1]: True, days[2]: True}
        )
        assert [len(location.versions(day)) for day in days] == [0, 1, 1]
        (failed,) = (run for run in location.instance.get_runs() if not run.is_success)
        assert failed.tags["edxorg/permanent_failure"] == "true"
        normalized = normalize_edxorg_tracking_log(raw_tracking_logs(location.settings), location.settings)
        listed = failed_partitions(location.instance, normalized)
        assert [each.partition for each in listed] == [days[0]], "no day that went well in the same run"
        assert "breaks off" in listed[0].why

    @pytest.mark.parametrize("logs_a_run", [1, 3])
    def test_days_that_are_unchanged_are_a_success(
        self, logs_a_run: int, location: LogLocation, tmp_path: Path
    ) -> None:
        days = write_days(location)
        assert location.run(days[1]).success
        daemon = Daemon(location, tmp_path, logs_a_run)
        assert daemon.of_assets(*days) == BulkActionStatus.COMPLETED_SUCCESS
        assert [len(location.versions(day)) for day in days] == [1, 2, 1]
        again, before = location.recorded(days[1])
        assert again.tags == before.tags, "which is no other version"
        assert again.metadata == {**before.metadata, "unchanged": dg.MetadataValue.bool(True)}

    def test_days_beside_a_broken_one_are_no_failures(self, location: LogLocation, tmp_path: Path) -> None:
        days = write_days(location)
        assert location.run(days[1]).success
        location.write(name=days[0], packed=TRUNCATED)
        assert Daemon(location, tmp_path).of_assets(*days) == BulkActionStatus.COMPLETED_FAILED
        assert failed_partitions_of_dagster(location) == {days[0]}


class TestOfTheJob:
    def test_days_that_are_unchanged_are_a_success(self, location: LogLocation, tmp_path: Path) -> None:
        days = write_days(location)
        assert location.run(days[1]).success
        assert Daemon(location, tmp_path).of_job(*days) == BulkActionStatus.COMPLETED_SUCCESS
        assert [len(location.versions(day)) for day in days] == [1, 1, 1]

    def test_a_broken_day_fails_alone(self, location: LogLocation, tmp_path: Path) -> None:
        days = write_days(location)
        location.write(name=days[0], packed=TRUNCATED)
        assert Daemon(location, tmp_path).of_job(*days) == BulkActionStatus.COMPLETED_FAILED
        assert [len(location.versions(day)) for day in days] == [0, 1, 1]


def test_a_run_over_several_days_leaves_those_that_are_done_alone(
    location: LogLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = write_days(location)
    normalized: list[str] = []
    to_interrupt = [days[1]]

    def noted(*arguments: Any, name: str, **options: Any) -> NormalizedLog:  # noqa: ANN401
        normalized.append(name.rpartition("/")[2])
        if normalized[-1] in to_interrupt:
            to_interrupt.clear()
            raise KeyboardInterrupt
        return normalize_log(*arguments, name=name, **options)

    monkeypatch.setattr(tracking_logs, "normalize_log", noted)
    assert not location.run(*days).success
    assert [len(location.versions(day)) for day in days] == [1, 0, 0]
    assert location.run(*days).success
    assert normalized == [days[0], days[1], days[1], days[2]]
    assert [len(location.versions(day)) for day in days] == [1, 1, 1]

    normalized.clear()
    location.write(*EVENTS * 5, name=days[1])
    (location.lake / f"edxorg/raw_data/tracking_logs/normalized_{days[2]}").unlink()
    assert location.run(*days).success
    assert normalized == list(days[1:]), "what was published again, and what is gone"
    monkeypatch.setattr(code_versions, "OF_TRACKING_LOGS", 1_000)
    normalized.clear()
    assert location.run(*days).success
    assert normalized == list(days), "what other code has normalized"


@pytest.mark.parametrize("error", [ServiceError("nobody answers"), ValueError("a fault of the code")])
def test_a_run_asks_a_service_that_fails_for_no_more_than_a_few_days(
    error: Exception, location: LogLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [f"mitx-edx-events-2024-05-{number:02}.log.gz" for number in range(1, 8)]
    for day in days:
        location.write(*EVENTS, name=day)
    tried: list[str] = []

    def failing(*arguments: Any, name: str, **options: Any) -> NormalizedLog:  # noqa: ANN401
        tried.append(name.rpartition("/")[2])
        if tried[-1] in days[1:-1]:
            raise error
        return normalize_log(*arguments, name=name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tracking_logs, "normalize_log", failing)
        result = location.run(*days)
    assert not result.success
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    (failure,) = result.get_step_failure_events()
    reasons = [why_failed(run, str(failure.step_key), day) for day in days]
    if isinstance(error, ServiceError):
        assert tried == [days[0], *days[1:4] * 3], "in each of the step's three attempts"
        not_tried = "This was not tried, since a service failed for the 3 before: nobody answers"
        assert reasons == [None, *["nobody answers"] * 3, *[not_tried] * 3]
        assert location.run(*days).success
    else:
        assert tried == days, "once"
        assert reasons == [None, *["ValueError. The log of the run has its text"] * 5, None]
        assert len(location.versions(days[-1])) == 1


KILLED_IN_THE_SECOND = """
import os, signal
from pathlib import Path
import dagster as dg
from edxorg.assets import tracking_logs
from edxorg.lib.tracking_log import normalize_log
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.location import LogLocation

def normalize(*arguments, name, **options):
    if name.endswith({second!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return normalize_log(*arguments, name=name, **options)

tracking_logs.normalize_log = normalize
with dg.DagsterInstance.from_config({folder!r}) as instance:
    LogLocation(Path({folder!r}), instance).run(*{days!r})
"""


def test_a_backfill_goes_on_where_its_run_was_killed(location: LogLocation, tmp_path: Path) -> None:
    days = write_days(location)
    code = KILLED_IN_THE_SECOND.format(second=days[1], folder=str(tmp_path), days=days)
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)  # noqa: S603
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [len(location.versions(day)) for day in days] == [1, 0, 0]
    before = times(location.lake)
    (of_the_first,) = before

    assert Daemon(location, tmp_path).of_assets(*days) == BulkActionStatus.COMPLETED_SUCCESS
    assert len(landed(location.lake)) == 3
    assert times(location.lake)[of_the_first] == before[of_the_first], "it is not done again"
    (run,) = (run for run in location.instance.get_runs() if run.is_success)
    said = [entry.user_message for entry in location.instance.all_logs(run.run_id)]
    assert f"{days[0]}: done before, left alone" in said
    assert not any(f"{day}: done before, left alone" in said for day in days[1:])
