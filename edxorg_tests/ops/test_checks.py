"""The checks of an archive on a real instance, and all checks in the UI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from edxorg.assets.edxorg_archive import raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.ops.checks import raw_log_checks
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.location import ArchiveLocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.source_files import SourceFiles

FIRST, SECOND, THIRD = "mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz", "mitx-2024-02-07.tar.gz"
RAW_ARCHIVE = dg.AssetKey(["edxorg", "raw_data_archive"])
ARCHIVE_CHECKS = {"rejected_rows", "missing_tables", "unclear_members", "shrunken_tables", "changed_columns"}


@pytest.fixture
def location(tmp_path: Path) -> Iterator[ArchiveLocation]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield ArchiveLocation(tmp_path, instance)


def evaluations(location: ArchiveLocation, partition: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The latest ones of a partition."""
    found: dict[str, dg.AssetCheckEvaluation] = {}
    for name in ARCHIVE_CHECKS:
        for record in location.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(RAW_ARCHIVE, name), limit=100
        ):
            if record.evaluation and record.evaluation.partition == partition:
                found.setdefault(name, record.evaluation)
    return found


def metadata(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_an_archive_as_it_should_be_passes_them_all(location: ArchiveLocation) -> None:
    write_archive(location.archives / FIRST, {table_name(): TABLE})
    assert location.run(FIRST).success
    found = evaluations(location, FIRST)
    assert found.keys() == ARCHIVE_CHECKS
    assert all(each.passed for each in found.values())


def cells(table: str) -> list[str]:
    """The rows of a Markdown table of one column."""
    return [line.removeprefix("| ").removesuffix(" |") for line in table.splitlines()[2:]]


def test_each_check_warns_of_its_subject(location: ArchiveLocation) -> None:
    teams, roles, emptied = table_name("teams"), table_name("student_roles"), table_name("wiki_article")
    nine_rows = b"id\tname\n" + b"1\tx\n" * 9
    write_archive(
        location.archives / FIRST, {table_name(): TABLE, teams: nine_rows, roles: nine_rows, emptied: nine_rows}
    )
    location.run(FIRST)
    write_archive(
        location.archives / SECOND,
        {
            table_name(): b"id\tname\n1\tAda\n2\tGrace\n3\n",
            teams: b"id\ttitle\n" + b"1\tx\n" * 5,
            roles: b"id\tname\n" + b"1\tx\n" * 4,
            emptied: b"id\tname\n",
            f"{table_name('missed')}.failed": b"",
            "odd.csv": b"1",
            table_name("teams", course="MITx-6.00x-A-2012"): TABLE,
        },
    )
    assert location.run(SECOND).success, "they block nothing"
    found = evaluations(location, SECOND)
    assert {name for name, each in found.items() if each.passed} == set()
    assert {each.severity for each in found.values()} == {dg.AssetCheckSeverity.WARN}
    told = {name: metadata(each) for name, each in found.items()}
    assert told["rejected_rows"]["found"] >= 1
    assert "auth_user" in told["rejected_rows"]["by table"]
    assert table_name() in told["rejected_rows"]["new"]
    assert cells(told["missing_tables"]["members"]) == [f"{table_name('missed')}.failed"]
    assert told["unclear_members"]["found"] == 2
    assert cells(told["unclear_members"]["members"]) == ["odd.csv"]
    assert cells(told["unclear_members"]["ambiguous courses"]) == ["MITx-6.00x-A-2012"]
    assert cells(told["shrunken_tables"]["tables"]) == [
        f"{roles}: 9 rows before, 4 now",
        f"{emptied}: 9 rows before, 0 now",
    ]
    assert cells(told["changed_columns"]["tables"]) == [f"{teams}: title came; name went"]
    assert all(each.passed for each in evaluations(location, FIRST).values())

    assert location.run(SECOND).success
    again = {name: metadata(each) for name, each in evaluations(location, SECOND).items()}
    for check in ("rejected_rows", "shrunken_tables", "changed_columns"):
        assert again[check] == told[check], "a run that is repeated, by a retry too, takes nothing back"


def test_columns_that_changed_are_told_without_names_where_the_version_before_is_gone(
    location: ArchiveLocation,
) -> None:
    name = table_name("teams")
    write_archive(location.archives / FIRST, {name: b"id\tname\n1\tx\n"})
    location.run(FIRST)
    for path in location.lake.rglob("*.tsv"):
        path.unlink()
    write_archive(location.archives / SECOND, {name: b"id\ttitle\n1\tx\n"})
    assert location.run(SECOND).success
    assert cells(metadata(evaluations(location, SECOND)["changed_columns"])["tables"]) == [name]


def test_columns_in_another_order_are_told_so(location: ArchiveLocation) -> None:
    name = table_name("teams")
    for archive, header in ((FIRST, b"id\tname"), (SECOND, b"name\tid")):
        write_archive(location.archives / archive, {name: header + b"\n1\tx\n"})
        assert location.run(archive).success
    told = metadata(evaluations(location, SECOND)["changed_columns"])["tables"]
    assert cells(told) == [f"{name}: in another order"]


def test_a_table_that_stays_small_is_told_of_once(location: ArchiveLocation) -> None:
    tables = {table_name(): b"id\tname\n" + b"1\tx\n" * 9}, {table_name(): TABLE}, {table_name(): TABLE}
    for name, members in zip((FIRST, SECOND, THIRD), tables, strict=True):
        write_archive(location.archives / name, members)
        location.run(name)
    assert [evaluations(location, name)["shrunken_tables"].passed for name in (FIRST, SECOND, THIRD)] == [
        True,
        False,
        True,
    ]


def test_a_table_that_stays_empty_is_told_of_once(location: ArchiveLocation) -> None:
    tables = {table_name(): TABLE}, {table_name(): b"id\tname\n"}, {table_name(): b"id\tname\n"}
    for name, members in zip((FIRST, SECOND, THIRD), tables, strict=True):
        write_archive(location.archives / name, members)
    for name in (FIRST, SECOND, THIRD, SECOND):
        assert location.run(name).success
    passed = [evaluations(location, name)["shrunken_tables"].passed for name in (FIRST, SECOND, THIRD)]
    assert passed == [True, False, True]


def test_users_see_the_checks_on_the_raw_assets() -> None:
    defs = build_definitions(Settings())

    graph = defs.resolve_asset_graph()
    assert {(key.asset_key.path[-1], key.name) for key in graph.asset_check_keys} >= {
        ("raw_tracking_logs", "rejected_lines"),
        *(("raw_data_archive", name) for name in ARCHIVE_CHECKS),
    }


def checks_run_by_hand(files: SourceFiles) -> dg.JobDefinition:
    """The job that "Execute all" starts on the page of the raw logs."""
    defs = dg.Definitions(
        assets=[files.asset()],
        asset_checks=[raw_log_checks(files)],
        jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all_asset_checks())],
        resources={"gcs_input": dg.mem_io_manager},
    )
    return defs.resolve_job_def("checks")


