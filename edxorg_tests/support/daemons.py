"""The real location with Dagster's own sensor daemon over it.

Its loop is called step by step, without its waits; runs start at once, in this process.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration

from edxorg_tests.support.archives import write_archive
from edxorg_tests.support.course_files import asset_key, course_xml, structure
from edxorg_tests.support.location import ArchiveLocation
from ol_orchestrate.failed_partitions import failed_partitions
from ol_orchestrate.landing.course_outputs import more_courses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster_shared.error import SerializableErrorInfo

IGNORED_WARNINGS = (
    "ignore::DeprecationWarning",  # Dagster's daemons call what Dagster has deprecated
    "ignore:coroutine 'BaseEventLoop:RuntimeWarning",  # and its loops end inside each other when runs start at once
    "ignore:Exception ignored in. <coroutine object BaseEventLoop:pytest.PytestUnraisableExceptionWarning",
)
"""Marks for tests with these daemons."""

IN_THIS_PROCESS = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}
LOCATION = """
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings

defs = build_definitions(Settings(**{settings!r}))
"""
FLATTEN, EXTRACT = "flattened_course_structure", "course_metadata"


class LocationWithDaemons(ArchiveLocation):
    """The location on an instance with daemons."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        super().__init__(folder, instance)
        self._workspace = workspace
        self.runs = 0
        """The number of runs that the last ticks started."""
        (loaded,) = workspace.create_request_context().code_locations
        (self._repository,) = loaded.get_repositories().values()
        self.start("default_automation_condition_sensor")

    def ingest(self, name: str, members: dict[str, bytes]) -> None:
        """Deliver an archive by its job."""
        write_archive(self.archives / name, members)
        assert self.run(name).success

    def start(self, *sensors: str) -> None:
        """Switch sensors on."""
        for name in sensors:
            self.instance.start_sensor(self._repository.get_sensor(name))

    def ticks(self, number: int) -> Counter[tuple[str, str]]:
        """Let the daemons tick; return how often they ran which asset for which course."""
        before = {run.run_id for run in self.instance.get_runs()}
        for _ in range(number):
            assert not self.tick_all()
        new = (run for run in self.instance.get_runs() if run.run_id not in before)
        started = [run for run in new if run.asset_selection]  # others are of the checks that run hourly
        self.runs = len(started)
        return Counter(
            (key.path[-1], course.split("-")[1])
            for run in started
            for key in run.asset_selection or ()
            for course in (run.tags["dagster/partition"], *more_courses(run.tags))
            if key.path[-1] in {FLATTEN, EXTRACT}
        )

    def tick_all(self) -> list[SerializableErrorInfo]:
        """Let each sensor that is on tick; return the errors."""
        return [*filter(None, execute_sensor_iteration(self._workspace, logging.getLogger("sensors"), None, None))]

    def backfill(self, outputs: Iterable[str], courses: Iterable[str]) -> BulkActionStatus:
        """Run a backfill of assets to its end, as from their pages."""
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id="assets",
            asset_graph=self._workspace.create_request_context().asset_graph,
            partition_names=list(courses),
            asset_selection=[asset_key(output) for output in outputs],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill)
        for _ in range(10):
            errors = execute_backfill_iteration(self._workspace, logging.getLogger("backfills"))
            assert not list(filter(None, errors))
            found = self.instance.get_backfill(backfill.backfill_id)
            assert found is not None
            if found.status != BulkActionStatus.REQUESTED:
                return found.status
        raise AssertionError(f"{backfill.backfill_id} is not over")

    def failed(self, definition: dg.AssetsDefinition) -> list[str]:
        return [each.partition for each in failed_partitions(self.instance, definition)]

    def materialized(self, output: str) -> int:
        """The number of courses that have an output."""
        key = dg.AssetKey(["edxorg", "processed_data", output])
        return len(self.instance.get_materialized_partitions(key))


@contextmanager
def location_with_daemons(folder: Path, **more: object) -> Iterator[LocationWithDaemons]:
    """The location over folders, with further settings."""
    file = folder / "location.py"
    places = {"archive_url": f"file://{folder}/archives", "landing_zone_url": f"file://{folder}/lake"}
    file.write_text(LOCATION.format(settings={**places, **more}))
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=str(file)), location_name="edxorg")
    with (
        pytest.MonkeyPatch.context() as patch,
        dg.instance_for_test(temp_dir=str(folder), overrides=IN_THIS_PROCESS) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
    ):
        patch.setattr("dagster._daemon.sensor.is_under_min_interval", lambda *_, **__: False)
        yield LocationWithDaemons(folder, instance, workspace)


def course_members(courses: Iterable[str], **changed: bytes) -> dict[str, bytes]:
    """An archive's members: structure and XML of courses."""
    found: dict[str, bytes] = {}
    for course in courses:
        name = f"MITx-{course}-1T2020"
        found[f"{name}-course_structure-prod-analytics.json"] = changed.get(f"{course}_structure", structure())
        found[f"{name}-course-prod-analytics.xml.tar.gz"] = changed.get(f"{course}_xml", course_xml())
    return found
