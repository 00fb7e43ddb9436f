"""Messages about new versions of courses, to a webhook on loopback that checks their signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import hvac
import pytest

from edxorg.assets.course_webhook import AUTOMATED, course_content_webhook
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import COURSE_XML
from edxorg.lib.settings import Settings
from edxorg_tests.support.course_files import COURSE, PARTITION, Lake, course_xml, why_failed
from edxorg_tests.support.daemons import IGNORED_WARNINGS, course_members, location_with_daemons
from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.resources.secrets.vault import Vault
from ol_orchestrate.testing.scripted import Request, Response, ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ol_orchestrate.testing.servers import OpenBaoServer

SECRET = "canary-of-the-shared-secret"  # noqa: S105 - of a server that lives for one test
WEBHOOK = dg.AssetKey(["edxorg", "course_content_webhook"])
ALL_ATTEMPTS = 15
"""Five attempts of the client in each of three attempts at the step."""

pytestmark = pytest.mark.filterwarnings(*IGNORED_WARNINGS)


class Receiver:
    """A webhook that refuses what is not signed, and otherwise answers with the next status."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answers: Callable[[dict[str, Any]], int] = lambda _: 200
        self.server: ScriptedServer

    def __call__(self, request: Request) -> Response:
        expected = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
        if request.method != "POST" or request.headers.get("x-mitlearn-signature") != expected:
            return Response(401)
        message = json.loads(request.body)
        self.messages.append(message)
        return Response(self.answers(message), b'{"status":"success"}', {"Retry-After": "0"})

    @property
    def url(self) -> str:
        return f"{self.server.url}/api/v1/webhooks/content_files/"

    def statuses(self, *statuses: int) -> None:
        """Answer with these, the last one again and again."""
        left = list(statuses)
        self.answers = lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(retrying, "PAUSE", 0.001)
    monkeypatch.setenv("EDXORG_COURSE_WEBHOOK_SECRET", SECRET)
    receiver = Receiver()
    with serving(receiver) as receiver.server:
        yield receiver


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def lake_with(settings: Settings, folder: Path, instance: dg.DagsterInstance) -> Lake:
    vault = Vault(address=settings.vault.address)
    return Lake(folder, instance, course_content_webhook(settings), vault=vault)


@pytest.fixture
def lake(receiver: Receiver, tmp_path: Path, instance: dg.DagsterInstance) -> Lake:
    return lake_with(Settings(course_webhook={"url": receiver.url}), tmp_path, instance)


def send(lake: Lake, partition: str = PARTITION, **tags: str) -> dg.ExecuteInProcessResult:
    return lake.run_assets({WEBHOOK}, partition, tags={name.replace("__", "/"): value for name, value in tags.items()})


def recorded(lake: Lake, partition: str = PARTITION) -> Sequence[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=WEBHOOK, asset_partitions=[partition])
    return lake.instance.fetch_materializations(wanted, limit=10).records


def test_a_new_version_is_told_in_compact_json_with_a_signature_of_the_bytes(lake: Lake, receiver: Receiver) -> None:
    content = course_xml()
    lake.bring(COURSE_XML, content)
    assert send(lake).success
    (request,) = receiver.server.requests
    version = hashlib.sha256(content).hexdigest()
    assert request.path == "/api/v1/webhooks/content_files/"
    assert request.headers["content-type"] == "application/json"
    assert request.body.decode() == (
        f'{{"course_id":"{COURSE}","course_readable_id":"{COURSE}",'
        f'"content_path":"/edxorg/raw_data/course_xml/prod/{COURSE}/{version}","source":"mit_edx"}}'
    )
    (record,) = recorded(lake)
    assert record.asset_materialization is not None
    assert (record.asset_materialization.tags or {})["dagster/data_version"] == version
    assert record.asset_materialization.metadata["message"].value == request.body.decode()


