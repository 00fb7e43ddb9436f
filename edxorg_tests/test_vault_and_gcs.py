"""Archives in Google Cloud Storage, for which Vault keeps the service account: the sensor, and the run it asks for.

The emulator lets everybody in. Here a gate stands before it that lets in who has a token, and issues tokens for what
was signed with the service account's key.
"""

from __future__ import annotations

import http.client
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

import dagster as dg
import hvac
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.impl import get_external_sensor_execution
from google.auth import jwt
from upath import UPath  # noqa: TC002 - Dagster reads the annotation

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg_tests.support.archives import ARCHIVE, TABLE, landed, table_name, write_archive
from ol_orchestrate.lib.retrying import PATIENCE
from ol_orchestrate.lib.stores import gcs_store
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dagster._core.remote_representation.external_data import SensorExecutionErrorSnap

    from ol_orchestrate.testing.servers import GCSServer, OpenBaoServer

ACCOUNT = "loader@simeon.iam.gserviceaccount.com"
DAGSTERS_PATIENCE = 60
"""Seconds for a tick."""
SENSOR, JOB = "gcs_edxorg_archive_sensor", "retrieve_edxorg_raw_data"


class Gate:
    """Google's token address, and its storage for those who have a token."""

    def __init__(self, storage: GCSServer) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        public_key = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.token = f"ya29.{secrets.token_hex(20)}"
        self.issued = 0
        self.issues_tokens = True
        self.let_in: set[str] = set()
        """Methods."""
        gate = self
        address = storage.endpoint_url.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                if not gate.issues_tokens:
                    self.answer(500, b"")
                    return
                claims = jwt.decode(form["assertion"][0], certs=public_key)  # type: ignore[no-untyped-call]
                assert claims["iss"] == ACCOUNT
                gate.issued += 1
                self.answer(200, json.dumps({"access_token": gate.token, "expires_in": 3600}).encode())

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Bearer {gate.token}":
                    self.answer(401, b"who are you?")
                    return
                gate.let_in.add(self.command)
                connection = http.client.HTTPConnection(address, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, headers=headers)
                response = connection.getresponse()
                self.answer(response.status, response.read(), response.getheaders())
                connection.close()

            do_HEAD = do_GET  # noqa: N815 - the base class's name

            def answer(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
                of_connection = {"transfer-encoding", "connection", "date"}
                kept = [each for each in headers or [] if each[0].lower() not in of_connection]
                self.send_response(status)
                for header, value in kept:
                    self.send_header(header, value)
                if "content-length" not in {header.lower() for header, _ in kept}:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def key_file(self) -> dict[str, str]:
        return {
            "type": "service_account",
            "project_id": "simeon",
            "private_key_id": "1",
            "private_key": self.private_key,
            "client_email": ACCOUNT,
            "token_uri": f"{self.url}/token",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def gate(gcs_server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(gcs_server)
    # Where Google's client and obstore look for storage, with credentials, unlike STORAGE_EMULATOR_HOST.
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", gate.url)
    monkeypatch.setenv("GOOGLE_BASE_URL", gate.url)
    monkeypatch.setattr(gcs_store, "CLIENT_OPTIONS", {**CLIENT_OPTIONS, "allow_http": True})
    yield gate
    gate.close()


@pytest.fixture
def root(openbao_server: OpenBaoServer) -> Iterator[hvac.Client]:
    """Vault's owner, with a mount for secrets as the location expects it, and logins by AppRole."""
    client = hvac.Client(openbao_server.address, token=openbao_server.token)
    client.sys.disable_auth_method("approle")  # another test's, which needs it no more, if it is there
    client.sys.enable_secrets_engine("kv", path="secret-data", options={"version": "1"})
    try:
        client.sys.enable_auth_method("approle")
        yield client
        client.sys.disable_auth_method("approle")
    finally:
        client.sys.disable_secrets_engine("secret-data")
        client.adapter.close()


@pytest.fixture
def role(root: hvac.Client) -> dict[str, str]:
    """The variables of a login that may read the secrets of edX."""
    rules = 'path "secret-data/pipelines/edx/*" { capabilities = ["read"] }'
    root.sys.create_or_update_policy("edx", rules)
    root.auth.approle.create_or_update_approle("edxorg", token_policies=["edx"])
    return {
        "VAULT_AUTH_METHOD": "approle",
        "VAULT_ROLE_ID": root.auth.approle.read_role_id("edxorg")["data"]["role_id"],
        "VAULT_SECRET_ID": root.auth.approle.generate_secret_id("edxorg")["data"]["secret_id"],
    }


class Location:
    """The location with the settings of an environment."""

    def __init__(self, environ: dict[str, str], instance: dg.DagsterInstance) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            self.settings = Settings()
        self.definitions = build_definitions(self.settings)
        self.instance = instance

    def tick(self) -> SensorExecutionData | SensorExecutionErrorSnap:
        origin, nothing = RegisteredCodeLocationOrigin("edxorg"), (None,) * 5
        repository = self.definitions.get_repository_def()
        return get_external_sensor_execution(repository, origin, self.instance.get_ref(), SENSOR, *nothing)

    def run(self, partition: str) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions("edxorg_archive", [partition])
        job = self.definitions.resolve_job_def(JOB)
        return job.execute_in_process(instance=self.instance, partition_key=partition, raise_on_error=False)

    def everything_said(self, *more: object) -> str:
        events = [self.instance.all_logs(run.run_id) for run in self.instance.get_runs()]
        runs = [self.instance.get_job_snapshot(run.job_snapshot_id or "") for run in self.instance.get_runs()]
        return "\n".join(map(repr, [*events, *runs, *more]))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def environ(
    gcs_server: GCSServer, gcs_bucket: str, openbao_server: OpenBaoServer, tmp_path: Path, gate: Gate, root: hvac.Client
) -> dict[str, str]:
    """An archive in a bucket, and its key in Vault."""
    archive = write_archive(tmp_path / "made" / ARCHIVE, {table_name(): TABLE}).read_bytes()
    connection = http.client.HTTPConnection(gcs_server.endpoint_url.removeprefix("http://"), timeout=30)
    name = quote(f"COLD/{ARCHIVE}", safe="")
    connection.request("POST", f"/upload/storage/v1/b/{gcs_bucket}/o?uploadType=media&name={name}", archive)
    assert connection.getresponse().status == http.client.OK
    connection.close()
    root.secrets.kv.v1.create_or_update_secret(
        "pipelines/edx/org/gcp-oauth-client", gate.key_file, mount_point="secret-data"
    )
    return {
        "EDXORG_ARCHIVE_URL": f"gs://{gcs_bucket}/COLD",
        "EDXORG_LANDING_ZONE_URL": f"file://{tmp_path}/lake",
        "VAULT_ADDR": openbao_server.address,
    }


@pytest.mark.parametrize("method", ["token", "approle"])
def test_the_sensor_finds_archives_and_the_run_reads_them(
    method: str,
    environ: dict[str, str],
    role: dict[str, str],
    gate: Gate,
    root: hvac.Client,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    login = role if method == "approle" else {"VAULT_TOKEN": root.token}
    for variable, value in login.items():
        monkeypatch.setenv(variable, value)
    location = Location({**environ, **login}, instance)

    tick = location.tick()
    assert isinstance(tick, SensorExecutionData), tick
    assert [request.partition_key for request in tick.run_requests or []] == [ARCHIVE]
    assert gate.issued >= 1
    result = location.run(ARCHIVE)

    assert result.success
    assert any(
        key.startswith("edxorg/raw_data/db_table/auth_user/prod/")
        for key in landed(Path(environ["EDXORG_LANDING_ZONE_URL"].removeprefix("file://")))
    )
    said = location.everything_said(tick, capfd.readouterr())
    key_line = gate.private_key.splitlines()[1]
    assert ACCOUNT not in said
    assert [each for each in (key_line, gate.token, root.token, role["VAULT_SECRET_ID"]) if each in said] == []


def test_the_default_io_manager_reads_a_bucket_with_the_secret_of_vault(
    environ: dict[str, str],
    openbao_server: OpenBaoServer,
    gate: Gate,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
    manager = (Location(environ, instance).definitions.resources or {})["io_manager"]
    url = f"{environ['EDXORG_ARCHIVE_URL']}/{ARCHIVE}"
    instance.report_runless_asset_event(dg.AssetMaterialization("archive", metadata={"path": url}))

    @dg.asset(ins={"archive": dg.AssetIn(input_manager_key="io_manager")}, io_manager_key="memory")
    def reader(archive: UPath) -> bytes:
        return archive.read_bytes()

    result = dg.materialize(
        [dg.AssetSpec("archive"), reader],
        instance=instance,
        resources={"io_manager": manager, "memory": dg.mem_io_manager},
    )

    assert result.output_for_node("reader") == (tmp_path / "made" / ARCHIVE).read_bytes()
    assert gate.issued >= 1


def without_vault(environ: dict[str, str], root: hvac.Client) -> dict[str, str]:
    del root
    return {**environ, "VAULT_ADDR": "http://127.0.0.1:1"}


def without_secret(environ: dict[str, str], root: hvac.Client) -> dict[str, str]:
    root.secrets.kv.v1.delete_secret("pipelines/edx/org/gcp-oauth-client", mount_point="secret-data")
    return environ


def without_permission(environ: dict[str, str], root: hvac.Client) -> dict[str, str]:
    root.sys.create_or_update_policy("edx", 'path "secret-data/elsewhere" { capabilities = ["read"] }')
    return environ


def without_role(environ: dict[str, str], root: hvac.Client) -> dict[str, str]:
    root.auth.approle.delete_role("edxorg")
    return environ


def without_service_account(environ: dict[str, str], root: hvac.Client) -> dict[str, str]:
    root.secrets.kv.v1.create_or_update_secret(
        "pipelines/edx/org/gcp-oauth-client", {"private_key": "canary"}, mount_point="secret-data"
    )
    return environ


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (without_vault, "it cannot be reached"),
        (without_secret, "there is no such secret"),
        (without_permission, "the login is good, but"),
        (without_role, "the login is refused"),
        (without_service_account, "it lacks client_email, token_uri"),
    ],
)
def test_a_tick_and_a_run_that_get_no_credentials_say_which_from_where_and_how(
    break_it: Callable[[dict[str, str], hvac.Client], dict[str, str]],
    problem: str,
    environ: dict[str, str],
    role: dict[str, str],
    root: hvac.Client,
    gate: Gate,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in role.items():
        monkeypatch.setenv(variable, value)
    broken = break_it({**environ, **role}, root)
    location = Location(broken, instance)

    tick = location.tick()
    assert not isinstance(tick, SensorExecutionData)
    tick_says = repr(tick.error)
    result = location.run(ARCHIVE)
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None

    for said in (tick_says, str(failure.description)):
        assert problem in said
        assert "secret-data/pipelines/edx/org/gcp-oauth-client" in said
        if break_it is not without_service_account:
            assert f"{broken['VAULT_ADDR']} (login by approle at auth/approle)" in said
    said = location.everything_said(tick)
    hidden = (role["VAULT_SECRET_ID"], role["VAULT_ROLE_ID"], gate.private_key.splitlines()[1], "canary")
    assert [each for each in hidden if each in said] == []


def test_a_tick_ends_before_dagster_ends_it_if_google_gives_no_token(
    environ: dict[str, str],
    openbao_server: OpenBaoServer,
    gate: Gate,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert PATIENCE * 2 <= DAGSTERS_PATIENCE
    monkeypatch.setattr(gcs_store, "PATIENCE", 1.0)
    monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
    gate.issues_tokens = False
    start = time.monotonic()

    tick = Location(environ, instance).tick()

    assert time.monotonic() - start < DAGSTERS_PATIENCE / 3
    assert not isinstance(tick, SensorExecutionData)
    said = repr(tick.error)
    assert f"{environ['EDXORG_ARCHIVE_URL']}: Google gives no access token: " in said
    assert gate.private_key.splitlines()[1] not in said
