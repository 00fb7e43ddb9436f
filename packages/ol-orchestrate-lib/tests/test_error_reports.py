"""Reports of failed runs, to a server on loopback that takes Sentry's envelopes."""

import gzip
import json
import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from ol_orchestrate import error_reports
from ol_orchestrate.error_reports import event_of, failed_runs_sensor, send
from ol_orchestrate.failures import as_dagster_failure
from ol_orchestrate.lib.errors import BadInputError, ServiceError, SettingsError
from ol_orchestrate.testing.scripted import Request, Response, ScriptedServer, serving

FILES = dg.DynamicPartitionsDefinition(name="files")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEY = "canaryofthekey"
CAUSES = {
    "a-2024-01-03": BadInputError("gs://cold/a-2024-01-03.zip: truncated at byte 1,204"),
    "a-2024-01-10": BadInputError("gs://cold/a-2024-01-10.zip: truncated at byte 77"),
    "b-2024-01-10": ServiceError("s3://lake: the bucket is full"),
}


@dg.op(out=dg.Out(dg.Nothing), retry_policy=dg.RetryPolicy(max_retries=1))
def read_file(context: dg.OpExecutionContext) -> None:
    row = ["canary@learner.example", "12"]
    with as_dagster_failure(context):
        match context.partition_key:
            case "unexpected":
                raise ValueError(f"cannot read {row}")
            case "interrupted":
                raise dg.DagsterExecutionInterruptedError
            case "transient" if context.retry_number == 0:
                raise ServiceError("it may pass")
            case "transient":
                return
            case partition:
                raise CAUSES[partition]


@dg.job(partitions_def=FILES)
def read_files() -> None:
    read_file()


class Reports:
    """A location whose failed runs are reported, and what has arrived of them."""

    def __init__(self, instance: dg.DagsterInstance, server: ScriptedServer) -> None:
        self.instance = instance
        self.server = server
        sensor = failed_runs_sensor("error_reports", environment="qa")
        assert sensor is not None
        self.sensor = sensor
        self.cursor: str | None = None
        instance.add_dynamic_partitions("files", [*CAUSES, "unexpected", "interrupted", "transient"])
        self.tick()

    def run(self, partition: str, **tags: str) -> bool:
        try:
            return read_files.execute_in_process(
                instance=self.instance,
                partition_key=partition,
                raise_on_error=False,
                run_config=QUIET,
                tags=tags,
            ).success
        except dg.DagsterExecutionInterruptedError:
            return False

    def tick(self) -> list[dict[str, Any]]:
        """Evaluate the sensor; return the events that arrive."""
        before = len(self.server.requests)
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            answer = self.sensor.evaluate_tick(context)
        assert not [each for each in answer.dagster_run_reactions or () if each.error]
        self.cursor = answer.cursor
        return [event for request in self.server.requests[before:] for event in events_in(request)]


def events_in(request: Request) -> list[dict[str, Any]]:
    """The events of an envelope: a line for the envelope, and two for each item."""
    assert request.headers.get("content-encoding") == "gzip"
    _, *items = gzip.decompress(request.body).splitlines()
    parsed = [json.loads(line) for line in items if line]
    return [event for item, event in zip(parsed[::2], parsed[1::2], strict=True) if item["type"] == "event"]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reports]:
    with serving(lambda _: Response(200, b"{}")) as server, dg.instance_for_test() as instance:
        monkeypatch.setenv("SENTRY_DSN", server.url.replace("http://", f"http://{KEY}@") + "/1")
        yield Reports(instance, server)


def test_a_failed_run_is_reported_once_with_its_tags(reports: Reports) -> None:
    assert not reports.run("a-2024-01-03")
    (event,) = reports.tick()
    assert reports.tick() == []
    assert event["exception"]["values"] == [{"type": "read_files failed", "value": str(CAUSES["a-2024-01-03"])}]
    assert event["environment"] == "qa"
    run_id = event["tags"].pop("run_id")
    assert reports.instance.get_run_by_id(run_id)
    assert event["tags"] == {"job": "read_files", "partition": "a-2024-01-03", "step": "read_file"}
    assert event.keys().isdisjoint({"breadcrumbs", "user", "request", "modules", "extra", "threads"})
    assert KEY not in json.dumps(event)


def test_a_run_that_was_killed_is_reported_with_its_location(reports: Reports) -> None:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("school"), "__repository__")
    origin = RemoteJobOrigin(repository, "read_files")
    run = create_run_for_test(reports.instance, job_name="read_files", remote_job_origin=origin)
    event = event_of(run, [], "the process of the run was killed")
    assert event is not None
    assert event["exception"]["values"][0]["value"] == "the process of the run was killed"
    assert event["tags"] == {"location": "school", "job": "read_files", "run_id": run.run_id}


def test_failures_of_one_cause_are_one_group(reports: Reports) -> None:
    for partition in CAUSES:
        reports.run(partition)
    groups = {event["tags"]["partition"]: event["fingerprint"] for event in reports.tick()}
    assert groups["a-2024-01-03"] == groups["a-2024-01-10"]
    assert groups["a-2024-01-03"] != groups["b-2024-01-10"]


def test_of_an_unexpected_error_only_its_class_and_its_place_are_reported(reports: Reports) -> None:
    assert not reports.run("unexpected")
    (event,) = reports.tick()
    text = event["exception"]["values"][0]["value"]
    assert text.startswith("ValueError at ")
    assert "test_error_reports.py:" in text
    assert "canary" not in json.dumps(event)
    assert "stacktrace" not in json.dumps(event)


def test_neither_an_interruption_nor_a_retry_that_succeeds_is_reported(reports: Reports) -> None:
    assert not reports.run("interrupted")
    assert reports.run("transient")
    assert not reports.run("a-2024-01-03", **{"dagster/will_retry": "true"})
    assert reports.tick() == []


def test_a_server_that_refuses_does_not_stop_the_sensor(
    reports: Reports, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(error_reports, "SECONDS_TO_SEND", 0.5)
    monkeypatch.setenv("SENTRY_DSN", f"http://{KEY}@127.0.0.1:1/1")
    reports.run("a-2024-01-03")
    assert reports.tick() == []
    assert "Sentry did not take the event about run" in capfd.readouterr().err
    monkeypatch.undo()


@pytest.mark.parametrize("status", [200, 403, 429, 500])
def test_an_event_that_sentry_does_not_take_is_known(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with serving(lambda _: Response(status, b"{}")) as server:
        monkeypatch.setenv("SENTRY_DSN", server.url.replace("http://", f"http://{KEY}@") + "/1")
        assert send({"message": "x"}) == (status == 200)
        assert len(server.requests) == 1


def test_an_address_that_is_none_is_named_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", "http://canary")
    with pytest.raises(SettingsError, match="SENTRY_DSN is no address of a project") as caught:
        send({})
    assert "canary" not in str(caught.value)


def test_without_the_package_a_warning_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(error_reports, "find_spec", lambda _: None)
    with caplog.at_level(logging.WARNING):
        assert failed_runs_sensor("error_reports", environment="qa") is None
    assert "sentry-sdk is not installed" in caplog.text
