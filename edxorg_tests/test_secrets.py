"""Marked secrets, and all that leaves the process while everything fails that reads one."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode, encodebytes
from typing import TYPE_CHECKING
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.remote_representation.external_data import SensorExecutionErrorSnap
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._grpc.impl import get_external_sensor_execution

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient
from ol_orchestrate.testing.scripted import Request, Response, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from edxorg_tests.support.shell import Shell

NAMES = (
    *("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_JWT", "VAULT_AUTH_GITHUB_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "profile_key", "profile_token", "proxy"),
    *("client_id", "client_secret", "access_token", "redirect_user", "redirect_query"),
    *("private_key", "private_key_id", "client_email", "google_client_id", "more_of_the_secret"),
)

SENSORS = ("gcs_edxorg_archive_sensor", "gcs_edxorg_tracking_log_sensor", "edxorg_program_reports_sensor")


def spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield "".join(f"\\u{ord(character):04x}" for character in value)
    yield b64encode(value.encode()).decode()
    yield encodebytes(value.encode()).decode()
    yield value.encode().hex()


class Careless:
    """Vault, S3 and the edX API at one address, each of which repeats what its client knows when it refuses it."""

    def __init__(self) -> None:
        self.marked = {name: f"{name}+{secrets.token_hex(20)}/" for name in NAMES}
        self.url = ""

    def __call__(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/v1/sys/internal/ui/mounts/secret-data"):
            return self.json({"data": {"path": "secret-data/", "type": "kv", "options": {"version": "2"}}})
        if path.startswith("/v1/secret-data/data/"):
            return self.json({"data": {"data": self.google if "gcp" in path else self.client}})
        if path.startswith("/v1/"):
            return self.echo(request, *(name for name in NAMES if name.startswith("VAULT")))
        if path == "/oauth2/access_token":
            return self.json({"access_token": self.marked["access_token"], "expires_in": 300})
        if "programs" in path:
            told = self.marked
            target = f"https://{quote(told['redirect_user'], safe='')}@h.example:1/?token={told['redirect_query']}"
            return Response(302, b"", {"Location": target})
        if path.startswith("/api/"):
            return self.echo(request, "client_id", "client_secret", "access_token", "more_of_the_secret")
        profile = "profile-id" in request.headers.get("authorization", "")
        names = ("profile_key", "profile_token") if profile else ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return self.echo(request, *names)

    @property
    def client(self) -> dict[str, str]:
        told = self.marked
        more = {"deep": {"more": told["more_of_the_secret"]}}
        return {"id": told["client_id"], "secret": told["client_secret"], "url": self.url, **more}  # type: ignore[dict-item]

    @property
    def google(self) -> dict[str, str]:
        names = ("private_key", "private_key_id", "client_email")
        fields = {name: self.marked[name] for name in names}
        return {
            "type": "service_account",
            "client_id": self.marked["google_client_id"],
            "token_uri": self.url,
            **fields,
        }

    def json(self, content: object) -> Response:
        return Response(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def echo(self, request: Request, *names: str) -> Response:
        known = [spelled for name in names for spelled in spellings(self.marked[name])]
        told = [*known, *request.headers.values(), request.body.decode("latin-1")]
        if request.path.startswith(("/v1/", "/api/")):
            return Response(400, json.dumps({"errors": told}).encode(), {"Content-Type": "application/json"})
        return Response(400, f"<Error><Code>InvalidToken</Code><Message>{' '.join(told)}</Message></Error>".encode())


def test_no_secret_leaves_the_process_while_all_fails_that_reads_one(
    edxorg: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    careless = Careless()
    marked = careless.marked
    config = tmp_path / "config"
    keys = ["aws_access_key_id = profile-id", f"aws_secret_access_key = {marked['profile_key']}"]
    config.write_text("\n".join(["[profile edxorg]", *keys, f"aws_session_token = {marked['profile_token']}"]))
    jwt = tmp_path / "jwt"
    jwt.write_text(marked["VAULT_JWT"])
    told = []
    caplog.set_level("INFO", "botocore.hooks")  # thousands of lines
    with serving(careless) as server, caplog.at_level("DEBUG"):
        careless.url = server.url
        variables = {
            **{name: value for name, value in marked.items() if name.isupper()},
            "AWS_ACCESS_KEY_ID": "environment-id",
            "AWS_CONFIG_FILE": str(config),
            "AWS_ENDPOINT_URL": server.url,
            "EDXORG_ARCHIVE_URL": "gs://bucket/COLD",
            "EDXORG_LANDING_ZONE_URL": "s3://bucket/lake",
            "EDXORG_PROGRAM_REPORTS_URL": "s3://bucket/reports",
            "EDXORG_PROGRAM_REPORTS_DESTINATION_URL": "s3://bucket/copies",
            "HTTPS_PROXY": f"http://user:{quote(marked['proxy'], safe='')}@127.0.0.1:1",
            "VAULT_ADDR": server.url,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for method in AuthMethod:
            try:
                VaultClient(address=server.url, auth_method=method, role="r", jwt_path=str(jwt)).read("refused/x")
            except PipelineError as error:
                told.append(f"{error!r} {error.__cause__!r}")
        code, *printed = edxorg("doctor")
        told += printed
        told += fail_in_dagster(tmp_path / "instance")

    assert code == 1
    told += [caplog.text, *map(repr, (record.__dict__ for record in caplog.records)), *capsys.readouterr()]
    files = [path.read_bytes() for path in (tmp_path / "instance").rglob("*") if path.is_file()]
    assert any(content.startswith(b"SQLite") for content in files)
    everything = "\n".join([*told, *(content.decode("latin-1") for content in files)])
    assert "refuses the request (InvalidRequest)" in everything
    assert everything.count("InvalidToken") > len(SENSORS)
    assert "a redirect to https://h.example:1" in everything
    assert [name for name, value in marked.items() if any(each in everything for each in spellings(value))] == []


def fail_in_dagster(folder: Path) -> list[str]:
    """Evaluate the sensors and run a job; what Dagster is given to store."""
    folder.mkdir()
    definitions = build_definitions(Settings())
    repository = definitions.get_repository_def()
    told = []
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        for sensor in SENSORS:
            origin = RegisteredCodeLocationOrigin("edxorg")
            answer = get_external_sensor_execution(
                repository, origin, instance.get_ref(), sensor, None, None, None, None, None
            )
            assert isinstance(answer, SensorExecutionErrorSnap)
            tick = TickData(sensor, sensor, InstigatorType.SENSOR, TickStatus.FAILURE, 0.0, error=answer.error)
            told.append(dg.serialize_value(instance.create_tick(tick)))
        job = definitions.resolve_job_def("edxorg_api_daily_job")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        told += [dg.serialize_value(each) for each in (instance.get_run_by_id(result.run_id), job.get_job_snapshot())]
        told += [dg.serialize_value(each) for each in instance.all_logs(result.run_id)]
    return told
