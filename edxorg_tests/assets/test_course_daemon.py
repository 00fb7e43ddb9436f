"""Courses from an archive to their outputs, with Dagster's own automation and backfill daemons over the real location.

The daemons' loops are called one by one, without their waits; runs start at once, in this process.
"""

from __future__ import annotations

import gzip
import logging
from collections import Counter
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.backfill import execute_backfill_iteration

from edxorg_tests.support.archives import write_archive
from edxorg_tests.support.course_files import course_xml, flatten_edxorg_course_structure, structure
from edxorg_tests.support.location import ArchiveLocation
from ol_orchestrate.assets.openedx_course_archives import extract_edxorg_courserun_metadata
from ol_orchestrate.failed_partitions import failed_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dagster._core.workspace.context import WorkspaceProcessContext

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # Dagster's daemons call what Dagster has deprecated
    "ignore:coroutine 'BaseEventLoop:RuntimeWarning",  # and its loops end inside each other when runs start at once
    "ignore:Exception ignored in. <coroutine object BaseEventLoop:pytest.PytestUnraisableExceptionWarning",
)

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

defs = build_definitions(Settings(archive_url={archives!r}, landing_zone_url={lake!r}))
"""
FLATTEN, EXTRACT = "flattened_course_structure", "course_metadata"


class LocationWithDaemons(ArchiveLocation):
    """The location on an instance with daemons."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        super().__init__(folder, instance)
        self._workspace = workspace
        self._daemon = AssetDaemon(settings={}, pre_sensor_interval_seconds=30)
        (loaded,) = workspace.create_request_context().code_locations
        (repository,) = loaded.get_repositories().values()
        instance.start_sensor(repository.get_sensor("default_automation_condition_sensor"))

    def ingest(self, name: str, members: dict[str, bytes]) -> None:
        """Deliver an archive by its job."""
        write_archive(self.archives / name, members)
        assert self.run(name).success

    def ticks(self, number: int) -> Counter[tuple[str, str]]:
        """Let the daemons tick; return how often they ran which asset for which course."""
        before = {run.run_id for run in self.instance.get_runs()}
        for _ in range(number):
            self._daemon._run_iteration_impl(self._workspace, None, {}, {})  # noqa: SLF001 - else it waits
            assert not list(filter(None, execute_backfill_iteration(self._workspace, logging.getLogger("backfill"))))
        started = [run for run in self.instance.get_runs() if run.run_id not in before]
        return Counter(
            (key.path[-1], run.tags["dagster/partition"].split("-")[1])
            for run in started
            for key in run.asset_selection or ()
            if key.path[-1] in {FLATTEN, EXTRACT}
        )

    def failed(self, definition: dg.AssetsDefinition) -> list[str]:
        return [each.partition for each in failed_partitions(self.instance, definition)]

    def backfills_at_work(self) -> int:
        return sum(not backfill.status.value.startswith("COMPLETED") for backfill in self.instance.get_backfills())


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocationWithDaemons]:
    file = tmp_path / "location.py"
    file.write_text(LOCATION.format(archives=f"file://{tmp_path}/archives", lake=f"file://{tmp_path}/lake"))
    monkeypatch.setattr("dagster._daemon.asset_daemon.is_under_min_interval", lambda *_, **__: False)
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=str(file)), location_name="edxorg")
    with (
        dg.instance_for_test(temp_dir=str(tmp_path), overrides=IN_THIS_PROCESS) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
    ):
        yield LocationWithDaemons(tmp_path, instance, workspace)


def members(courses: Iterable[str], **changed: bytes) -> dict[str, bytes]:
    """An archive's members: structure and XML of courses."""
    found: dict[str, bytes] = {}
    for course in courses:
        name = f"MITx-{course}-1T2020"
        found[f"{name}-course_structure-prod-analytics.json"] = changed.get(f"{course}_structure", structure())
        found[f"{name}-course-prod-analytics.xml.tar.gz"] = changed.get(f"{course}_xml", course_xml())
    return found


def test_each_course_runs_once_for_each_change(location: LocationWithDaemons) -> None:
    courses = "abcd"
    assert location.ticks(1) == {}
    location.ingest("mitx-2024-01-03.tar.gz", members(courses))
    assert location.ticks(2) == {(output, course): 1 for course in courses for output in (FLATTEN, EXTRACT)}
    location.ingest("mitx-2024-01-10.tar.gz", members(courses))
    assert location.ticks(1) == {}, "nothing has changed"

    changed = {
        "a_structure": structure("B"),
        "a_xml": course_xml("B"),
        "b_structure": structure("B"),
        "c_structure": b"{}",
        "d_xml": course_xml() + gzip.compress(b""),  # its outputs are as they were
    }
    location.ingest("mitx-2024-01-17.tar.gz", members(courses, **changed))
    assert location.ticks(3) == {
        (FLATTEN, "a"): 1,
        (EXTRACT, "a"): 1,
        (FLATTEN, "b"): 1,
        (FLATTEN, "c"): 2,
        (EXTRACT, "d"): 1,
    }
    assert location.ticks(2) == {}, "neither what failed twice nor what had nothing to record"
    assert location.backfills_at_work() == 0
    assert location.failed(flatten_edxorg_course_structure) == ["MITx-c-1T2020|prod"]
    assert location.failed(extract_edxorg_courserun_metadata) == []
