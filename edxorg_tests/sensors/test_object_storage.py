"""The sensors on a real instance, evaluated as the code server does it, and acted upon as the daemon does it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy.engine import CursorResult, Row

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.sensors import run_decision
from edxorg.sensors.run_decision import ATTEMPTS
from edxorg_tests.support.sensors import (
    ARCHIVES,
    CANCELED,
    DONE,
    FAILED,
    JOBS,
    LOGS,
    REPORTS,
    STARTED,
    Daemon,
    count_statements,
)
from ol_orchestrate import runs_under_way
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, S3Server


def archive(day: int, month: int = 1) -> str:
    return f"mitx-2024-{month:02}-{day:02}.tar.gz"


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

    def test_a_sensor_whose_folder_is_missing_names_it_and_its_setting(self, daemon: Daemon, tmp_path: Path) -> None:
        skipped = {sensor: str(daemon.evaluate(sensor).skip_message) for sensor in (ARCHIVES, LOGS)}
        for message in skipped.values():
            assert message.startswith(f"{daemon.source.url} has no files, or is not there: ")
            assert "EDXORG_ARCHIVE_URL" in message
        logs = f"file://{tmp_path}/logs"
        settings = daemon.settings.model_copy(update={"tracking_log_url": logs})
        skipped_logs = str(Daemon(settings, daemon.instance).evaluate(LOGS).skip_message)
        assert logs in skipped_logs
        assert "EDXORG_TRACKING_LOG_URL" in skipped_logs

    def test_a_folder_with_other_files_alone_is_not_missing(self, daemon: Daemon) -> None:
        daemon.source.write("internal-2013-01-01.zip", b"1")
        assert str(daemon.evaluate(ARCHIVES).skip_message).startswith(f"0 files in {daemon.source.url}. 0 runs")

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

    def test_a_run_that_dagster_starts_anew_is_not_requested_as_well(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.end(FAILED, **{"dagster/will_retry": "true"})
        assert daemon.tick() == []
        assert "1 under way" in str(daemon.evaluate(ARCHIVES).skip_message)
        (run,) = daemon.instance.get_runs()
        daemon.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
        assert daemon.tick() == [archive(1)]

    def test_a_permanent_failure_waits_for_a_change(self, daemon: Daemon) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        daemon.end(FAILED, **{"edxorg/permanent_failure": "true"})
        assert daemon.tick() == []
        assert "1 failed permanently" in str(daemon.evaluate(ARCHIVES).skip_message)
        daemon.source.write(archive(1), b"22")
        assert daemon.tick() == [archive(1)]

    def test_a_run_that_failed_for_a_setting_is_requested_every_few_hours(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        daemon.source.write(archive(1), b"1")
        daemon.tick()
        for _ in range(ATTEMPTS + 1):
            daemon.end(FAILED, **{"edxorg/permanent_failure": "until_mended"})
            assert daemon.tick() == []
            assert "mend it and run again" in str(daemon.evaluate(ARCHIVES).skip_message)
            with monkeypatch.context() as hours_later:
                hours_later.setattr(run_decision, "HOURS_UNTIL_MENDED", 0)
                assert daemon.tick() == [archive(1)]
        daemon.end(DONE)
        assert daemon.tick() == []

    def test_files_that_fail_for_a_setting_let_others_go_first(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limited = Daemon(daemon.settings.model_copy(update={"runs_a_tick": 1}), daemon.instance)
        daemon.source.write(archive(1), b"1")
        assert limited.tick() == [archive(1)]
        daemon.end(FAILED, **{"edxorg/permanent_failure": "until_mended"})
        daemon.source.write(archive(2), b"2")
        monkeypatch.setattr(run_decision, "HOURS_UNTIL_MENDED", 0)
        assert limited.tick() == [archive(2)]
        daemon.end(DONE)
        assert limited.tick() == [archive(1)]

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
        monkeypatch.setattr(
            "ol_orchestrate.runs_under_way.time.time", lambda: now + runs_under_way.ABANDONED_AFTER + 60
        )
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


class TestWhichSensorsThereAre:
    def names(self, **attributes: str) -> set[str]:
        definitions = build_definitions(Settings(**attributes))
        for sensor in definitions.sensors or []:
            assert isinstance(sensor, dg.SensorDefinition)
            assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        return {sensor.name for sensor in definitions.sensors or []}

    def test_sensors_of_archives_exist_only_where_there_is_a_source(self) -> None:
        assert self.names() == {REPORTS}
        automation = "default_automation_condition_sensor"
        assert self.names(archive_url="file:///archives") == {REPORTS, ARCHIVES, LOGS, automation}
        assert self.names(environment="qa") == {REPORTS, ARCHIVES, LOGS, automation}


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
