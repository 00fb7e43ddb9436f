"""The sensors on a real instance, evaluated as the code server does it, and acted upon as the daemon does it."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.impl import get_external_sensor_execution
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, CursorResult, Row

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib import program_reports
from edxorg.lib.settings import Settings
from edxorg.ops.program_reports import requested_keys, run_config_for
from edxorg.sensors import run_decision
from edxorg.sensors.run_decision import NEEDS_A_RUN, LatestRun, RunDecision, RunOutcome, decide_run
from ol_orchestrate.lib.stores import ObjectStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, S3Server

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


def archive(day: int, month: int = 1) -> str:
    return f"mitx-2024-{month:02}-{day:02}.tar.gz"


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
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(run_decision.UNFINISHED))):
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


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Over folders."""
    settings = Settings(
        archive_url=f"file://{tmp_path}/archives",
        program_reports_url=f"file://{tmp_path}/reports",
        program_reports_destination_url=f"file://{tmp_path}/copies",
        archive_source_configured=True,
    )
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Daemon(settings, instance)


class TestNewFiles:
    def test_a_new_file_becomes_a_partition_a_materialization_and_a_run(self, daemon: Daemon) -> None:
        daemon.source.write(archive(3), b"123")
        answer = daemon.evaluate(ARCHIVES)
        (request,) = answer.run_requests or []
        assert request.partition_key == archive(3)
        assert request.tags["dagster/partition"] == archive(3)
        daemon.record(answer)
        assert daemon.instance.get_dynamic_partitions("edxorg_archive") == [archive(3)]
        (recorded,) = daemon.recorded()
        found = daemon.source.find(archive(3))
        assert found is not None
        assert recorded.partition == archive(3)
        assert recorded.metadata["path"].value == f"{daemon.source.url}/{archive(3)}"
        assert recorded.metadata["size"].value == 3
        assert recorded.metadata["created"].value == pytest.approx(found.modified.timestamp())
        assert recorded.tags is not None
        assert recorded.tags["dagster/data_version"] == found.version == daemon.source.read(archive(3)).info.version
        assert daemon.launch(ARCHIVES, answer) == [archive(3)]
        assert daemon.tick() == []
        daemon.end(DONE)
        assert daemon.tick() == []
        assert len(daemon.recorded()) == 1

    def test_each_sensor_has_its_own_files_and_reports_only_files_of_no_sensor(self, daemon: Daemon) -> None:
        log = "mitx-edx-events-2024-01-31.log.gz"
        for name in (archive(1), log, "internal-2013-01-01.zip", "mitx-2024-02-31.tar.gz", "sub/README"):
            daemon.source.write(name, b"1")
        assert daemon.tick(ARCHIVES) == [archive(1)]
        assert daemon.tick(LOGS) == [log]
        skipped = daemon.evaluate(ARCHIVES).skip_message
        assert skipped is not None
        assert "1 files in file://" in skipped
        assert "1 of another sensor" in skipped
        assert "3 ignored for their names: 'internal-2013-01-01.zip', 'mitx-2024-02-31.tar.gz', 'sub/README'" in skipped
        assert daemon.instance.get_dynamic_partitions("edxorg_tracking_log") == [log]

    def test_files_in_folders_below_are_found_and_recorded_where_they_are(self, daemon: Daemon) -> None:
        for key in (f"2024/01/{archive(1)}", f"copies/{archive(1)}", f"a/{archive(2)}", f"b/{archive(2)}"):
            daemon.source.write(key, b"1")
        assert daemon.tick() == [archive(1), archive(2)]
        paths = {str(each.partition): each.metadata["path"].value for each in daemon.recorded()}
        url = daemon.source.url
        assert paths == {archive(1): f"{url}/copies/{archive(1)}", archive(2): f"{url}/a/{archive(2)}"}
        skipped = daemon.evaluate(ARCHIVES).skip_message
        assert skipped is not None
        assert f"'b/{archive(2)}' has the name of 'a/{archive(2)}', which counts, and 1 more" in skipped

    def test_logs_may_lie_in_a_place_of_their_own(self, daemon: Daemon, tmp_path: Path) -> None:
        log = "mitx-edx-events-2024-01-31.log.gz"
        logs = open_store(f"file://{tmp_path}/logs")
        logs.write(f"prod/events/2024/{log}", b"1")
        settings = daemon.settings.model_copy(update={"tracking_log_url": logs.url})
        assert Daemon(settings, daemon.instance).tick(LOGS) == [log]

    def test_at_most_fifty_a_tick_the_oldest_first(self, daemon: Daemon) -> None:
        names = [archive(day, month) for month in (1, 2, 3, 4, 5) for day in range(1, 13)]
        for name in reversed(names):
            daemon.source.write(name, b"1")
        ticks = [daemon.tick() for _ in range(3)]
        assert ticks == [names[:50], names[50:], []]
        assert len(daemon.instance.get_dynamic_partitions("edxorg_archive")) == len(names)

    def test_a_bucket_without_files_says_so(self, daemon: Daemon) -> None:
        assert daemon.evaluate(ARCHIVES).skip_message == f"0 files in {daemon.source.url}. 0 runs requested"

    def test_what_was_ingested_by_hand_does_not_run_again(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        raw_data_archives(daemon.settings).register(daemon.instance, daemon.source.read(archive(1)).info)
        create_run_for_test(
            daemon.instance, job_name=JOBS[ARCHIVES], status=DONE, tags={"dagster/partition": archive(1)}
        )
        assert daemon.tick() == []

    def test_what_was_only_recorded_by_hand_runs(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        raw_data_archives(daemon.settings).register(daemon.instance, daemon.source.read(archive(1)).info)
        assert daemon.tick() == [archive(1)]
        assert len(daemon.recorded()) == 1


class TestFilesThatComeAgain:
    def test_a_file_published_again_runs_again_even_as_it_was_once(self, daemon: Daemon, tmp_path: Path) -> None:
        path = tmp_path / "archives" / archive(1)
        for number, content in enumerate([b"first", b"other", b"first"]):
            daemon.source.write(archive(1), content)
            # The third time it is the first one's very version.
            os.utime(path, ns=(number % 2, number % 2))
            assert daemon.tick() == [archive(1)], number
            daemon.end(DONE)
            assert daemon.tick() == []
        assert len(daemon.recorded()) == 3
        versions = {(each.tags or {})["dagster/data_version"] for each in daemon.recorded()}
        assert len(versions) == 2

    def test_what_is_published_during_a_run_waits_for_its_end(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.source.write(archive(1), b"22")
        assert daemon.tick() == []
        assert len(daemon.recorded()) == 1
        daemon.end(DONE)
        answer = daemon.evaluate(ARCHIVES)
        assert [request.partition_key for request in answer.run_requests or []] == [archive(1)]
        assert not answer.dynamic_partitions_requests  # the daemon would ask the store for each


class TestFilesThatFailed:
    def test_three_attempts_in_all_until_the_file_changes(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        for _ in range(3):
            assert daemon.tick() == [archive(1)]
            daemon.end(FAILED)
        assert daemon.tick() == []
        assert "failed 3 times, given up" in str(daemon.evaluate(ARCHIVES).skip_message)
        assert len(daemon.recorded()) == 1
        daemon.source.write(archive(1), b"22")
        assert daemon.tick() == [archive(1)]
        daemon.end(FAILED)
        assert daemon.tick() == [archive(1)]

    def test_a_permanent_failure_waits_for_a_change(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.end(FAILED, **{"edxorg/permanent_failure": "true"})
        assert daemon.tick() == []
        assert "1 failed permanently" in str(daemon.evaluate(ARCHIVES).skip_message)
        daemon.source.write(archive(1), b"22")
        assert daemon.tick() == [archive(1)]

    def test_a_canceled_run_is_left_alone(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.end(CANCELED)
        assert daemon.tick() == []

    def test_a_run_by_hand_that_failed_is_an_attempt_as_well(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.end(DONE)
        create_run_for_test(
            daemon.instance, job_name=JOBS[ARCHIVES], status=FAILED, tags={"dagster/partition": archive(1)}
        )
        assert daemon.tick() == [archive(1)]

    def test_a_killed_run_is_given_up_after_a_day(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        (run,) = daemon.instance.get_runs()
        daemon.become(run.run_id, STARTED)
        assert daemon.tick() == []
        now = time.time()
        monkeypatch.setattr("edxorg.sensors.run_decision.time.time", lambda: now + run_decision.ABANDONED_AFTER + 60)
        assert daemon.tick() == [archive(1)]


class TestTicksThatAreCutShort:
    def test_a_tick_cut_short_before_its_records_loses_nothing(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.evaluate(ARCHIVES)
        assert daemon.tick() == [archive(1)]

    @pytest.mark.parametrize("earlier", [False, True])
    def test_a_tick_cut_short_between_records_and_runs_loses_nothing(self, daemon: Daemon, *, earlier: bool) -> None:
        if earlier:
            daemon.source.write(archive(1), b"0")
            daemon.tick()
            daemon.end(DONE)
        daemon.source.write(archive(1), b"11")
        daemon.record(daemon.evaluate(ARCHIVES))
        assert daemon.tick() == [archive(1)]
        assert daemon.tick() == []
        assert len(daemon.recorded()) == 1 + earlier

    def test_a_tick_cut_short_among_its_runs_loses_nothing(self, daemon: Daemon) -> None:
        for day in (1, 2):
            daemon.source.write(archive(day), b"1")
        answer = daemon.evaluate(ARCHIVES)
        daemon.record(answer)
        assert daemon.launch(ARCHIVES, answer) == [archive(1), archive(2)]
        assert daemon.launch(ARCHIVES, answer) == []


def test_a_tick_asks_the_instance_a_handful_of_times(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 4):
        daemon.source.write(archive(day), b"1")
    daemon.tick()
    daemon.end(FAILED)
    statements = count_statements(monkeypatch)
    assert len(daemon.evaluate(ARCHIVES).run_requests or []) == 3
    few = len(statements)
    for month in range(2, 6):
        for day in range(1, 13):
            daemon.source.write(archive(day, month), b"1")
    statements.clear()
    assert len(daemon.evaluate(ARCHIVES).run_requests or []) == 50
    assert len(statements) == few <= 8


def test_a_file_is_registered_without_reading_all_partition_keys(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.source.write(archive(1), b"1")
    others = [f"other-{number}" for number in range(2000)]
    daemon.instance.add_dynamic_partitions("edxorg_archive", others)
    rows = count_rows(monkeypatch)
    files = raw_data_archives(daemon.settings)
    for _ in range(2):
        assert files.register(daemon.instance, daemon.source.read(archive(1)).info) == archive(1)
    assert sum(rows) < 50
    assert daemon.instance.get_dynamic_partitions("edxorg_archive") == [*others, archive(1)]
    assert len(daemon.recorded()) == 1


def count_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each query gets from SQLite, from now on."""
    counts: list[int] = []
    fetchall = CursorResult.fetchall

    def counted(result: CursorResult[tuple[object, ...]]) -> Sequence[Row[tuple[object, ...]]]:
        rows = fetchall(result)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(CursorResult, "fetchall", counted)
    return counts


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


class TestOtherStores:
    @pytest.fixture
    def cloud(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[str], Daemon]:
        def over(kind: str) -> Daemon:
            server: GCSServer | S3Server = request.getfixturevalue({"gs": "gcs_server", "s3": "moto_server"}[kind])
            bucket = request.getfixturevalue({"gs": "gcs_bucket", "s3": "s3_bucket"}[kind])
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            settings = Settings(archive_url=f"{kind}://{bucket}/COLD", archive_source_configured=True)
            instance = request.getfixturevalue("instance")
            return Daemon(settings, instance)

        del tmp_path
        return over

    @pytest.fixture
    def instance(self, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
        with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
            yield instance

    @pytest.mark.parametrize("kind", ["gs", "s3"])
    def test_the_version_is_the_one_that_a_reader_sees(self, cloud: Callable[[str], Daemon], kind: str) -> None:
        daemon = cloud(kind)
        daemon.source.write(archive(1), b"1")
        daemon.source.write(archive(2), b"2")
        raw_data_archives(daemon.settings).register(daemon.instance, daemon.source.read(archive(1)).info)
        create_run_for_test(
            daemon.instance, job_name=JOBS[ARCHIVES], status=DONE, tags={"dagster/partition": archive(1)}
        )
        assert daemon.tick() == [archive(2)]
        daemon.end(DONE)
        assert daemon.tick() == []
        listed = {each.key: each for each in daemon.source.list()}
        for key, each in listed.items():
            found = daemon.source.find(key)
            assert found is not None
            assert each.version == found.version == daemon.source.read(key).info.version
        daemon.source.write(archive(1), b"other")
        assert daemon.tick() == [archive(1)]

    def test_the_same_bytes_again_are_another_generation(self, cloud: Callable[[str], Daemon]) -> None:
        daemon = cloud("gs")
        daemon.source.write(archive(1), b"1")
        assert daemon.tick() == [archive(1)]
        daemon.end(DONE)
        daemon.source.write(archive(1), b"1")
        assert daemon.tick() == [archive(1)]


class TestProgramReports:
    def stores(self, daemon: Daemon) -> tuple[ObjectStore, ObjectStore]:
        return (
            open_store(daemon.settings.program_reports_url),
            open_store(daemon.settings.program_reports_destination_url),
        )

    def requested(self, daemon: Daemon) -> list[list[str]]:
        return [requested_keys(request.run_config) for request in daemon.evaluate(REPORTS).run_requests or []]

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
        monkeypatch.setattr(program_reports, "REPORTS_A_RUN", 5)
        monkeypatch.setattr(program_reports, "BYTES_A_RUN", 20)
        reports, _ = self.stores(daemon)
        for number, size in enumerate([1, 1, 1, 1, 1, 1, 15, 15, 50]):
            reports.write(f"{number}.csv", bytes(size))
        assert [len(keys) for keys in self.requested(daemon)] == [5, 2, 1, 1]

    def test_at_most_fifty_runs_a_tick_and_the_rest_at_the_next(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(program_reports, "REPORTS_A_RUN", 2)
        reports, _ = self.stores(daemon)
        for number in range(110):
            reports.write(f"{number:03}.csv", b"1")
        assert [len(daemon.tick(REPORTS)) for _ in range(3)] == [50, 5, 0]
        asked = [requested_keys(run.run_config) for run in daemon.instance.get_runs()]
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
        assert requested_keys(run_config_for(keys)) == keys

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


class TestWhichSensorsThereAre:
    def names(self, **attributes: str) -> set[str]:
        definitions = build_definitions(Settings(**attributes))
        for sensor in definitions.sensors or []:
            assert isinstance(sensor, dg.SensorDefinition)
            assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        return {sensor.name for sensor in definitions.sensors or []}

    def test_those_of_the_archives_only_where_there_are_archives(self) -> None:
        assert self.names() == {REPORTS}
        assert self.names(archive_url="file:///archives") == {REPORTS, ARCHIVES, LOGS}
        assert self.names(environment="qa") == {REPORTS, ARCHIVES, LOGS}


@given(
    recorded=st.none() | st.sampled_from("ab"),
    run=st.none() | st.builds(LatestRun, st.just("run"), st.sampled_from(RunOutcome), st.integers(1, 4)),
    never_launched=st.booleans(),
)
def test_needs(*, recorded: str | None, run: LatestRun | None, never_launched: bool) -> None:
    """A file never runs twice at a time, and is done only if its version was recorded and run."""
    what = decide_run("a", recorded, run, never_launched=never_launched)
    if run is not None and run.outcome is RunOutcome.UNDER_WAY:
        assert what is RunDecision.IN_PROGRESS
    elif recorded != "a":
        assert what is RunDecision.NEW_VERSION
    if what is RunDecision.DONE:
        assert run is not None
        assert run.outcome is RunOutcome.SUCCEEDED
        assert not never_launched
    if what in NEEDS_A_RUN:
        assert run is None or run.outcome is not RunOutcome.UNDER_WAY


def test_each_sensor_takes_the_names_that_its_patterns_fit_and_none_that_two_do(tmp_path: Path) -> None:
    settings = Settings(
        archive_url=f"file://{tmp_path}/in",
        archive_name=r"delftx-{date}.zip (?P<date>[0-9-]{10})\.(zip|both)",
        tracking_log_name=["prod-{date}.log.gz", "edge-{date}.log.gz", r"(?P<date>[0-9-]{10})\.both"],
    )
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        daemon = Daemon(settings, instance)
        archives, logs = (
            ["2024-01-30.zip", "delftx-2024-01-31.zip"],
            ["edge-2024-01-30.log.gz", "prod-2024-01-31.log.gz"],
        )
        for name in (*archives, *logs, "2024-01-31.both", "mitx-2024-01-31.tar.gz"):
            daemon.source.write(name, b"1")
        assert daemon.tick(ARCHIVES) == archives
        assert daemon.tick(LOGS) == logs
        skipped = daemon.evaluate(LOGS).skip_message
        assert skipped is not None
        assert "'2024-01-31.both' fits both" in skipped
        assert "1 ignored for their names: 'mitx-2024-01-31.tar.gz'" in skipped


def test_without_program_reports_their_sensor_says_what_to_set(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        daemon = Daemon(Settings(institution="delftx", archive_url=f"file://{tmp_path}"), instance)
        skipped = daemon.evaluate(REPORTS).skip_message
    assert "EDXORG_PROGRAM_REPORTS_URL is not set" in str(skipped)
