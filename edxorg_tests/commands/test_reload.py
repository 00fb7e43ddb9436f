"""History that comes in again."""

from __future__ import annotations

import gzip
import shutil
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from edxorg.commands import homes, reload, runs
from edxorg.jobs import max_runtime
from edxorg.lib import code_versions
from edxorg.lib.object_keys import COURSE_STRUCTURE
from edxorg.location import EDXORG
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.course_files import Lake, course_xml, structure
from ol_orchestrate.landing.course_outputs import more_courses

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell

ARCHIVES = ["mitx-2024-01-03.tar.gz", "mitx-2024-01-10.tar.gz", "mitx-2024-02-07.tar.gz"]
LOG = "mitx-edx-events-2024-01-05.log.gz"
LATER_LOG = "mitx-edx-events-2024-01-06.log.gz"
ARCHIVE_ASSET = dg.AssetKey(["edxorg", "raw_data_archive"])
DAYS = ("--from", "2024-01-01", "--to", "2024-01-31")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "source"
    for number, name in enumerate(ARCHIVES):
        members = {
            table_name(): TABLE + b"%d\tx\n" % number,
            "MITx-6.00x-2012_Fall-course_structure-prod-analytics.json": structure(str(number)),
            "MITx-6.00x-2012_Fall-course-prod-analytics.xml.tar.gz": course_xml(str(number)),
        }
        write_archive(folder / name, members)
    (folder / LOG).write_bytes(gzip.compress(b'{"name": "a"}\n'))
    monkeypatch.setenv("EDXORG_ARCHIVE_URL", f"file://{folder}")
    monkeypatch.setenv("EDXORG_LANDING_ZONE_URL", f"file://{tmp_path}/lake")
    return folder


