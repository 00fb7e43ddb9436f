"""What starts the assets of courses by itself, by Dagster's own evaluation of their conditions, and what does not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.assets.course_content import course_structure_rows
from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML
from edxorg.lib.settings import Settings
from edxorg_tests.support.course_files import (
    PARTITION,
    STRUCTURE_OUTPUTS,
    XML_OUTPUTS,
    Lake,
    asset_key,
    course_xml,
    dummy_edxorg_course_structure,
    dummy_edxorg_course_xml,
    flatten_edxorg_course_structure,
    structure,
)
from edxorg_tests.support.location import QUIET
from ol_orchestrate.assets.openedx_course_archives import extract_edxorg_courserun_metadata
from ol_orchestrate.failed_partitions import CHECK, failed_partitions
from ol_orchestrate.lib.openedx import JsonLines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

STRUCTURE = asset_key("flattened_course_structure")
OTHER = "MITx-7.00x-1T2020|edge"
XML_BLOCKS = asset_key("course_xml_blocks")
CHECKED = ["course_structure", "course_xml", "raw_data_archive", "raw_tracking_logs"]


class Daemon:
    """Evaluates the conditions tick by tick, as the daemon does; starts nothing.

    Only those of one asset: Dagster's helper asks the partition store once for each part of each condition.
    """

    def __init__(self, lake: Lake, *assets: dg.AssetsDefinition) -> None:
        self._lake = lake
        self.assets = assets or (dummy_edxorg_course_structure, flatten_edxorg_course_structure)
        self._cursor: AssetDaemonCursor | None = None
        self.at_first = self.tick()

    def tick(self, output: dg.AssetKey = STRUCTURE) -> set[str | None]:
        """The partitions that are requested of an output."""
        result = dg.evaluate_automation_conditions(
            dg.Definitions(
                assets=self.assets, resources=dict.fromkeys(("s3file_io_manager", "gcs_input"), dg.mem_io_manager)
            ),
            self._lake.instance,
            asset_selection=dg.AssetSelection.all(),
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        return set(result.get_requested_partitions(output))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Lake(tmp_path, instance)


@pytest.fixture
def daemon(lake: Lake) -> Daemon:
    return Daemon(lake)


def test_an_archive_and_its_tables_start_nothing(lake: Lake) -> None:
    archives = raw_data_archives(Settings()).asset()
    daemon = Daemon(lake, archives, dummy_edxorg_course_structure, flatten_edxorg_course_structure)
    lake.bring("edxorg/raw_data/db_table/auth_user", b"id")
    lake.instance.add_dynamic_partitions("edxorg_archive", ["mitx-2024-01-31.tar.gz"])
    archive = dg.AssetMaterialization(archives.key, partition="mitx-2024-01-31.tar.gz")
    lake.instance.report_runless_asset_event(archive)
    assert daemon.tick() == set()
    lake.bring(COURSE_STRUCTURE, structure())
    assert daemon.tick() == {PARTITION}


def test_a_new_version_is_asked_for_once(lake: Lake, daemon: Daemon) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    assert daemon.tick() == {PARTITION}
    assert daemon.tick() == set()
    assert lake.flatten().success
    assert [daemon.tick() for _ in range(2)] == [set()] * 2


def test_the_assets_of_course_xml_follow_that(lake: Lake) -> None:
    daemon = Daemon(lake, dummy_edxorg_course_xml, extract_edxorg_courserun_metadata)
    lake.bring(COURSE_STRUCTURE, structure())
    lake.bring(COURSE_XML, course_xml(), OTHER)
    assert daemon.tick(XML_BLOCKS) == {OTHER}
    assert lake.extract(OTHER).success
    assert daemon.tick(XML_BLOCKS) == set()


def test_an_unchanged_version_starts_nothing(lake: Lake, daemon: Daemon) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    daemon.tick()
    lake.flatten()
    daemon.tick()
    lake.bring(COURSE_STRUCTURE, structure())
    assert [daemon.tick() for _ in range(2)] == [set()] * 2


def test_a_run_with_nothing_new_to_record_is_not_asked_for_again(lake: Lake, daemon: Daemon) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    daemon.tick()
    lake.flatten()
    lake.bring(COURSE_STRUCTURE, structure().replace(b"SECRET", b"ANOTHER"))
    assert daemon.tick() == {PARTITION}
    result = lake.flatten()
    assert result.success
    assert not result.get_asset_materialization_events()
    assert [daemon.tick() for _ in range(2)] == [set()] * 2


@pytest.mark.parametrize("ticks_before_the_second_run", [0, 1])
def test_a_failed_run_is_asked_for_once_more_and_then_listed(
    lake: Lake, daemon: Daemon, ticks_before_the_second_run: int
) -> None:
    lake.bring(COURSE_STRUCTURE, b"{}")
    assert daemon.tick() == {PARTITION}
    assert not lake.flatten().success
    assert daemon.tick() == {PARTITION}
    for _ in range(ticks_before_the_second_run):
        assert daemon.tick() == set()
    assert not lake.flatten().success
    assert [daemon.tick() for _ in range(2)] == [set()] * 2
    assert [each.partition for each in failed_partitions(lake.instance, flatten_edxorg_course_structure)] == [PARTITION]


def test_the_next_version_has_a_second_chance_of_its_own(lake: Lake, daemon: Daemon) -> None:
    for broken in (b"{}", b"[]"):
        lake.bring(COURSE_STRUCTURE, broken)
        for _ in range(2):
            assert daemon.tick() == {PARTITION}
            assert not lake.flatten().success
        assert [daemon.tick() for _ in range(2)] == [set()] * 2
    lake.bring(COURSE_STRUCTURE, structure())
    assert daemon.tick() == {PARTITION}
    assert lake.flatten().success
    assert [daemon.tick() for _ in range(2)] == [set()] * 2
    assert failed_partitions(lake.instance, flatten_edxorg_course_structure) == []


def test_a_failure_is_over_when_something_is_recorded(lake: Lake, daemon: Daemon) -> None:
    changes = [
        (b"{}", 2),
        (structure("A"), 1),
        (structure("B"), 1),
        (b"{}", 2),
        (structure("B"), 2),  # there is nothing to record, so that Dagster still takes the partition for failed
        (structure("C"), 1),
        (structure("D"), 1),
    ]
    for content, expected in changes:
        lake.bring(COURSE_STRUCTURE, content)
        runs = 0
        while daemon.tick() and runs < 5:
            lake.flatten()
            runs += 1
        assert (content, runs) == (content, expected)


def test_a_version_that_comes_during_a_run_is_not_lost(
    lake: Lake, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has read the earlier version, and records what it made of it after the later one has come."""
    lake.bring(COURSE_STRUCTURE, structure("A"))
    assert daemon.tick() == {PARTITION}
    ticks: list[set[str | None]] = []

    def update_meanwhile(output: JsonLines) -> str:
        monkeypatch.undo()
        lake.bring(COURSE_STRUCTURE, structure("B"))
        thread = threading.Thread(target=lambda: ticks.append(daemon.tick()))
        thread.start()
        thread.join()
        return original(output)

    original = JsonLines.data_version
    monkeypatch.setattr(JsonLines, "data_version", update_meanwhile)
    assert lake.flatten().success
    assert ticks == [set()], "the partition is being run"
    assert daemon.tick() == {PARTITION}
    assert lake.flatten().success
    assert daemon.tick() == set()
    latest = lake.folder / lake.latest("course_blocks")["object_key"]
    assert b'"course_title": "B"' in latest.read_bytes()