def test_a_check_run_by_hand_names_the_job_to_run() -> None:
    job = checks_run_by_hand(raw_tracking_logs(Settings()))
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    (event,) = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert "run it for the partition" in (event.step_failure_data.user_failure_data.description or "")


def test_checks_run_by_hand_leave_what_was_found() -> None:
    files = raw_tracking_logs(Settings())
    job = checks_run_by_hand(files)
    check = dg.AssetCheckKey(files.key(), "rejected_lines")
    with dg.instance_for_test() as instance:
        found = dg.AssetCheckEvaluation(
            check.asset_key,
            check.name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            partition="a",
            metadata={"found": 7},
        )
        instance.add_dynamic_partitions(files.partitions, ["a"])
        instance.report_runless_asset_event(dg.AssetMaterialization(files.key(), partition="a"))
        instance.report_runless_asset_event(found)
        for _ in range(2):
            assert job.execute_in_process(instance=instance).success
        (latest,) = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).values()
    assert latest.evaluation is not None
    assert (latest.evaluation.passed, latest.evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert latest.evaluation.metadata["found"].value == 7
    assert latest.evaluation.metadata["found in"].value == "a"


def catalogue_age(instance: dg.DagsterInstance, *, hours: int) -> dg.AssetCheckEvaluation:
    """The check's evaluation, where the catalogue counts as stale after some hours."""
    location = build_definitions(Settings(environment="qa", catalogue_max_age_hours=hours))
    check = dg.AssetCheckKey(dg.AssetKey(["edxorg", "api_data", "program_metadata"]), "catalogue_age")
    job = location.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={check})
    (evaluation,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    return evaluation


def test_a_catalogue_is_stale_some_hours_after_its_last_complete_run(monkeypatch: pytest.MonkeyPatch) -> None:
    job = build_definitions(Settings()).resolve_job_def("edxorg_api_daily_job")
    with dg.instance_for_test() as instance:
        never = catalogue_age(instance, hours=2)
        assert (never.passed, "edxorg_api_daily_job has never succeeded" in str(never.description)) == (False, True)
        instance.report_run_failed(instance.create_run_for_job(job))
        assert not catalogue_age(instance, hours=2).passed
        run = instance.create_run_for_job(job)
        event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=job.name)
        instance.report_dagster_event(event, run.run_id)
        assert catalogue_age(instance, hours=2).passed
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3 * 3600)
        late = catalogue_age(instance, hours=2)
        assert not late.passed
        assert late.metadata["last complete run"].value == pytest.approx(now, abs=60)
        assert catalogue_age(instance, hours=4).passed


@pytest.mark.parametrize(("environment", "there"), [("dev", False), ("production", True)])
def test_no_catalogue_counts_as_stale_in_dev(environment: str, there: bool) -> None:  # noqa: FBT001
    keys = build_definitions(Settings(environment=environment)).resolve_asset_graph().asset_check_keys
    assert ("catalogue_age" in {key.name for key in keys}) == there