def test_a_reload_runs_oldest_first_goes_on_where_it_was_stopped_and_is_recorded(
    source: Path, edxorg: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.is_dir()
    started: list[str] = []
    run_for_file = runs.run_for_file

    def noted(*arguments: Any, **options: Any) -> list[str]:  # noqa: ANN401
        started.append(arguments[3].name)
        if started == [ARCHIVES[0], LOG]:
            raise RuntimeError("killed")
        return run_for_file(*arguments, **options)

    monkeypatch.setattr(runs, "run_for_file", noted)
    code, out, _ = edxorg("reload", *DAYS, "--dry-run")
    assert code == 0
    assert "its speed is not known" in out
    assert started == []

    assert edxorg("reload", *DAYS)[0] == 1
    assert started == [ARCHIVES[0], LOG]
    started.clear()
    code, out, _ = edxorg("reload", *DAYS)
    assert (code, started) == (0, [LOG, ARCHIVES[1]])
    assert out.splitlines()[:4] == [
        f"2 of 3: logs, {LOG}",
        "3 of 3: tables, mitx-2024-01-10.tar.gz",
        "1 of 2: content, MITx-6.00x-2012_Fall|prod",
        "2 of 2: content, MITx-6.00x-2012_Fall|prod",
    ]

    code, out, _ = edxorg("reload", *DAYS, "--only", "content")
    assert code == 0
    assert "2 of 2: content, MITx-6.00x-2012_Fall|prod" in out
    code, out, _ = edxorg("reload", *DAYS, "--dry-run")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [["tables", "2"], ["logs", "1"], ["content", "2"]]
    assert "?" not in out
    with homes.dagster_instance() as instance:
        records = instance.fetch_observations(ARCHIVE_ASSET, limit=20).records
        told = [each.asset_observation.metadata for each in records if each.asset_observation]
        made = [
            instance.get_materialized_partitions(dg.AssetKey(["edxorg", "processed_data", output]))
            for output in ("flattened_course_structure", "course_metadata")
        ]
    reloads = [{name: value.value for name, value in each.items()} for each in told if "reload" in each]
    assert [("from" in each, each.get("failed")) for each in reloads] == [
        (False, []),
        (True, None),
        (False, []),
        (True, None),
    ]
    assert made == [{"MITx-6.00x-2012_Fall|prod"}] * 2


def test_a_reload_needs_to_know_the_days(edxorg: Shell) -> None:
    code, _, err = edxorg("reload", "--from", "2024-01-01")
    assert code == 2
    assert "--from and --to" in err


def test_a_resumed_reload_finds_its_record_and_leaves_out_no_course(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it goes on, archives leave observations, a course comes, another changes, and so does the size of runs."""
    names = {each: f"MITx-{each}-2012_Fall|prod" for each in ("1", "2", "3", "4")}
    started: list[list[str]] = []
    run_job = runs.run_job

    def noted(*arguments: Any, **options: Any) -> list[str]:  # noqa: ANN401
        assert options["tags"].items() >= max_runtime.OTHERS.items()
        started.append([arguments[2], *more_courses(options["tags"])])
        if len(started) == 2:
            raise RuntimeError("killed")
        return run_job(*arguments, **options)

    def bring(course: str, title: str) -> None:
        with homes.dagster_instance() as instance:
            asset = EDXORG.key(COURSE_STRUCTURE).to_user_string()
            Lake(tmp_path, instance).bring(asset, structure(title), names[course], date(2024, 1, 3))

    monkeypatch.setattr(runs, "run_job", noted)
    monkeypatch.setattr(reload, "RECORDS_AT_ONCE", 1)
    monkeypatch.setenv("EDXORG_LANDING_ZONE_URL", f"file://{tmp_path}/lake")
    monkeypatch.setenv("EDXORG_COURSES_A_RUN", "2")
    for course in ("2", "3", "4"):
        bring(course, "before")
    assert edxorg("reload", *DAYS, "--only", "content")[0] == 1
    assert started == [[names["2"], names["3"]], [names["4"]]]

    with homes.dagster_instance() as instance:
        for _ in range(2):
            instance.report_runless_asset_event(dg.AssetObservation(ARCHIVE_ASSET))
    bring("1", "added")
    bring("3", "after")
    monkeypatch.setenv("EDXORG_COURSES_A_RUN", "250")
    code, _, err = edxorg("reload", *DAYS, "--only", "content")
    assert (code, err) == (0, "")
    assert started[2:] == [[names["1"], names["3"], names["4"]]]
    with homes.dagster_instance() as instance:
        made = instance.get_materialized_partitions(dg.AssetKey(["edxorg", "processed_data", "course_blocks"]))
    assert made == set(names.values())


def test_a_resumed_reload_takes_again_a_file_that_was_published_again_and_all_for_a_newer_parser_or_another_source(
    source: Path, edxorg: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / LATER_LOG).write_bytes(gzip.compress(b'{"name": "b"}\n'))
    other = source.parent / "other"
    shutil.copytree(source, other)
    run_for_file = runs.run_for_file
    started: list[str] = []

    def started_until(killed: int) -> list[str]:
        def noted(*arguments: Any, **options: Any) -> list[str]:  # noqa: ANN401
            started.append(arguments[3].name)
            if len(started) == killed:
                raise RuntimeError("killed")
            return run_for_file(*arguments, **options)

        started.clear()
        monkeypatch.setattr(runs, "run_for_file", noted)
        assert edxorg("reload", *DAYS, "--only", "logs")[0] == 1
        return started

    assert started_until(killed=2) == [LOG, LATER_LOG]
    assert started_until(killed=1) == [LATER_LOG]
    with monkeypatch.context() as newer:
        newer.setattr(code_versions, "OF_TRACKING_LOGS", code_versions.OF_TRACKING_LOGS + 1)
        assert started_until(killed=1) == [LOG]
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("EDXORG_ARCHIVE_URL", f"file://{other}")
        assert started_until(killed=1) == [LOG]
    assert started_until(killed=1) == [LATER_LOG]
    (source / LOG).write_bytes(gzip.compress(b'{"name": "published again"}\n'))
    assert started_until(killed=1) == [LOG]


def test_a_reload_of_days_without_anything_says_so_and_leaves_nothing(source: Path, edxorg: Shell) -> None:
    days = ("--from", "2023-01-01", "--to", "2023-01-31")
    assert edxorg("reload", *days)[:2] == (0, "There is nothing of these days\n")
    assert edxorg("reload", *days, "--dry-run")[:2] == (0, "There is nothing of these days\n")
    assert not (source.parent / "lake").exists()
    with homes.dagster_instance() as instance:
        assert not instance.fetch_observations(ARCHIVE_ASSET, limit=1).records
