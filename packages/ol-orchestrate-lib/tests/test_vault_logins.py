"""The requests to Vault, and the use of its responses, seen by a small server that plays Vault.

For what OpenBao cannot do without a network (a login that it checks with Kubernetes, AWS or GitHub) or on demand
(failing, forgetting a token, answering with nonsense).
"""

from __future__ import annotations

import json
import ssl
from base64 import b64decode
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.vault_client import RETRIES, AuthMethod, VaultClient
from ol_orchestrate.testing.loopback_certificates import certify_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Response = tuple[int, Any]

SECRET = "secret/pipelines/client"  # noqa: S105 - where it is, not what
FIELDS = {"id": "a"}


class PlayedVault(ThreadingHTTPServer):
    """Takes every login, and keeps one secret; `answers` by path come first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PlayedVaultHandler)
        self.refused_handshakes = 0
        self.scheme = "http"
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.answers: dict[str, Callable[[int], Response]] = {}

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except ssl.SSLError:  # the client does not trust the certificate
            self.refused_handshakes += 1
            raise

    def asked(self, path: str) -> int:
        return [asked for asked, _, _ in self.requests].count(path)

    def answer(self, path: str) -> Response:
        if path in self.answers:
            return self.answers[path](self.asked(path))
        if path.endswith("/login"):
            return 200, {"auth": {"client_token": f"token-{self.asked(path)}"}}
        if path == f"/v1/sys/internal/ui/mounts/{SECRET}":
            return 200, {"data": {"path": "secret/", "type": "kv", "options": None}}
        if path == f"/v1/{SECRET}":
            return 200, {"data": FIELDS}
        return 200, {"data": {}}


class PlayedVaultHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PlayedVault

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, dict(self.headers), json.loads(body or b"{}")))
        status, content = self.server.answer(self.path)
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.send_header("Retry-After", "600")
        if status == HTTPStatus.TEMPORARY_REDIRECT:
            self.send_header("Location", content)
        self.end_headers()
        self.wfile.write(encoded)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(server: PlayedVault) -> Iterator[PlayedVault]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def played() -> Iterator[PlayedVault]:
    with serving(PlayedVault()) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


class TestLoginRequests:
    def test_kubernetes_sends_the_role_and_the_token_of_the_pod(self, played: PlayedVault, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("pod-token\n", encoding="utf-8")
        client = VaultClient(
            address=played.address,
            auth_method=AuthMethod.KUBERNETES,
            role="edxorg",
            jwt_path=str(tmp_path / "token"),
            namespace="ol/data",
        )
        assert client.read(SECRET) == FIELDS
        path, headers, body = played.requests[0]
        assert (path, body) == ("/v1/auth/kubernetes/login", {"role": "edxorg", "jwt": "pod-token"})
        assert "X-Vault-Token" not in headers
        assert [(sent["X-Vault-Token"], sent["X-Vault-Namespace"]) for _, sent, _ in played.requests[1:]] == [
            ("token-1", "ol/data"),
            ("token-1", "ol/data"),
        ]

    def test_a_login_outside_a_pod_names_the_missing_file(self, played: PlayedVault) -> None:
        client = VaultClient(address=played.address, auth_method=AuthMethod.KUBERNETES, role="edxorg")
        with pytest.raises(AccessRefusedError, match=r"login by kubernetes as edxorg .*serviceaccount/token.*JWT_PATH"):
            client.read(SECRET)
        assert played.requests == []

    def test_github_sends_the_personal_token(self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VAULT_AUTH_GITHUB_TOKEN", "ghp_personal")
        client = VaultClient(address=played.address, auth_method=AuthMethod.GITHUB, mount="teams/github")
        assert client.read(SECRET) == FIELDS
        path, _, body = played.requests[0]
        assert (path, body) == ("/v1/auth/teams/github/login", {"token": "ghp_personal"})

    def test_aws_sends_a_signed_request_for_the_callers_identity(
        self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = Credentials("AKIDEXAMPLE", "secret-key", "session-token")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")
        client = VaultClient(address=played.address, auth_method=AuthMethod.AWS_IAM, role="edxorg")
        assert client.read(SECRET) == FIELDS
        path, _, body = played.requests[0]
        assert (path, body["role"], body["iam_http_request_method"]) == ("/v1/auth/aws/login", "edxorg", "POST")
        url = b64decode(body["iam_request_url"]).decode()
        question = b64decode(body["iam_request_body"])
        headers = {name: value for name, [value] in json.loads(b64decode(body["iam_request_headers"])).items()}
        assert (url, question) == ("https://sts.amazonaws.com/", b"Action=GetCallerIdentity&Version=2011-06-15")
        assert (headers["Host"], headers["X-Amz-Security-Token"]) == ("sts.amazonaws.com", "session-token")
        assert "secret-key" not in str(headers)

        # AWS would find the same signature over what it is shown.
        signed = headers.pop("Authorization")
        again = AWSRequest("POST", url, headers, question)
        again.context["timestamp"] = headers["X-Amz-Date"]
        signer = SigV4Auth(keys, "sts", "us-east-1")
        signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
        assert signed.endswith(f"Signature={signature}")

    def test_no_login_is_sent_without_aws_credentials(self, played: PlayedVault) -> None:
        client = VaultClient(address=played.address, auth_method=AuthMethod.AWS_IAM)
        with pytest.raises(AccessRefusedError, match="no AWS credentials"):
            client.read(SECRET)
        assert played.requests == []

    def test_a_profile_that_is_not_there_is_named_as_unusable(
        self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        client = VaultClient(address=played.address, auth_method=AuthMethod.AWS_IAM)
        with pytest.raises(AccessRefusedError, match="ProfileNotFound"):
            client.read(SECRET)


class TestLoggingInAgain:
    @pytest.fixture
    def client(self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch) -> VaultClient:
        monkeypatch.setenv("VAULT_AUTH_GITHUB_TOKEN", "ghp_personal")
        return VaultClient(address=played.address, auth_method=AuthMethod.GITHUB)

    def test_one_login_serves_all_reads(self, played: PlayedVault, client: VaultClient) -> None:
        assert [client.read(SECRET) for _ in range(3)] == [FIELDS] * 3
        assert played.asked("/v1/auth/github/login") == 1

    def test_a_token_that_vault_forgot_is_replaced_once(self, played: PlayedVault, client: VaultClient) -> None:
        played.answers[f"/v1/{SECRET}"] = lambda asked: (403, {"errors": []}) if asked == 1 else (200, {"data": FIELDS})
        played.answers["/v1/auth/token/lookup-self"] = lambda _: (403, {"errors": []})
        assert client.read(SECRET) == FIELDS
        assert played.asked("/v1/auth/github/login") == 2

    def test_a_refusal_that_stays_ends_after_one_more_login(self, played: PlayedVault, client: VaultClient) -> None:
        played.answers[f"/v1/{SECRET}"] = lambda _: (403, {"errors": []})
        played.answers["/v1/auth/token/lookup-self"] = lambda _: (403, {"errors": []})
        with pytest.raises(AccessRefusedError):
            client.read(SECRET)
        assert played.asked("/v1/auth/github/login") == 2

    def test_a_missing_permission_costs_no_login(self, played: PlayedVault, client: VaultClient) -> None:
        played.answers[f"/v1/{SECRET}"] = lambda _: (403, {"errors": []})
        with pytest.raises(AccessRefusedError, match="the login is good"):
            client.read(SECRET)
        assert played.asked("/v1/auth/github/login") == 1


class TestFailures:
    @pytest.fixture
    def token(self, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("VAULT_TOKEN", "s.canary")
        return "s.canary"

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_transient_failure_is_hidden_by_a_retry(
        self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        monkeypatch.setenv("VAULT_JWT", "canary")
        login = {"auth": {"client_token": "token"}}
        played.answers["/v1/auth/jwt/login"] = lambda asked: (502, {}) if asked <= RETRIES else (200, login)
        played.answers[f"/v1/{SECRET}"] = lambda asked: (status, {}) if asked <= RETRIES else (200, {"data": FIELDS})
        assert VaultClient(address=played.address, auth_method=AuthMethod.JWT).read(SECRET) == FIELDS

    @pytest.mark.parametrize("status", [429, 500, 503, 504])
    def test_a_lasting_failure_is_retried_a_few_times(self, played: PlayedVault, token: str, status: int) -> None:
        played.answers[f"/v1/{SECRET}"] = lambda _: (status, {"errors": [f"echo of {token}"]})
        with pytest.raises(ServiceError, match=rf"{SECRET} of Vault at {played.address} .*(failed|no more)") as caught:
            VaultClient(address=played.address).read(SECRET)
        assert played.asked(f"/v1/{SECRET}") == 1 + RETRIES
        assert token not in str(caught.value)

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_a_refusal_is_not_retried(self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
        monkeypatch.setenv("VAULT_JWT", "canary")
        played.answers["/v1/auth/jwt/login"] = lambda _: (status, {"errors": ["echo of canary"]})
        with pytest.raises(AccessRefusedError, match="login by jwt at auth/jwt") as caught:
            VaultClient(address=played.address, auth_method=AuthMethod.JWT).read(SECRET)
        assert played.asked("/v1/auth/jwt/login") == 1
        assert "canary" not in str(caught.value)
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("answer", ["a page", {"auth": 1}, {}, []])
    def test_an_address_of_another_service_is_an_error(
        self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch, answer: object
    ) -> None:
        monkeypatch.setenv("VAULT_JWT", "canary")
        played.answers["/v1/auth/jwt/login"] = lambda _: (200, answer)
        with pytest.raises(PermanentServiceError, match=r"no Vault, by its response\. Check VAULT_ADDR"):
            VaultClient(address=played.address, auth_method=AuthMethod.JWT).read(SECRET)

    def test_an_address_without_a_server_is_an_error(self, token: str) -> None:
        with serving(PlayedVault()) as gone:
            address = gone.address
        with pytest.raises(ServiceError, match=rf"{address} .*ConnectionError.*VAULT_ADDR") as caught:
            VaultClient(address=address).read(SECRET)
        assert token not in str(caught.value)

    @pytest.mark.parametrize(
        "redirected", ["/v1/auth/jwt/login", f"/v1/sys/internal/ui/mounts/{SECRET}", f"/v1/{SECRET}"]
    )
    @pytest.mark.parametrize("to_itself", [False, True])
    def test_no_redirect_is_followed_with_a_token_or_a_login(
        self, played: PlayedVault, monkeypatch: pytest.MonkeyPatch, redirected: str, *, to_itself: bool
    ) -> None:
        monkeypatch.setenv("VAULT_JWT", "canary")
        with serving(PlayedVault()) as other:
            target = played if to_itself else other
            played.answers[redirected] = lambda _: (
                307,
                f"http://u:hidden@127.0.0.1:{target.server_port}/v1/x?y=hidden",
            )
            with pytest.raises(
                PermanentServiceError, match=rf"redirects to {target.address}, .*Set VAULT_ADDR"
            ) as caught:
                VaultClient(address=played.address, auth_method=AuthMethod.JWT).read(SECRET)
            assert other.requests == []
        assert played.asked(redirected) == 1
        assert played.asked("/v1/x?y=hidden") == 0
        assert not caught.value.is_transient
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        ("status", "asked"), [(400, 1), (405, 1), (412, 1), (418, 1), (408, 3), (425, 3), (507, 3)]
    )
    def test_a_response_is_final_or_transient_by_its_status(
        self, played: PlayedVault, token: str, status: int, asked: int
    ) -> None:
        played.answers[f"/v1/{SECRET}"] = lambda _: (status, {"errors": [f"echo of {token}"]})
        with pytest.raises(PipelineError, match=rf"Secret {SECRET} of Vault at {played.address}") as caught:
            VaultClient(address=played.address).read(SECRET)
        assert caught.value.is_transient == (asked > 1)
        assert played.asked(f"/v1/{SECRET}") == asked
        assert token not in str(caught.value)

    def test_an_address_with_a_user_is_refused_without_a_request(self, played: PlayedVault, token: str) -> None:
        del token
        address = played.address.replace("://", "://user:hidden@")
        with pytest.raises(BadInputError, match=played.address.removeprefix("http://")) as caught:
            VaultClient(address=address).read(SECRET)
        assert "hidden" not in str(caught.value)
        assert played.requests == []

    def test_an_address_without_a_scheme_is_an_error(self, token: str) -> None:
        del token
        with pytest.raises(AccessRefusedError, match="Set VAULT_ADDR"):
            VaultClient(address="vault.example.org").read(SECRET)


class TestCertificates:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """The file with the certificate of `encrypted`."""
        return tmp_path / "certificate.pem"

    @pytest.fixture
    def encrypted(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedVault]:
        monkeypatch.setenv("VAULT_TOKEN", "s.canary")
        server = PlayedVault()
        server.socket = certify_loopback(file).wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
        with serving(server):
            yield server

    def test_an_untrusted_certificate_is_refused_until_its_file_is_configured(
        self, encrypted: PlayedVault, file: Path
    ) -> None:
        with pytest.raises(AccessRefusedError, match=r"is not trusted\. Set VAULT_CACERT") as caught:
            VaultClient(address=encrypted.address).read(SECRET)
        assert not caught.value.is_transient
        assert encrypted.requests == []
        assert VaultClient(address=encrypted.address, cacert=str(file)).read(SECRET) == FIELDS
        # The server counts a refusal when it takes it in, which is before the next connection.
        assert encrypted.refused_handshakes == 1

    def test_a_redirection_out_of_tls_is_not_followed(
        self, encrypted: PlayedVault, file: Path, played: PlayedVault
    ) -> None:
        encrypted.answers[f"/v1/{SECRET}"] = lambda _: (307, f"{played.address}/v1/{SECRET}")
        with pytest.raises(PermanentServiceError, match=f"redirects to {played.address}, and"):
            VaultClient(address=encrypted.address, cacert=str(file)).read(SECRET)
        assert played.requests == []

    def test_a_missing_file_of_certificates_is_named(self) -> None:
        with pytest.raises(AccessRefusedError, match=r"file /nowhere\.pem does not exist\. Correct VAULT_CACERT"):
            VaultClient(address="https://127.0.0.1:1", cacert="/nowhere.pem").read(SECRET)
