"""The sensor of program reports: which it asks for, and in how many runs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import strategies as st

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.ops.program_reports import report_runs
from edxorg_tests.support.sensors import (
    FAILED,
    JOBS,
    REPORTS,
    Daemon,
    count_statements,
)
from ol_orchestrate.lib import reconciled_copies
from ol_orchestrate.lib.stores import ObjectStore, open_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RUNS = report_runs(Settings())


class TestProgramReports:
    def stores(self, daemon: Daemon) -> tuple[ObjectStore, ObjectStore]:
        return (
            open_store(daemon.settings.program_reports_url),
            open_store(daemon.settings.program_reports_destination_url),
        )

    def requested(self, daemon: Daemon) -> list[list[str]]:
        return [RUNS.requested_keys(request.run_config) for request in daemon.evaluate(REPORTS).run_requests or []]

    def test_what_is_missing_changed_or_lost_is_requested(self, daemon: Daemon, tmp_path: Path) -> None:
        reports, copies = self.stores(daemon)
        for name in ("missing.csv", "lost.csv", "longer.csv", "newer.csv", "same.csv"):
            reports.write(name, b"1")
            if name not in {"missing.csv", "lost.csv"}:
                copies.write(name, b"1")
        reports.write("longer.csv", b"22")
        os.utime(tmp_path / "reports" / "longer.csv", (0, 0))
        os.utime(tmp_path / "reports" / "same.csv", (0, 0))
        os.utime(tmp_path / "copies" / "newer.csv", (0, 0))
        assert self.requested(daemon) == [["longer.csv", "lost.csv", "missing.csv", "newer.csv"]]

    def test_a_request_under_way_is_not_made_twice_and_a_failed_one_heals(self, daemon: Daemon) -> None:
        reports, _ = self.stores(daemon)
        reports.write("a.csv", b"1")
        assert len(daemon.tick(REPORTS)) == 1
        reports.write("b.csv", b"1")
        assert self.requested(daemon) == [["b.csv"]]
        daemon.end(FAILED)
        assert self.requested(daemon) == [["a.csv", "b.csv"]]
        assert len(daemon.tick(REPORTS)) == 1

    def test_a_run_without_keys_is_waited_for(self, daemon: Daemon) -> None:
        reports, _ = self.stores(daemon)
        reports.write("a.csv", b"1")
        create_run_for_test(daemon.instance, job_name=JOBS[REPORTS], status=dg.DagsterRunStatus.NOT_STARTED)
        assert "without keys" in str(daemon.evaluate(REPORTS).skip_message)

    def test_many_reports_are_many_runs(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciled_copies, "OBJECTS_A_RUN", 5)
        monkeypatch.setattr(reconciled_copies, "BYTES_A_RUN", 20)
        reports, _ = self.stores(daemon)
        for number, size in enumerate([1, 1, 1, 1, 1, 1, 15, 15, 50]):
            reports.write(f"{number}.csv", bytes(size))
        assert [len(keys) for keys in self.requested(daemon)] == [5, 2, 1, 1]

    def test_at_most_fifty_runs_a_tick_and_the_rest_at_the_next(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciled_copies, "OBJECTS_A_RUN", 2)
        reports, _ = self.stores(daemon)
        for number in range(110):
            reports.write(f"{number:03}.csv", b"1")
        assert [len(daemon.tick(REPORTS)) for _ in range(3)] == [50, 5, 0]
        asked = [RUNS.requested_keys(run.run_config) for run in daemon.instance.get_runs()]
        assert sorted(key for keys in asked for key in keys) == [f"{number:03}.csv" for number in range(110)]

    def test_a_tick_asks_the_instance_a_handful_of_times(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        reports, _ = self.stores(daemon)
        for number in range(300):
            reports.write(f"{number}.csv", b"1")
        statements = count_statements(monkeypatch)
        assert len(self.requested(daemon)) == 1
        assert 1 <= len(statements) <= 3

    def test_nothing_to_do_says_what_was_seen(self, daemon: Daemon) -> None:
        assert re.match("0 reports in file://.*: 0 need a copy", str(daemon.evaluate(REPORTS).skip_message))

    @given(st.lists(st.text()))
    def test_keys_go_through_a_runs_config(self, keys: list[str]) -> None:
        assert RUNS.requested_keys(RUNS.run_config(keys)) == keys

    def test_a_run_asked_for_by_the_sensor_does_it(self, daemon: Daemon) -> None:
        reports, copies = self.stores(daemon)
        reports.write("a.csv", b"1")
        (request,) = daemon.evaluate(REPORTS).run_requests or []
        job = self.job(daemon)
        result = job.execute_in_process(run_config=dict(request.run_config), instance=daemon.instance)
        assert result.success
        assert b"".join(copies.read("a.csv")) == b"1"

    def job(self, daemon: Daemon) -> dg.JobDefinition:
        return build_definitions(daemon.settings).resolve_job_def(JOBS[REPORTS])


def test_without_program_reports_their_sensor_says_what_to_set(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        daemon = Daemon(Settings(institution="delftx", archive_url=f"file://{tmp_path}"), instance)
        skipped = daemon.evaluate(REPORTS).skip_message
    assert "EDXORG_PROGRAM_REPORTS_URL is not set" in str(skipped)
