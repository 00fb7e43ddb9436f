"""Reading secrets from a real OpenBao, by every login that it can check without a network."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dagster as dg
import hvac
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster._core.remote_representation.external_data import RepositorySnap
from google.auth import crypt, jwt

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
)
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient
from ol_orchestrate.resources.secrets.vault import Vault
from ol_orchestrate.testing.scripted import Request, Response, serving

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.testing.servers import OpenBaoServer

PATH = "pipelines/edx/org/oauth-client"


@pytest.fixture
def root(openbao_server: OpenBaoServer) -> hvac.Client:
    """May do everything in OpenBao."""
    return hvac.Client(openbao_server.address, token=openbao_server.token)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without the developer's token file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> VaultClient:
    """With the token that may do everything."""
    monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
    return VaultClient(address=openbao_server.address)


@pytest.fixture(params=["1", "2"])
def version(request: pytest.FixtureRequest) -> str:
    """The version of the key-value engine."""
    found: str = request.param
    return found


@pytest.fixture
def mount(root: hvac.Client, version: str) -> str:
    """A new key-value mount, with a secret at `PATH`."""
    name = f"secret-{secrets.token_hex(4)}"
    mount_kv(root, name, version)
    put(root, name, version, {"id": "a", "secret": "ключ"})
    return name


@pytest.fixture
def secret(root: hvac.Client) -> str:
    """Path of a secret of version 2, `{"id": "a"}`."""
    name = f"secret-{secrets.token_hex(4)}"
    mount_kv(root, name, "2")
    put(root, name, "2", {"id": "a"})
    return f"{name}/{PATH}"


@pytest.fixture
def policy(root: hvac.Client, secret: str) -> str:
    """May read `secret`, and nothing else."""
    name = f"policy-{secrets.token_hex(4)}"
    allowed = secret.replace("/", "/data/", 1)
    root.sys.create_or_update_policy(name, f'path "{allowed}" {{ capabilities = ["read"] }}')
    return name


def mount_kv(root: hvac.Client, name: str, version: str) -> None:
    root.sys.enable_secrets_engine("kv", path=name, options={"version": version})
    deadline = time.monotonic() + 10
    while version == "2" and time.monotonic() < deadline:
        try:
            root.read(f"{name}/config")  # a new mount of version 2 is busy for a moment
        except hvac.exceptions.InvalidRequest:
            time.sleep(0.01)
        else:
            return


def put(root: hvac.Client, mount: str, version: str, fields: dict[str, str]) -> None:
    if version == "2":
        root.write_data(f"{mount}/data/{PATH}", data={"data": fields})
    else:
        root.write_data(f"{mount}/{PATH}", data=fields)


def enable_approle(root: hvac.Client, mount: str, role: dict[str, object]) -> None:
    root.sys.enable_auth_method("approle", path=mount)
    root.write_data(f"auth/{mount}/role/loader", data=role)


def set_approle(root: hvac.Client, mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = root.auth.approle.read_role_id("loader", mount_point=mount)
    made = root.auth.approle.generate_secret_id("loader", mount_point=mount)
    monkeypatch.setenv("VAULT_ROLE_ID", role["data"]["role_id"])
    monkeypatch.setenv("VAULT_SECRET_ID", made["data"]["secret_id"])


class TestSecrets:
    def test_fields_of_the_newest_version_are_read(
        self, root: hvac.Client, client: VaultClient, mount: str, version: str
    ) -> None:
        assert client.read(f"{mount}/{PATH}") == {"id": "a", "secret": "ключ"}
        put(root, mount, version, {"id": "b"})
        assert client.read(f"/{mount}/{PATH}/") == {"id": "b"}

    def test_a_mount_whose_path_has_several_parts_is_found(
        self, root: hvac.Client, client: VaultClient, version: str
    ) -> None:
        inner = f"outer-{secrets.token_hex(4)}/inner/most"
        mount_kv(root, inner, version)
        put(root, inner, version, {"id": "nested"})
        assert client.read(f"{inner}/{PATH}") == {"id": "nested"}

    def test_a_missing_and_a_deleted_secret_are_named(
        self, root: hvac.Client, client: VaultClient, mount: str, version: str
    ) -> None:
        with pytest.raises(MissingObjectError, match=rf"{mount}/nowhere.*{client.address}.*login by token"):
            client.read(f"{mount}/nowhere")
        root.delete(f"{mount}/data/{PATH}" if version == "2" else f"{mount}/{PATH}")
        with pytest.raises(MissingObjectError, match=f"{mount}/{PATH}"):
            client.read(f"{mount}/{PATH}")

    def test_a_mount_of_another_type_is_refused(self, client: VaultClient) -> None:
        with pytest.raises(BadInputError, match="type cubbyhole"):
            client.read("cubbyhole/a")


class TestToken:
    def test_the_token_file_of_the_command_line_is_read(
        self, openbao_server: OpenBaoServer, home: Path, secret: str
    ) -> None:
        (home / ".vault-token").write_text(f"{openbao_server.token}\n", encoding="utf-8")
        assert VaultClient(address=openbao_server.address).read(secret) == {"id": "a"}

    def test_the_variable_wins_over_the_file(
        self, openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch, home: Path, secret: str
    ) -> None:
        (home / ".vault-token").write_text("wrong", encoding="utf-8")
        monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
        assert VaultClient(address=openbao_server.address).read(secret) == {"id": "a"}

    def test_a_missing_token_is_an_error_that_names_the_variable_and_the_file(
        self, openbao_server: OpenBaoServer
    ) -> None:
        with pytest.raises(AccessRefusedError, match=r"~/.vault-token .*FileNotFound.*VAULT_TOKEN"):
            VaultClient(address=openbao_server.address).read("secret/a")

    def test_a_token_that_no_header_can_hold_is_refused_without_repeating_it(
        self, openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VAULT_TOKEN", "canary\nX-Other: …")
        with pytest.raises(AccessRefusedError, match="VAULT_TOKEN") as caught:
            VaultClient(address=openbao_server.address).read("secret/a")
        assert "canary" not in str(caught.value)

    def test_a_wrong_token_and_a_missing_permission_have_different_errors(
        self,
        root: hvac.Client,
        client: VaultClient,
        monkeypatch: pytest.MonkeyPatch,
        secret: str,
        policy: str,
    ) -> None:
        monkeypatch.setenv("VAULT_TOKEN", "s.wrong")
        with pytest.raises(AccessRefusedError, match=r"expired or is unknown.*vault login"):
            client.read(secret)
        monkeypatch.setenv("VAULT_TOKEN", root.auth.token.create(policies=[policy])["auth"]["client_token"])
        assert client.read(secret) == {"id": "a"}
        for path in (f"{secret}-other", "no-such-mount/a"):
            with pytest.raises(AccessRefusedError, match=rf"{path} .*the login is good"):
                client.read(path)

    def test_a_new_token_replaces_one_that_was_revoked(
        self,
        root: hvac.Client,
        openbao_server: OpenBaoServer,
        monkeypatch: pytest.MonkeyPatch,
        secret: str,
        policy: str,
    ) -> None:
        tokens = [root.auth.token.create(policies=[policy])["auth"]["client_token"] for _ in range(2)]
        client = VaultClient(address=openbao_server.address)
        monkeypatch.setenv("VAULT_TOKEN", tokens[0])
        client.read(secret)
        root.auth.token.revoke(tokens[0])
        monkeypatch.setenv("VAULT_TOKEN", tokens[1])
        assert client.read(secret) == {"id": "a"}


class TestAppRole:
    @pytest.fixture
    def mounted(self, root: hvac.Client, policy: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """The path of a login whose tokens last two seconds; its credentials are set."""
        path = f"approle-{secrets.token_hex(4)}"
        enable_approle(root, path, {"token_policies": [policy], "token_ttl": "2s", "token_max_ttl": "2s"})
        set_approle(root, path, monkeypatch)
        return path

    def test_an_expired_token_is_replaced(self, openbao_server: OpenBaoServer, mounted: str, secret: str) -> None:
        client = VaultClient(address=openbao_server.address, auth_method=AuthMethod.APPROLE, mount=mounted)
        assert client.read(secret) == {"id": "a"}
        time.sleep(2.2)
        assert client.read(secret) == {"id": "a"}

    def test_refused_credentials_are_in_no_error(
        self, openbao_server: OpenBaoServer, mounted: str, secret: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VAULT_SECRET_ID", "canary")
        client = VaultClient(address=openbao_server.address, auth_method=AuthMethod.APPROLE, mount=mounted)
        with pytest.raises(
            AccessRefusedError, match=rf"{secret} .*login by approle at auth/{mounted}.*refused"
        ) as caught:
            client.read(secret)
        assert "canary" not in str(caught.value)

    def test_credentials_that_are_not_set_are_named(
        self, openbao_server: OpenBaoServer, mounted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("VAULT_ROLE_ID")
        client = VaultClient(address=openbao_server.address, auth_method=AuthMethod.APPROLE, mount=mounted)
        with pytest.raises(AccessRefusedError, match="VAULT_ROLE_ID is not set"):
            client.read("secret/a")


class TestJwt:
    @pytest.fixture
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @pytest.fixture
    def mounted(self, root: hvac.Client, policy: str, key: rsa.RSAPrivateKey) -> str:
        """The path of a login that takes tokens signed by `key`."""
        path = f"jwt-{secrets.token_hex(4)}"
        root.sys.enable_auth_method("jwt", path=path)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        root.write_data(f"auth/{path}/config", data={"jwt_validation_pubkeys": [public.decode()]})
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [policy]}
        root.write_data(f"auth/{path}/role/loader", data=role)
        return path

    def signed(self, key: rsa.RSAPrivateKey) -> str:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        now = int(time.time())
        claims = {"sub": "edxorg", "aud": "vault", "iat": now, "exp": now + 60}
        signer = crypt.RSASigner.from_string(pem.decode())  # type: ignore[no-untyped-call]
        token: bytes = jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
        return token.decode()

    def test_a_jwt_is_read_from_the_variable_or_the_file(
        self,
        openbao_server: OpenBaoServer,
        mounted: str,
        key: rsa.RSAPrivateKey,
        secret: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        file = tmp_path / "jwt"
        file.write_text(self.signed(key), encoding="utf-8")

        def client() -> VaultClient:
            return VaultClient(
                address=openbao_server.address,
                auth_method=AuthMethod.JWT,
                role="loader",
                mount=mounted,
                jwt_path=str(file),
            )

        assert client().read(secret) == {"id": "a"}
        file.write_text("wrong", encoding="utf-8")
        with pytest.raises(AccessRefusedError, match=f"login by jwt as loader at auth/{mounted}"):
            client().read(secret)
        monkeypatch.setenv("VAULT_JWT", self.signed(key))
        assert client().read(secret) == {"id": "a"}


class TestResource:
    def test_the_resource_reads_like_the_client_and_connects_at_first_use(
        self, openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        Vault(address="http://127.0.0.1:1")
        vault = Vault(address=openbao_server.address)
        monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
        assert vault.read(secret) == {"id": "a"}

    def test_a_missing_address_is_an_error_that_names_the_variable(self) -> None:
        with pytest.raises(AccessRefusedError, match="Set VAULT_ADDR"):
            Vault().read("secret/a")

    def test_threads_share_one_login(
        self,
        root: hvac.Client,
        openbao_server: OpenBaoServer,
        monkeypatch: pytest.MonkeyPatch,
        secret: str,
        policy: str,
    ) -> None:
        path = f"approle-{secrets.token_hex(4)}"
        # A secret id that works once: a second login would be refused.
        enable_approle(root, path, {"token_policies": [policy], "secret_id_num_uses": 1})
        set_approle(root, path, monkeypatch)
        vault = Vault(address=openbao_server.address, auth_method=AuthMethod.APPROLE, mount=path)
        barrier = threading.Barrier(8)

        def read(_: int) -> dict[str, str]:
            barrier.wait()
            return vault.read(secret)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(read, range(8))) == [{"id": "a"}] * 8

    def test_nothing_secret_is_shown_stored_or_logged(
        self,
        root: hvac.Client,
        openbao_server: OpenBaoServer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        canaries = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in ("field", "approle", "jwt", "github")}
        root.secrets.kv.v2.create_or_update_secret("canary", {"key": canaries["field"]})
        monkeypatch.setenv("VAULT_TOKEN", openbao_server.token)
        monkeypatch.setenv("VAULT_ROLE_ID", canaries["approle"])
        monkeypatch.setenv("VAULT_SECRET_ID", canaries["approle"])
        monkeypatch.setenv("VAULT_JWT", canaries["jwt"])
        monkeypatch.setenv("VAULT_AUTH_GITHUB_TOKEN", canaries["github"])
        for method in ("approle", "jwt", "github"):
            enabled = root.sys.list_auth_methods()["data"]
            if method != "github" and f"{method}/" not in enabled:
                root.sys.enable_auth_method(method)

        resources = {
            f"by_{method.name.lower()}": Vault(address=openbao_server.address, auth_method=method)
            for method in AuthMethod
        }

        @dg.op(required_resource_keys=set(resources))
        def read_all(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Dagster cannot read it as text
            assert context.resources.by_token.read("secret/canary") == {"key": canaries["field"]}
            for name in sorted(resources):
                context.log.info(repr(getattr(context.resources, name)))
                with pytest.raises(PipelineError) as caught:
                    getattr(context.resources, name).read("secret/nowhere")
                context.log.error("", exc_info=caught.value)
            context.resources.by_approle.read("secret/canary")

        @dg.job
        def failing() -> None:
            read_all()

        definitions = dg.Definitions(jobs=[failing], resources=resources)
        job = definitions.resolve_job_def("failing")
        with caplog.at_level("DEBUG"), dg.instance_for_test() as instance:
            result = job.execute_in_process(instance=instance, raise_on_error=False)
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            stored = [dg.serialize_value(record) for record in instance.all_logs(result.run_id)]
            stored += [
                dg.serialize_value(run),
                dg.serialize_value(instance.get_job_snapshot(run.job_snapshot_id or "")),
            ]
        stored += [dg.serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))]
        text = "\n".join([*stored, caplog.text, *map(repr, resources.values())])
        assert not result.success
        assert "Secret secret/canary of Vault" in text
        assert [value for value in (*canaries.values(), openbao_server.token) if value in text] == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"[]"),
        (200, b"null"),
        (200, b"[" * 100_000),
        (200, b'{"data": {"path": 1, "type": "kv"}}'),
        (200, b'{"data": {"path": "s/", "type": "kv", "options": 3}}'),
        (200, b'{"data": {"path": "s/", "type": "kv", "options": {"version": "2"}, "data": ["canary-of-it"]}}'),
    ],
    ids=["an error", "null", "deep", "path", "options", "fields"],
)
def test_a_response_in_json_that_is_none_of_vaults_is_final(
    status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "token-of-nobody")
    with (
        serving(lambda _: Response(status, body, {"Content-Type": "application/json"})) as server,
        pytest.raises(PermanentServiceError, match="Check VAULT_ADDR") as caught,
    ):
        VaultClient(address=server.url).read("s/x")
    assert "canary" not in str(caught.value)
    assert len(server.requests) <= 2


def test_an_answer_that_breaks_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "token")
    answers = {
        "/v1/sys/internal/ui/mounts/secret/edx": b'{"data": {"path": "secret/", "type": "kv"}}',
        "/v1/secret/edx": b'{"data": {"name": "value-of-the-secret"}}',
    }
    broken = set(answers)

    def script(request: Request) -> Response:
        body = answers[request.path]
        if request.path not in broken:
            return Response(200, body)
        broken.remove(request.path)
        return Response(200, body[:9], length=len(body))

    with serving(script) as server:
        assert VaultClient(address=server.url).read("secret/edx") == {"name": "value-of-the-secret"}
    assert len(server.requests) == 4
