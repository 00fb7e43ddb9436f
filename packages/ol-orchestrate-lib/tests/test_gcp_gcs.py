from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dagster as dg
import hvac
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_gcp import GCSResource  # noqa: TC002 - Dagster reads the annotation
from google.auth.credentials import AnonymousCredentials
from google.oauth2.service_account import Credentials

from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError
from ol_orchestrate.resources.gcp_gcs import GCSConnection
from ol_orchestrate.resources.secrets.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, OpenBaoServer

# Dagster calls this itself, on its way from a resource to the one in it.
pytestmark = pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning")

NOWHERE = "secret/nowhere"

UNREACHABLE = Vault(address="http://127.0.0.1:1")
"""Whoever asks it gets an error."""


@pytest.fixture(scope="module")
def private_key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


@pytest.fixture
def key_file(private_key: str) -> dict[str, str]:
    """A service account, as Google hands it out."""
    return {
        "type": "service_account",
        "project_id": "simeon",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "loader@simeon.iam.gserviceaccount.com",
        "client_id": "2",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


@pytest.fixture
def vault(openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
    return Vault(address=openbao_server.address)


def keep(server: OpenBaoServer, fields: dict[str, str]) -> str:
    """Write a secret, and give its path."""
    name = secrets.token_hex(4)
    root = hvac.Client(server.address, token=server.token)
    root.secrets.kv.v2.create_or_update_secret(name, fields)
    return f"secret/{name}"


def use(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


class TestEmulator:
    def test_objects_are_read_and_written_without_credentials(
        self, gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(gcs_server, monkeypatch)
        connection = GCSConnection(vault=Vault(), secret_path=NOWHERE)
        bucket = connection.get_client().bucket(gcs_bucket)
        bucket.blob("a").upload_from_string(b"content")
        assert bucket.blob("a").download_as_bytes() == b"content"
        assert connection.service_account_info() is None

    def test_the_emulator_wins_over_a_key_file_and_over_vault(
        self, gcs_server: GCSServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(gcs_server, monkeypatch)
        for key_file in ("", "/nowhere.json"):
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key_file)
            connection = GCSConnection(vault=UNREACHABLE, secret_path=NOWHERE)
            assert isinstance(connection.get_client()._credentials, AnonymousCredentials)  # noqa: SLF001
            assert connection.service_account_info() is None

    def test_an_asset_gets_the_connection_as_a_resource(
        self, gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(gcs_server, monkeypatch)

        @dg.asset
        def uploaded(gcs: GCSResource) -> None:
            gcs.get_client().bucket(gcs_bucket).blob("from-an-asset").upload_from_string(b"content")

        connection = GCSConnection(vault=Vault(), secret_path=NOWHERE)
        assert dg.materialize([uploaded], resources={"gcs": connection}).success
        assert connection.get_client().bucket(gcs_bucket).blob("from-an-asset").exists()


class TestServiceAccountInVault:
    @pytest.mark.parametrize("spelled_out", [False, True])
    def test_the_client_has_the_service_account(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str], *, spelled_out: bool
    ) -> None:
        line_end = "\\n" if spelled_out else "\n"
        kept = {**key_file, "private_key": key_file["private_key"].replace("\n", line_end)}
        connection = GCSConnection(vault=vault, secret_path=keep(openbao_server, kept))
        client = connection.get_client()
        carried = client._credentials  # noqa: SLF001 - that is the question
        assert isinstance(carried, Credentials)
        assert (carried.service_account_email, client.project) == (key_file["client_email"], "simeon")
        assert connection.service_account_info() == key_file

    def test_threads_share_one_client(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str]
    ) -> None:
        connection = GCSConnection(vault=vault, secret_path=keep(openbao_server, key_file))
        with ThreadPoolExecutor(4) as pool:
            assert len({id(client) for client in pool.map(lambda _: connection.get_client(), range(8))}) == 1

    def test_a_configured_project_replaces_that_of_the_service_account(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = keep(openbao_server, key_file)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "environment")
        assert GCSConnection(vault=vault, secret_path=path).get_client().project == "environment"
        assert GCSConnection(vault=vault, secret_path=path, project="other").get_client().project == "other"

    def test_a_secret_of_another_kind_is_refused_with_the_missing_fields(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str]
    ) -> None:
        path = keep(openbao_server, {**key_file, "private_key": "", "client_email": ""})
        with pytest.raises(BadInputError, match=f"{path} .* lacks client_email, private_key"):
            GCSConnection(vault=vault, secret_path=path).get_client()

    def test_a_broken_key_is_refused_unseen(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str]
    ) -> None:
        path = keep(openbao_server, {**key_file, "private_key": "-----BEGIN PRIVATE KEY-----\ncanary"})
        with pytest.raises(AccessRefusedError) as caught:
            GCSConnection(vault=vault, secret_path=path).get_client()
        assert "canary" not in str(caught.value)

    def test_no_snapshot_and_no_repr_has_the_service_account(
        self, openbao_server: OpenBaoServer, vault: Vault, key_file: dict[str, str]
    ) -> None:
        connection = GCSConnection(vault=vault, secret_path=keep(openbao_server, key_file))

        @dg.asset
        def listed(gcs: GCSConnection) -> None:
            gcs.get_client()

        definitions = dg.Definitions(assets=[listed], resources={"gcs": connection, "vault": vault})
        with dg.instance_for_test() as instance:
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            shown = dg.serialize_value(instance.get_job_snapshot(run.job_snapshot_id or ""))
        shown += dg.serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
        shown += repr(connection) + repr(connection.get_client())
        assert str(connection.secret_path) in shown
        key_line = key_file["private_key"].splitlines()[1]
        assert [value for value in (key_line, key_file["client_email"], openbao_server.token) if value in shown] == []


class TestGooglesOwnDefaults:
    def test_a_key_file_wins_over_vault(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_file: dict[str, str]
    ) -> None:
        (tmp_path / "key.json").write_text(json.dumps(key_file), encoding="utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        connection = GCSConnection(vault=UNREACHABLE, secret_path=NOWHERE)
        client = connection.get_client()
        assert (client._credentials.service_account_email, client.project) == (key_file["client_email"], "simeon")  # noqa: SLF001
        assert connection.service_account_info() is None

    def test_missing_credentials_are_an_error_that_names_the_settings(self) -> None:
        connection = GCSConnection(vault=Vault(), secret_path=NOWHERE)
        with pytest.raises(AccessRefusedError, match="GOOGLE_APPLICATION_CREDENTIALS"):
            connection.get_client()

    @pytest.mark.parametrize(
        ("content", "problem"),
        [(None, "there is no such file"), ("canary", "it is no JSON key"), ("{}", "it is no JSON key")],
    )
    def test_a_key_file_that_cannot_be_used_is_named_without_its_content(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, problem: str
    ) -> None:
        path = tmp_path / "key.json"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        with pytest.raises(AccessRefusedError, match=f"names {path}: {problem}.* Correct the variable") as error:
            GCSConnection(vault=Vault(), secret_path=NOWHERE).get_client()
        assert "canary" not in str(error.value)

    def test_a_key_in_place_of_its_path_is_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, key_file: dict[str, str]
    ) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", json.dumps(key_file))
        with pytest.raises(AccessRefusedError, match="characters that are the path of no file") as error:
            GCSConnection(vault=Vault(), secret_path=NOWHERE).get_client()
        assert key_file["client_email"] not in str(error.value)