def test_address_and_message_are_a_template(receiver: Receiver, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    course = {
        "source": "{source}",
        "readable_id": "{course_key}",
        "content_file_count": "{content_file_count}",
        "extracted_at": "{extracted_at}",
    }
    webhook = {
        "url": f"{receiver.server.url}/api/v1/webhooks/extracted_content_files/{{course_id}}",
        "body": json.dumps({"courses": [course], "note": "{course_id} of {source}", "kept": 1}),
        "source": "another",
    }
    lake = lake_with(Settings(course_webhook=webhook), tmp_path, instance)
    lake.bring(COURSE_XML, course_xml(more={"html/a.png": b"1", "._course.xml": b"2"}))
    assert send(lake).success
    (request,) = receiver.server.requests
    assert request.path == f"/api/v1/webhooks/extracted_content_files/{COURSE}"
    (message,) = receiver.messages
    (told,) = message["courses"]
    assert abs(datetime.now().astimezone() - datetime.fromisoformat(told.pop("extracted_at"))).total_seconds() < 120
    assert told == {"source": "another", "readable_id": "course-v1:MITx+6.00x+2012_Fall", "content_file_count": 6}
    assert (message["note"], message["kept"]) == (f"{COURSE} of another", 1)


@pytest.mark.parametrize(
    ("statuses", "requests", "said"),
    [
        ((405,), 1, "answers 405. Correct the address"),
        ((401,), 1, "answers 401. Let both sides have the same secret"),
        ((302,), 1, "answers 302"),
        ((500,), ALL_ATTEMPTS, "status 500"),
        ((429,), ALL_ATTEMPTS, "status 429"),
    ],
)
def test_a_refusal_is_final_and_what_may_pass_is_tried_again_with_a_bound(
    lake: Lake, receiver: Receiver, statuses: tuple[int, ...], requests: int, said: str
) -> None:
    receiver.statuses(*statuses)
    lake.bring(COURSE_XML, course_xml())
    result = send(lake)
    assert not result.success
    assert len(receiver.messages) == requests
    assert said in why_failed(result)
    assert receiver.url in why_failed(result)
    run = lake.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert (run.tags.get("edxorg/permanent_failure") == "until_mended") == (requests == 1)
    assert not recorded(lake)


def test_a_message_arrives_when_the_receiver_is_back(lake: Lake, receiver: Receiver) -> None:
    receiver.statuses(503, 429, 204)
    lake.bring(COURSE_XML, course_xml())
    assert send(lake).success
    assert len(receiver.messages) == 3
    assert len(recorded(lake)) == 1


def test_nobody_is_told_of_a_course_on_edge(lake: Lake, receiver: Receiver) -> None:
    partition = f"{COURSE}|edge"
    lake.bring(COURSE_XML, course_xml(), partition)
    assert send(lake, partition).success
    assert not receiver.server.requests
    assert not recorded(lake, partition)


def test_an_automatic_run_is_silent_about_what_was_told_and_a_run_by_hand_is_not(
    lake: Lake, receiver: Receiver
) -> None:
    lake.bring(COURSE_XML, course_xml())
    automatic = {"dagster__from_automation_condition": "true"}
    for told in (1, 1):
        assert send(lake, **automatic).success
        assert len(receiver.messages) == told
    assert send(lake).success
    assert len(receiver.messages) == 2
    lake.bring(COURSE_XML, course_xml())  # the same version, recorded anew
    assert send(lake, **automatic).success
    assert len(receiver.messages) == 3


def test_a_course_that_never_came_is_named(lake: Lake, receiver: Receiver) -> None:
    lake.instance.add_dynamic_partitions("course_and_source", [PARTITION])
    assert "course_xml has no materialization for partition" in why_failed(send(lake))
    assert not receiver.server.requests


def test_without_a_secret_the_error_says_where_to_put_it(
    lake: Lake, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDXORG_COURSE_WEBHOOK_SECRET")
    lake.bring(COURSE_XML, course_xml())
    assert "set EDXORG_COURSE_WEBHOOK_SECRET, or VAULT_ADDR and" in why_failed(send(lake))
    assert not receiver.server.requests


@pytest.fixture
def vault(openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[hvac.Client]:
    """Vault's owner, with a mount of version 2 for the shared secret."""
    monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
    monkeypatch.delenv("EDXORG_COURSE_WEBHOOK_SECRET", raising=False)
    client = hvac.Client(openbao_server.address, token=openbao_server.token)
    client.sys.enable_secrets_engine("kv", path="secret-global", options={"version": "2"})
    try:
        yield client
    finally:
        client.sys.disable_secrets_engine("secret-global")
        client.adapter.close()


@pytest.mark.parametrize("source", ["vault", "variable"])
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "refused"])
def test_the_secret_is_nowhere_to_be_read(
    receiver: Receiver,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    vault: hvac.Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    source: str,
    *,
    accepted: bool,
) -> None:
    canary = SECRET if accepted else "canary-of-another-secret"
    if source == "variable":
        monkeypatch.setenv("EDXORG_COURSE_WEBHOOK_SECRET", canary)
    else:
        learn = {"token": canary, "url": receiver.server.url}
        vault.secrets.kv.v2.create_or_update_secret("shared_hmac", {"learn": learn}, mount_point="secret-global")
    settings = Settings(course_webhook={"url": receiver.url}, vault={"address": vault.url, "auth_method": "token"})
    lake = lake_with(settings, tmp_path, instance)
    lake.bring(COURSE_XML, course_xml())
    result = send(lake)
    assert result.success == accepted
    if not accepted:
        assert f"POST {receiver.url}: the webhook answers 401" in why_failed(result)
    events = instance.all_logs(result.run_id)
    snapshot = build_definitions(settings).get_repository_def().get_job("__ASSET_JOB").get_job_snapshot()
    told = [dg.serialize_value(each) for each in (instance.get_run_by_id(result.run_id), snapshot, *events) if each]
    assert len(events) > 3
    assert all("canary" not in text for text in told)
    assert all("canary" not in text for text in capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert not [path for path in files if b"canary" in path.read_bytes()]


def test_a_secret_without_the_field_is_named(
    receiver: Receiver, tmp_path: Path, instance: dg.DagsterInstance, vault: hvac.Client
) -> None:
    vault.secrets.kv.v2.create_or_update_secret("shared_hmac", {"learn": "x"}, mount_point="secret-global")
    settings = Settings(course_webhook={"url": receiver.url}, vault={"address": vault.url, "auth_method": "token"})
    lake = lake_with(settings, tmp_path, instance)
    lake.bring(COURSE_XML, course_xml())
    assert "secret-global/shared_hmac has no field learn.token" in why_failed(send(lake))
    assert not receiver.server.requests


def test_each_version_is_told_once_by_dagsters_own_daemon(receiver: Receiver, tmp_path: Path) -> None:
    def messages_of(number: int, **changed: bytes) -> list[str]:
        """The courses that are told of after an archive and some ticks, more than the conditions need."""
        receiver.messages.clear()
        members = {
            name: content
            for course in ("a", "refused", "edge")
            for name, content in course_members([course], **changed).items()
            if name.endswith(".xml.tar.gz")
        }
        on_sites = {name.replace("prod", "edge") if "edge" in name else name: each for name, each in members.items()}
        location.ingest(f"mitx-2024-01-{number:02}.tar.gz", on_sites)
        location.ticks(3)
        return sorted(message["course_id"].split("-")[1] for message in receiver.messages)

    receiver.answers = lambda message: 405 if "refused" in message["course_id"] else 200
    with location_with_daemons(tmp_path, course_webhook={"url": receiver.url}) as location:
        location.ticks(1)
        assert messages_of(3) == ["a", "refused"]
        assert messages_of(10) == []
        assert messages_of(17, a_xml=course_xml("B"), edge_xml=course_xml("B")) == ["a"]
        assert messages_of(24) == ["a"]
        runs = [run for run in location.instance.get_runs() if WEBHOOK in (run.asset_selection or ())]
        assert runs
        assert all(AUTOMATED & run.tags.keys() for run in runs)
        assert location.failed(course_content_webhook(location.settings)) == ["MITx-refused-1T2020|prod"]


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ({"body": "{"}, "EDXORG_COURSE_WEBHOOK_BODY|course_webhook.body: it is no JSON"),
        ({"body": '{"a":"{course}"}'}, r"course_webhook.body: there is no value \{course\}: it can be \{course_id\}, "),
        ({"url": "https://u:p@learn.example/"}, "course_webhook.url: the address .* is refused"),
        ({"url": "learn.example"}, "course_webhook.url: it has to begin with https:// or http://"),
        ({"url": "https://learn.example/{x}"}, r"course_webhook.url: there is no value \{x\}"),
        ({"header": "a b"}, "course_webhook.header: 'a b' is no name of a header"),
        ({"adress": "x"}, "course_webhook.adress is no setting, did you mean course_webhook.header|is no setting"),
    ],
)
def test_a_wrong_setting_is_named(webhook: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings(course_webhook=webhook)


def test_variables_and_files_set_the_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("course_webhook:\n  body: {courses: [{source: '{source}'}]}\n")
    monkeypatch.setenv("EDXORG_SETTINGS", str(file))
    monkeypatch.setenv("EDXORG_COURSE_WEBHOOK_URL", "https://learn.example/hook")
    webhook = Settings().course_webhook
    assert (webhook.url, json.loads(webhook.body)) == (
        "https://learn.example/hook",
        {"courses": [{"source": "{source}"}]},
    )
    assert (webhook.source, webhook.header) == ("mit_edx", "X-MITLearn-Signature")
    assert Settings(institution="delftx").course_webhook.source == "delftx"


def test_the_webhook_is_there_only_where_it_is_configured() -> None:
    def keys(settings: Settings) -> set[dg.AssetKey]:
        return {spec.key for spec in build_definitions(settings).resolve_all_asset_specs()}

    configured = keys(Settings(course_webhook={"url": "https://learn.example"}))
    assert configured - keys(Settings()) == {WEBHOOK}
    named = keys(Settings(course_webhook={"url": "https://learn.example"}, name="mit"))
    assert dg.AssetKey(["mit", "course_content_webhook"]) in named


@pytest.mark.parametrize("header", ["Host", "content-length", "Content-Type"])
def test_a_header_of_every_message_is_none_for_the_signature(header: str) -> None:
    with pytest.raises(SettingsError, match="use another one for the signature"):
        Settings(course_webhook={"header": header})