def test_what_was_there_before_starts_nothing(lake: Lake) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    lake.bring(COURSE_STRUCTURE, b"{}", "MITx-bad-1T2020|prod")
    assert not lake.flatten("MITx-bad-1T2020|prod").success
    daemon = Daemon(lake)
    assert [daemon.at_first, daemon.tick()] == [set()] * 2


@pytest.mark.parametrize("follow_code", [True, False])
def test_a_release_that_reads_courses_better_makes_all_again_if_that_is_wanted(
    lake: Lake, *, follow_code: bool
) -> None:
    def definition(version: str) -> dg.AssetsDefinition:
        rows = course_structure_rows(follow_code=follow_code)
        return rows.map_asset_specs(lambda spec: spec.replace_attributes(code_version=version))

    lake.bring(COURSE_STRUCTURE, structure())
    lake.bring(COURSE_STRUCTURE, structure(), OTHER)
    lake.instance.add_dynamic_partitions("course_and_source", ["MITx-empty-1T2020|prod"])
    daemon = Daemon(lake, dummy_edxorg_course_structure, definition("1"))
    assert daemon.tick() == set()
    daemon.assets = (dummy_edxorg_course_structure, definition("2"))  # a new release
    assert daemon.tick() == ({PARTITION, OTHER} if follow_code else set())
    assert daemon.tick() == set()


