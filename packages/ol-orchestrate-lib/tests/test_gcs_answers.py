"""The responses of Google Cloud Storage if something is wrong, and the number of requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.stores import StoreAccess, open_store
from ol_orchestrate.testing.scripted import Request, Response, ScriptedServer, serving
from ol_orchestrate.testing.store_answers import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ol_orchestrate.lib.stores import ObjectStore

pytestmark = pytest.mark.usefixtures("no_pause", "aws_environment")


def gcs_error(status: int) -> Response:
    body = json.dumps({"error": {"code": status, "message": "m"}}).encode()
    return Response(status, body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("operation", ["find", "write", "list"])
@pytest.mark.parametrize("status", [301, 400, 403, 405])
def test_a_final_answer_of_cloud_storage_is_asked_for_once(
    status: int, operation: str, gcs_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: gcs_error(status)) as server, pytest.raises(PipelineError) as caught:
        OPERATIONS[operation](gcs_at(server))
    assert not caught.value.is_transient
    assert "AWS_" not in str(caught.value)
    assert len([request for request in server.requests if not is_about_the_bucket(request)]) == 1


@pytest.mark.parametrize("operation", ["write", "list"])
def test_a_missing_bucket_of_cloud_storage_is_final(
    operation: str, gcs_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: gcs_error(404)) as server, pytest.raises(MissingObjectError, match="no such bucket"):
        OPERATIONS[operation](gcs_at(server))
    assert len([request for request in server.requests if not is_about_the_bucket(request)]) == 1


def is_about_the_bucket(request: Request) -> bool:
    """Google's client looks up the bucket beside the first request, for its traces."""
    return request.path == "/storage/v1/b/bucket"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("operation", ["find", "write", "list"])
def test_an_answer_of_cloud_storage_that_may_pass_is_asked_for_again(
    status: int, operation: str, gcs_at: Callable[[ScriptedServer], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ol_orchestrate.lib.stores.gcs_store.PATIENCE", 0.3)
    monkeypatch.setattr("ol_orchestrate.lib.stores.gcs_store.PAUSE", 0.05)
    with serving(lambda _: gcs_error(status)) as server, pytest.raises(ServiceError):
        OPERATIONS[operation](gcs_at(server))
    assert 2 <= len(server.requests) <= 20


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"[]", b'{"size": "many"}'])
@pytest.mark.parametrize("operation", ["find", "read", "list", "write"])
def test_an_answer_that_is_none_of_cloud_storage_is_final(
    body: bytes, operation: str, gcs_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(200, body, {"Content-Type": "application/json"})) as server:
        store = gcs_at(server)
        if operation == "list" and body.startswith(b"{"):
            assert list(store.list()) == []
            return
        with pytest.raises(PermanentServiceError):
            OPERATIONS[operation](store)
    assert sum(not is_about_the_bucket(request) for request in server.requests) <= 2


def test_bytes_that_changed_on_their_way_may_arrive_whole_the_next_time(
    gcs_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    deleted: list[str] = []

    def script(request: Request) -> Response:
        if request.method == "DELETE":
            deleted.append(request.path)
            return Response(204)
        headers = {"Content-Type": "application/json", "Location": f"http://{request.headers['host']}/upload/1"}
        return Response(200, b'{"name": "lake/key", "size": "1", "crc32c": "AAAAAA=="}', headers)

    with serving(script) as server, pytest.raises(ServiceError, match="changed on their way"):
        gcs_at(server).write("key", b"1")
    assert deleted


@pytest.fixture(scope="module")
def private_key() -> str:
    return (
        rsa.generate_private_key(65537, 2048)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.fixture
def gcs_with_login_at(private_key: str) -> Callable[[ScriptedServer], ObjectStore]:
    """A store whose service account gets its tokens from a server."""

    def store(server: ScriptedServer) -> ObjectStore:
        account = {
            "client_email": "loader@example.org",
            "private_key": private_key,
            "token_uri": f"{server.url}/token",
        }
        return open_store("gs://bucket/lake", StoreAccess(google_service_account=account))

    return store


def test_credentials_that_google_refuses_are_tried_once(
    gcs_with_login_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    refused = Response(400, b'{"error": "invalid_grant"}', {"Content-Type": "application/json"})
    with serving(lambda _: refused) as server:
        with pytest.raises(AccessRefusedError, match="gs://bucket/lake/key: Google does not accept these credentials"):
            gcs_with_login_at(server).find("key")
        assert len(server.requests) == 1


@pytest.mark.parametrize("operation", ["find", "list", "read"])
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_of_googles_login_is_not_followed(
    status: int, operation: str, gcs_with_login_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(200, b"{}")) as other:
        redirect = Response(status, headers={"Location": f"{other.url}/token?secret=canary"})
        with serving(lambda _: redirect) as server:
            with pytest.raises(PermanentServiceError, match=rf"gs://bucket.* redirects to {other.url}, ") as caught:
                OPERATIONS[operation](gcs_with_login_at(server))
            assert "canary" not in str(caught.value)
            # Google's client looks up the bucket beside its first request, with a token of its own.
            assert 1 <= len(server.requests) <= 2
        assert other.requests == []
