"""Servers that accept connections and never answer: each costs a stated time, and the error names it."""

from __future__ import annotations

import socket
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ol_orchestrate.lib import retrying, vault_client
from ol_orchestrate.lib.errors import PipelineError, ServiceError
from ol_orchestrate.lib.stores import StoreAccess, cloud, gcs_store, open_store, s3_store
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = 60
"""Seconds that Dagster gives a sensor's tick."""

SCALE = 50
"""How much shorter the times are here."""


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server to which the system connects, and which never reads."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    """Check that something ends in time, and not after the time that it really has; imports take seconds."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds + 15


BOUND = retrying.PATIENCE + retrying.SECONDS_TO_ANSWER


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, patience = retrying.SECONDS_TO_ANSWER / SCALE, retrying.PATIENCE / SCALE
    monkeypatch.setattr(s3_store, "SECONDS_TO_ANSWER", answer)
    monkeypatch.setattr(gcs_store, "SECONDS_TO_ANSWER", answer)
    monkeypatch.setattr(gcs_store, "TIMEOUT_OF_QUESTIONS", (1, answer))
    monkeypatch.setattr(vault_client, "TIMEOUT", tuple(each / SCALE for each in vault_client.TIMEOUT))
    for module in (s3_store, gcs_store):
        monkeypatch.setattr(module, "PATIENCE", patience)
    monkeypatch.setattr(cloud, "CLIENT_OPTIONS", {**cloud.CLIENT_OPTIONS, "read_timeout": "200ms"})
    for module in (s3_store, gcs_store):
        monkeypatch.setattr(module, "CLIENT_OPTIONS", cloud.CLIENT_OPTIONS)
    monkeypatch.setattr(retrying, "PAUSE", 0.01)


def test_a_question_ends_before_dagster_ends_the_tick() -> None:
    assert BOUND < TICK
    assert (vault_client.RETRIES + 1) * max(vault_client.TIMEOUT) + 5 < TICK


@pytest.fixture
def s3_access(black_hole: str) -> StoreAccess:
    return StoreAccess(aws_endpoint_url=black_hole, aws_region="us-east-1", aws_keys=("key", "secret", None))


def test_a_listing_in_s3(s3_access: StoreAccess) -> None:
    with taking_at_most(BOUND / SCALE), pytest.raises(ServiceError, match=r"s3://bucket"):
        list(open_store("s3://bucket", s3_access).list())


def test_a_look_at_an_object_in_s3(s3_access: StoreAccess) -> None:
    with taking_at_most(BOUND / SCALE), pytest.raises(ServiceError, match=r"s3://bucket/key"):
        open_store("s3://bucket", s3_access).read("key")


def test_an_upload_to_s3(s3_access: StoreAccess) -> None:
    with taking_at_most((retrying.RETRIES + 1) * 0.2), pytest.raises(ServiceError, match=r"s3://bucket/key"):
        open_store("s3://bucket", s3_access).write("key", b"content")


def test_a_listing_in_google_cloud_storage(black_hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", black_hole)

    with taking_at_most(BOUND / SCALE), pytest.raises(PipelineError, match=r"gs://bucket"):
        list(open_store("gs://bucket").list())


def test_a_token_for_google_cloud_storage(black_hole: str) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "private_key": key.decode(),
        "client_email": "loader@example.org",
        "token_uri": f"{black_hole}/token",
    }

    store = open_store("gs://bucket", StoreAccess(google_service_account=account))
    with taking_at_most(BOUND / SCALE), pytest.raises(ServiceError, match=r"gs://bucket"):
        list(store.list())


def test_a_login_to_vault(black_hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "token")
    client = VaultClient(address=black_hole, auth_method=AuthMethod.TOKEN)

    seconds = (vault_client.RETRIES + 1) * max(vault_client.TIMEOUT) + 5
    with taking_at_most(seconds), pytest.raises(ServiceError, match=r"secret/edx.*127\.0\.0\.1"):
        client.read("secret/edx")
