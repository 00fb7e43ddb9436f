"""What `docs/operating.md` says of a lost database, and of a lost landing zone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.components.edxorg_location import build_definitions
from edxorg_tests.support.archives import TABLE, landed, table_name, times, write_archive
from edxorg_tests.support.course_files import COURSE, PARTITION, course_xml, structure
from edxorg_tests.support.location import EVENTS, LOG, QUIET, ArchiveLocation, LogLocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OLD, NEW = "mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz"
OUTPUTS = [dg.AssetKey(["edxorg", "processed_data", name]) for name in ("flattened_course_structure", "course_blocks")]


class Site:
    """A source, a landing zone, and one instance after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        members = {
            f"{COURSE}-course_structure-prod-analytics.json": structure(),
            f"{COURSE}-course-prod-analytics.xml.tar.gz": course_xml(),
        }
        vanished = table_name(course="MITx-gone-1T2020")
        write_archive(folder / "archives" / OLD, {**members, table_name(): b"id\tname\n1\tAda\n", vanished: TABLE})
        write_archive(folder / "archives" / NEW, {**members, table_name(): TABLE})

    def bring_in(self, instance: dg.DagsterInstance, names: Sequence[str] = (OLD, NEW)) -> None:
        """Run archives, by default the oldest first as the sensors do, the log, and the courses' content."""
        archives, logs = ArchiveLocation(self.folder, instance), LogLocation(self.folder, instance)
        logs.write(*EVENTS)
        for name in names:
            assert archives.run(name).success
        assert logs.run(LOG).success
        job = build_definitions(archives.settings).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(
            instance=instance, partition_key=PARTITION, asset_selection=OUTPUTS, run_config=QUIET
        ).success

    def recorded(self, instance: dg.DagsterInstance) -> dict[tuple[str, str], str]:
        return ArchiveLocation(self.folder, instance).everything_recorded()

    @property
    def lake(self) -> Path:
        return self.folder / "lake"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance:
        yield instance


def test_a_lost_database_is_made_again_and_no_current_object_is_written(
    site: Site, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    site.bring_in(instance)
    objects, written, recorded = landed(site.lake), times(site.lake), site.recorded(instance)
    assert len(objects) == 8
    (tmp_path / "new").mkdir()

    with dg.instance_for_test(temp_dir=str(tmp_path / "new")) as empty:
        site.bring_in(empty, (NEW, OLD))

        assert landed(site.lake) == objects
        assert site.recorded(empty) == recorded
    assert times(site.lake) == written


def test_a_lost_landing_zone_is_filled_again_by_running_everything(site: Site, instance: dg.DagsterInstance) -> None:
    site.bring_in(instance)
    recorded = site.recorded(instance)
    current = {key for key in landed(site.lake) if "auth_user" not in key or "gone" in key}
    shutil.rmtree(site.lake)

    site.bring_in(instance)

    assert site.recorded(instance) == recorded
    objects = landed(site.lake)
    assert current <= set(objects)
    (table,) = [content for key, content in objects.items() if "/auth_user/" in key and "gone" not in key]
    assert b"Grace" in table
