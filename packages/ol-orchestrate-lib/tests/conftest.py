"""Fixtures of this folder's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.openedx_api import ApiSession, OpenEdxApi
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.testing.loopback_api import (
    FakeTime,
    LoopbackApi,
    credentials,
    serving_api,
)
from ol_orchestrate.testing.store_answers import signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ol_orchestrate.testing.scripted import ScriptedServer


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSE", 0)


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and a region; each test sets the address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[ScriptedServer], ObjectStore]:
    """A store at a server."""

    def store(server: ScriptedServer) -> ObjectStore:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return open_store("s3://bucket/lake")

    return store


@pytest.fixture
def gcs_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[ScriptedServer], ObjectStore]:
    """A store at a server."""

    def store(server: ScriptedServer) -> ObjectStore:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        return open_store("gs://bucket/lake")

    return store


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, a private authority, and with a server's `server.pem` and `server.key`."""
    folder = tmp_path_factory.mktemp("authority")
    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(signed(ca, "authority", ca, "authority", ca=True))
    (folder / "server.pem").write_bytes(signed(server, "server", ca, "authority", ca=False))
    (folder / "self.pem").write_bytes(signed(server, "self", server, "self", ca=True))
    pem, clear = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "server.key").write_bytes(server.private_bytes(pem, serialization.PrivateFormat.PKCS8, clear))
    return folder


@pytest.fixture
def certificate(authority: Path) -> tuple[Path, Path]:
    return authority / "server.pem", authority / "server.key"


@pytest.fixture
def server() -> Iterator[LoopbackApi]:
    with serving_api() as api:
        yield api


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def session(server: LoopbackApi, fake_time: FakeTime) -> Iterator[ApiSession]:
    session = ApiSession(lambda: credentials(server), clock=fake_time.clock())
    yield session
    session.close()


@pytest.fixture
def api(session: ApiSession) -> OpenEdxApi:
    return OpenEdxApi(session)
