"""Operators are told of failures: one message for each cause, wherever they read it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._grpc.impl import get_external_sensor_execution
from dagster_shared.error import SerializableErrorInfo

from ol_orchestrate import alerts
from ol_orchestrate.alerts import failure_alerts_sensor
from ol_orchestrate.failures import as_dagster_failure, failure_of_partitions
from ol_orchestrate.lib.errors import BadInputError, PipelineError, ServiceError, SettingsError
from ol_orchestrate.lib.failure_causes import cause_of
from ol_orchestrate.lib.notifying import notify
from ol_orchestrate.testing.scripted import Response, ScriptedServer, serving

# apprise imports it on a Python that still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

FILES = dg.DynamicPartitionsDefinition(name="files")
OURS = {".dagster/repository": "__repository__@school"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
ERRORS: dict[str, PipelineError] = {
    "mitx-2024-01-03.zip": BadInputError("gs://cold/2024/mitx-2024-01-03.zip: truncated at byte 1,204"),
    "mitx-2024-01-10.zip": BadInputError("gs://cold/2024/mitx-2024-01-10.zip: truncated at byte 77"),
    "mitx-2024-01-17.zip": ServiceError("s3://lake answered 503 to 'mitx-2024-01-17'"),
}

NO_HEADER = BadInputError("gs://cold/2024/mitx-2024-01-24.zip: no header")


@dg.op(out=dg.Out(dg.Nothing))
def read_file(context: dg.OpExecutionContext) -> None:
    with as_dagster_failure(context, "school/permanent_failure"):
        raise ERRORS[context.partition_key]


@dg.job(partitions_def=FILES)
def read_files() -> None:
    read_file()


@dg.op(out=dg.Out(dg.Nothing))
def read_several(context: dg.OpExecutionContext) -> None:
    files = context.run_tags["files"].split()
    with as_dagster_failure(context, "school/permanent_failure"):
        raise failure_of_partitions({file: ERRORS.get(file, NO_HEADER) for file in files}, 9, "files")


@dg.job
def read_all() -> None:
    read_several()


class Location:
    """A location with the sensor, and an instance with failed runs of it."""

    def __init__(self, instance: dg.DagsterInstance, *addresses: str) -> None:
        self.addresses = list(addresses)
        sensor = failure_alerts_sensor("alerts", lambda: self.addresses, "school/permanent_failure")
        self.repository = dg.Definitions(jobs=[read_files], sensors=[sensor]).get_repository_def()
        self.instance = instance
        self.cursor: str | None = None
        instance.add_dynamic_partitions("files", list(ERRORS))

    def fail(self, partition: str, **tags: str) -> None:
        result = read_files.execute_in_process(
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            run_config=QUIET,
            tags={**OURS, **{name.replace("__", "/"): value for name, value in tags.items()}},
        )
        assert not result.success

    def tick(self) -> str:
        """Evaluate the sensor; return the reason that it gives."""
        answer = self.evaluate()
        assert isinstance(answer, SensorExecutionData), answer
        self.cursor = answer.cursor
        return str(answer.skip_message)

    def evaluate(self) -> object:
        """Evaluate the sensor as the code server does."""
        origin = RegisteredCodeLocationOrigin("school")
        return get_external_sensor_execution(
            self.repository, origin, self.instance.get_ref(), "alerts", None, None, self.cursor, None, None
        )


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(alerts, "SETTLED_AFTER", 0)
    with dg.instance_for_test() as instance:
        yield instance


def messages(server: ScriptedServer) -> list[str]:
    bodies = [json.loads(request.body) for request in server.requests]
    return [f"{body['title']}\n{body['text']}" for body in bodies]


def test_failures_of_one_cause_are_told_once(instance: dg.DagsterInstance) -> None:
    with serving(lambda _: Response(200)) as server:
        location = Location(instance, f"{server.url}/hook")
        assert location.tick().startswith("0 failures")
        for partition in ERRORS:
            location.fail(partition)
        location.fail("mitx-2024-01-17.zip", dagster__will_retry="true")
        location.fail("mitx-2024-01-17.zip", **{".dagster__repository": "__repository__@another"})
        assert location.tick() == "3 failures of 2 causes"
        broken, down = messages(server)
        location.fail("mitx-2024-01-10.zip")
        assert location.tick() == "1 failures of 1 causes"
        assert len(server.requests) == 2, "it is told once a day"
    assert broken.startswith("school: read_file: 2 runs failed\ngs://cold/2024/mitx-2024-01-03.zip: truncated")
    assert "Partitions: mitx-2024-01-03.zip, mitx-2024-01-10.zip" in broken
    assert "until a file or a setting is changed" in broken
    assert down.startswith("school: read_file: a run failed\ns3://lake answered 503")
    assert "It may pass" in down


def test_a_message_that_is_not_taken_is_sent_at_the_next_tick(instance: dg.DagsterInstance) -> None:
    statuses = [200, 500, 200]
    with serving(lambda _: Response(statuses.pop(0))) as server:
        location = Location(instance, f"{server.url}/hook")
        location.tick()
        for partition in ERRORS:
            location.fail(partition)
        assert "To be told at the next tick" in location.tick()
        location.tick()
        titles = [message.splitlines()[1] for message in messages(server)]
    assert len(titles) == 3
    assert titles[0] != titles[1] == titles[2]


def test_each_reason_of_a_run_of_several_partitions_is_a_cause(instance: dg.DagsterInstance) -> None:
    first, second, other = ERRORS
    with serving(lambda _: Response(200)) as server:
        location = Location(instance, f"{server.url}/hook")
        location.tick()
        runs = [
            read_all.execute_in_process(
                instance=instance, raise_on_error=False, run_config=QUIET, tags={**OURS, "files": " ".join(files)}
            ).run_id
            for files in ([first, second, other], [other, first], [first, second, other, "mitx-2024-01-24.zip"])
        ]
        location.tick()
        truncated, busy, without_header = messages(server)
    assert truncated.startswith("school: read_several: 3 runs failed\ngs://cold/2024/mitx-2024-01-03.zip: truncated")
    assert f"Partitions: {first}, {second}\nRuns: {', '.join(runs)}\n" in truncated
    assert busy.startswith("school: read_several: 3 runs failed\ns3://lake answered 503")
    assert f"Partitions: {other}\n" in busy
    assert f"a run failed\n{NO_HEADER}\nPartitions: mitx-2024-01-24.zip\nRuns: {runs[2]}\n" in without_header


def test_a_tick_that_failed_is_told_after_many_that_did_not(instance: dg.DagsterInstance) -> None:
    now = time.time()
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("school"), "__repository__")
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, "listing"),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
        SensorInstigatorData(),
    )
    instance.add_instigator_state(state)
    ends = [("no bucket named cold", 300), *[("no answer", 290 - n) for n in range(10)], *[(None, n) for n in range(9)]]
    for why, ago in ends:
        error = SerializableErrorInfo(f"ol_orchestrate.lib.errors.ServiceError: {why}\n", [], "ServiceError")
        instance.create_tick(
            TickData(
                state.instigator_origin_id,
                "listing",
                InstigatorType.SENSOR,
                TickStatus.FAILURE if why else TickStatus.SKIPPED,
                now - ago,
                error=error if why else None,
                selector_id=state.selector_id,
            )
        )
    with serving(lambda _: Response(200)) as server:
        Location(instance, f"{server.url}/hook").tick()
        told = messages(server)
    assert told == [
        "school: a tick of listing: it failed\nno answer",
        "school: a tick of listing: it failed\nno bucket named cold",
    ]


def test_an_address_that_is_down_is_not_waited_for_at_each_message(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "REFUSALS", 1)
    status = 410
    with serving(lambda _: Response(200)) as up, serving(lambda _: Response(status)) as down:
        location = Location(instance, f"{down.url}/hook", f"{up.url}/hook")
        location.tick()
        location.fail("mitx-2024-01-03.zip")
        location.fail("mitx-2024-01-17.zip")
        location.tick()
        assert (len(down.requests), len(up.requests)) == (1, 2)
        status = 200
        location.tick()
        assert messages(down)[1:] == messages(up)


@pytest.mark.parametrize("down", [1, 2])
def test_an_address_that_is_down_does_not_concern_the_others(instance: dg.DagsterInstance, down: int) -> None:
    first, second = list(ERRORS)[1:]
    status = 410
    with serving(lambda _: Response(200)) as up, serving(lambda _: Response(status)) as other:
        urls = [f"{up.url}/hook", f"{other.url}/T0SECRET000SECRET"]
        location = Location(instance, *(urls if down == 2 else urls[::-1]))
        location.tick()
        location.fail(first)
        reasons = [location.tick() for _ in range(3)]
        assert len(up.requests) == 1, "it is told once"
        assert len(other.requests) == 3, "it is tried at each tick"
        location.fail(second)
        location.tick()
        assert len(up.requests) == 2
        status = 200
        del other.requests[:]
        assert [location.tick() for _ in range(2)] == ["2 failures of 2 causes", "0 failures of 0 causes"]
        assert messages(other) == messages(up), "nothing is lost, and nothing told twice"
    for reason in reasons:
        assert f"not taken: address {down} of 2: http did not take the message" in reason
        assert "410" in reason
        assert "SECRET" not in reason


def test_an_address_that_is_down_for_days_repeats_nothing_to_the_others(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda _: Response(200)) as up, serving(lambda _: Response(410)) as down:
        location = Location(instance, f"{up.url}/hook", f"{down.url}/hook")
        location.tick()
        location.fail("mitx-2024-01-03.zip")
        location.tick()
        monkeypatch.setattr(alerts, "REPEAT_AFTER", 0)
        location.tick()
        assert len(up.requests) == 1
        assert len(down.requests) == 2


def test_a_tick_fails_if_no_address_takes_a_message(instance: dg.DagsterInstance) -> None:
    statuses = [410, 502]
    with serving(lambda _: Response(statuses.pop(0))) as down:
        location = Location(instance, *[f"{down.url}/T0SECRET000SECRET"] * 2)
        location.tick()
        location.fail("mitx-2024-01-03.zip")
        answer = location.evaluate()
    assert not isinstance(answer, SensorExecutionData), "the tick fails"
    failed = str(answer)
    assert "address 1 of 2: http did not take the message" in failed
    assert "address 2 of 2: http did not take the message" in failed
    assert "SECRET" not in failed


def test_an_address_that_is_new_is_told_what_is_new(instance: dg.DagsterInstance) -> None:
    with serving(lambda _: Response(200)) as old, serving(lambda _: Response(200)) as new:
        location = Location(instance, f"{old.url}/hook")
        location.tick()
        location.fail("mitx-2024-01-03.zip")
        location.tick()
        location.addresses.append(f"{new.url}/hook")
        location.fail("mitx-2024-01-17.zip")
        location.tick()
        assert messages(new) == messages(old)[1:]
        assert len(messages(new)) == 1


def test_a_cursor_of_the_first_version_is_of_all_addresses(instance: dg.DagsterInstance) -> None:
    with serving(lambda _: Response(200)) as server:
        location = Location(instance, f"{server.url}/1", f"{server.url}/2")
        location.cursor = json.dumps({"until": 0, "causes": {}})
        location.fail("mitx-2024-01-03.zip")
        assert [location.tick() for _ in range(2)] == ["1 failures of 1 causes", "0 failures of 0 causes"]
        assert [request.path for request in server.requests] == ["/1", "/2"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("s3://lake/a/1.tsv: the store answered 403", "s3://lake/b/2.tsv: the store answered 403", True),
        ("s3://lake/a/1.tsv: the store answered 403", "s3://lake/a/1.tsv: the store answered 503", False),
        ("s3://lake/a: no such object", "s3://cold/a: no such object", False),
        ("Secret a/b of Vault at https://v: it is sealed", "Secret c of Vault at https://v: it is sealed", True),
        ("Secret a/b of Vault at https://v: it is sealed", "Secret a/b of Vault at https://w: it is sealed", False),
        ("'mitx-2024-01-03.zip' is broken", "'mitx-2024-01-10.zip' is broken", True),
        ("3 of 5,222 members failed\na-1.sql: no header", "1 of 12 members failed\nb-2.sql: no header", True),
        ("3 of 5,222 members failed\na-1.sql: no header", "3 of 5,222 members failed\na-1.sql: too long", False),
    ],
)
def test_reasons_that_differ_in_names_and_numbers_have_one_cause(first: str, second: str, *, same: bool) -> None:
    assert (cause_of(first) == cause_of(second)) == same


def test_a_message_arrives_by_mail() -> None:
    with mail_server() as (port, received):
        notify(f"mailto://127.0.0.1:{port}/?from=edxorg@example.org&to=ops@example.org", "2 runs failed", "No header")
    text = "".join(received)
    assert "To: ops@example.org" in text
    assert "Subject: 2 runs failed" in text
    assert "No header" in text


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Takes one mail, and keeps its lines."""
    received: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rw", newline="\r\n") as lines:

                def answer(text: str) -> None:
                    lines.write(f"{text}\r\n")
                    lines.flush()

                answer("220 loopback")
                for line in lines:
                    command = line[:4].upper()
                    if command == "DATA":
                        answer("354 go on")
                        received.extend(iter(lines.readline, ".\r\n"))
                    answer("221 bye" if command == "QUIT" else "250 ok")

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield listening.getsockname()[1], received
        thread.join(30)


def test_a_receiver_that_refuses_is_an_error_without_its_address() -> None:
    with serving(lambda _: Response(404)) as server, pytest.raises(ServiceError) as refused:
        notify(f"{server.url}/services/T0SECRET000SECRET", "title", "body")
    assert "404" in str(refused.value)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("address", ["slck://T0SECRET000SECRET", "https://[T0SECRET000SECRET"])
def test_an_address_that_none_can_send_to_is_an_error_without_it(address: str) -> None:
    with pytest.raises(SettingsError, match="it begins with https://") as refused:
        notify(address, "title", "body")
    assert "SECRET" not in str(refused.value)
