"""History that comes in again."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from edxorg.commands import homes, runs
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.course_files import course_xml, structure

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell

ARCHIVES = ["mitx-2024-01-03.tar.gz", "mitx-2024-01-10.tar.gz", "mitx-2024-02-07.tar.gz"]
LOG = "mitx-edx-events-2024-01-05.log.gz"
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
        records = instance.fetch_observations(dg.AssetKey(["edxorg", "raw_data_archive"]), limit=20).records
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