def test_hundreds_of_courses_in_one_tick(lake: Lake, daemon: Daemon) -> None:
    partitions = [f"MITx-{number}x-1T2020|prod" for number in range(200)]
    lake.instance.add_dynamic_partitions("course_and_source", partitions)
    for partition in partitions:
        lake.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                dg.AssetKey.from_user_string(COURSE_STRUCTURE),
                partition=partition,
                tags={"dagster/data_version": "1"},
            )
        )
    assert daemon.tick() == set(partitions)
    assert daemon.tick() == set()


def test_the_check_lists_failed_partitions_and_why(lake: Lake) -> None:
    bad = [f"MITx-bad{number}-1T2020|prod" for number in range(2)]
    lake.bring(COURSE_STRUCTURE, structure())
    assert lake.flatten().success
    for partition in bad:
        lake.bring(COURSE_STRUCTURE, b"{}", partition)
        assert not lake.flatten(partition).success
    results = check_results(lake)
    found = results["course_structure"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["failed_partitions"].value == 2
    reasons = str(found.metadata["reasons"].value)
    assert reasons.count("is an empty object: a structure without blocks") == 2
    assert "MITx-bad0-1T2020&#124;prod" in reasons
    assert results["course_xml"].passed
    assert results["raw_tracking_logs"].passed


def test_an_asset_is_not_blamed_for_another_one_in_its_run(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml())
    assert lake.extract().success
    lake.bring(COURSE_STRUCTURE, b"{}")
    assert not lake.run([*STRUCTURE_OUTPUTS, *XML_OUTPUTS]).success
    results = check_results(lake)
    assert not results["course_structure"].passed
    assert results["course_xml"].passed
    lake.bring(COURSE_XML, b"no archive")
    assert not lake.run([*STRUCTURE_OUTPUTS, *XML_OUTPUTS]).success
    reasons = {
        output: str(found.metadata["reasons"].value)
        for output, found in check_results(lake).items()
        if not found.passed
    }
    assert reasons.keys() == {"course_structure", "course_xml"}
    assert "a structure without blocks" in reasons["course_structure"]
    assert "this is no gzip file, but text" in reasons["course_xml"]


def test_a_partition_that_was_deleted_is_not_listed(lake: Lake) -> None:
    lake.bring(COURSE_STRUCTURE, b"{}")
    assert not lake.flatten().success
    assert not check_results(lake)["course_structure"].passed
    lake.instance.delete_dynamic_partition("course_and_source", PARTITION)
    assert check_results(lake)["course_structure"].passed


def test_a_log_that_failed_is_listed_too(lake: Lake) -> None:
    settings = Settings(archive_url=f"file://{lake.folder}", landing_zone_url=lake.url)
    partition = "mitx-edx-events-2024-01-31.log.gz"
    lake.instance.add_dynamic_partitions("edxorg_tracking_log", [partition])
    job = build_definitions(settings).resolve_job_def("refresh_edxorg_tracking_logs")
    assert not job.execute_in_process(
        instance=lake.instance, partition_key=partition, raise_on_error=False, run_config=QUIET
    ).success
    results = check_results(lake)
    assert f"| {partition} |" in str(results["raw_tracking_logs"].metadata["reasons"].value)
    assert results["course_xml"].passed


def test_the_check_can_be_run_for_one_asset_alone(lake: Lake) -> None:
    assert check_results(lake, "course_xml").keys() == {"course_xml"}


def test_the_check_has_a_schedule_of_its_own() -> None:
    hourly: dg.AutomationCondition[dg.AssetCheckKey] = dg.AutomationCondition.cron_tick_passed("30 * * * *")
    graph = build_definitions(Settings()).resolve_asset_graph()
    found = [graph.get(key) for key in graph.asset_check_keys if key.name == CHECK]
    assert sorted(each.key.asset_key.path[-1] for each in found) == CHECKED
    for each in found:
        assert each.automation_condition == hourly
        assert not each.blocking


def check_results(lake: Lake, *outputs: str) -> dict[str, dg.AssetCheckEvaluation]:
    """What the location's check finds, of all its assets by default."""
    job = build_definitions(Settings()).resolve_implicit_global_asset_job_def()
    keys = {key for key in job.asset_layer.asset_graph.asset_check_keys if key.name == CHECK}
    wanted = {key for key in keys if not outputs or key.asset_key.path[-1] in outputs}
    result = job.get_subset(asset_selection=set(), asset_check_selection=wanted).execute_in_process(
        instance=lake.instance, run_config=QUIET
    )
    return {each.asset_key.path[-1]: each for each in result.get_asset_check_evaluations()}
