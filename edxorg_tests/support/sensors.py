"""Sensors as the code server evaluates them, and as the daemon acts upon the result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.impl import get_external_sensor_execution
from sqlalchemy.engine import Connection

from edxorg.components.edxorg_location import build_definitions
from ol_orchestrate import runs_under_way
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    import pytest

    from edxorg.lib.settings import Settings

ARCHIVES = "gcs_edxorg_archive_sensor"
LOGS = "gcs_edxorg_tracking_log_sensor"
REPORTS = "edxorg_program_reports_sensor"
RAW_ARCHIVE = dg.AssetKey(["edxorg", "raw_data_archive"])
JOBS = {
    ARCHIVES: "retrieve_edxorg_raw_data",
    LOGS: "refresh_edxorg_tracking_logs",
    REPORTS: "sync_edxorg_program_reports",
}
DONE, FAILED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
STARTED, CANCELED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELED


class Daemon:
    """What Dagster's daemon does with a sensor of this location, without starting the runs."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.source = open_store(settings.archive_url)
        self.repository = build_definitions(settings).get_repository_def()

    def evaluate(self, sensor: str) -> SensorExecutionData:
        answer = get_external_sensor_execution(
            self.repository,
            RegisteredCodeLocationOrigin("edxorg"),
            self.instance.get_ref(),
            sensor,
            None,
            None,
            None,
            None,
            None,
        )
        assert isinstance(answer, SensorExecutionData), answer
        return answer

    def tick(self, sensor: str = ARCHIVES) -> list[str]:
        """Evaluate, record and launch; return the partitions for which runs were launched, or their numbers."""
        answer = self.evaluate(sensor)
        self.record(answer)
        assert answer.cursor is None  # nothing that could grow, or be lost
        return self.launch(sensor, answer)

    def record(self, answer: SensorExecutionData) -> None:
        for event in answer.asset_events:
            assert isinstance(event, dg.AssetMaterialization)
            self.instance.report_runless_asset_event(event)
        for request in answer.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))

    def launch(self, sensor: str, answer: SensorExecutionData) -> list[str]:
        launched = []
        for request in answer.run_requests or []:
            tags = {**request.tags}
            if request.run_key is not None:
                tags["dagster/run_key"] = request.run_key
                if self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key})):
                    continue
            create_run_for_test(
                self.instance,
                job_name=JOBS[sensor],
                run_config=dict(request.run_config),
                status=dg.DagsterRunStatus.NOT_STARTED,
                tags=tags,
            )
            launched.append(request.partition_key or "")
        return launched

    def end(self, status: dg.DagsterRunStatus, **tags: str) -> None:
        """End all runs that are under way."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(runs_under_way.UNFINISHED))):
            self.instance.add_run_tags(run.run_id, tags)
            self.become(run.run_id, status)

    def become(self, run_id: str, status: dg.DagsterRunStatus) -> None:
        events = {
            DONE: dg.DagsterEventType.RUN_SUCCESS,
            FAILED: dg.DagsterEventType.RUN_FAILURE,
            CANCELED: dg.DagsterEventType.RUN_CANCELED,
            STARTED: dg.DagsterEventType.RUN_START,
        }
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        event = dg.DagsterEvent(event_type_value=events[status].value, job_name=run.job_name)
        self.instance.report_dagster_event(event, run_id)

    def recorded(self) -> list[dg.AssetMaterialization]:
        records = self.instance.fetch_materializations(RAW_ARCHIVE, limit=1000).records
        return [each.asset_materialization for each in records if each.asset_materialization]


def count_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those that read from SQLite, from now on."""
    statements: list[str] = []
    execute = Connection.execute

    def counted(connection: Connection, statement: object, *args: object, **kwargs: object) -> object:
        if re.match(r"(?s)\s*SELECT", str(statement)) and "alembic" not in str(statement):
            statements.append(str(statement))
        return execute(connection, statement, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Connection, "execute", counted)
    return statements
