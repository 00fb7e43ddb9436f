"""A tick whose store or Vault accepts its connection and never answers ends in time, and says which it was."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.impl import get_external_sensor_execution

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg_tests.support.sensors import ARCHIVES, REPORTS
from ol_orchestrate.lib import vault_client
from ol_orchestrate.lib.stores import s3_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def black_hole(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that never answers, for all stores and Vault; who asks it waits a fifth of a second and not twenty."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(s3_store, "SECONDS_TO_ANSWER", 0.2)
        monkeypatch.setattr(s3_store, "PATIENCE", 0.3)
        monkeypatch.setattr(vault_client, "TIMEOUT", (0.2, 0.2))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield address


@pytest.mark.parametrize(
    ("sensor", "archives", "which"),
    [
        (ARCHIVES, "s3://archives", "s3://archives"),
        (ARCHIVES, "gs://archives", "Vault"),
        (REPORTS, "s3://archives", "s3://copies"),
    ],
)
def test_a_tick_ends_and_says_which(sensor: str, archives: str, which: str, black_hole: str, tmp_path: Path) -> None:
    settings = Settings(
        archive_url=archives,
        program_reports_url="s3://reports",
        program_reports_destination_url="s3://copies",
        google_secret_path="secret/google",  # noqa: S106 - a path
        vault={"address": black_hole, "auth_method": "token"},
    )
    repository = build_definitions(settings).get_repository_def()
    origin, nothing = RegisteredCodeLocationOrigin("edxorg"), (None,) * 5
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        start = time.monotonic()
        answer = get_external_sensor_execution(repository, origin, instance.get_ref(), sensor, *nothing)

    assert time.monotonic() - start < 15
    assert not isinstance(answer, SensorExecutionData)
    assert which in repr(answer.error)
