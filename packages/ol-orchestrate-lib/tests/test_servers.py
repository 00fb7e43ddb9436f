"""Each server is used once by the client it is meant for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.testing import supervise

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from ol_orchestrate.testing.servers import GCSServer, OpenBaoServer, S3Server


def s3_client(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    import boto3  # noqa: PLC0415 - a second that only these tests need

    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return boto3.session.Session().client("s3")


def test_moto_keeps_an_object_and_honors_conditional_writes(
    moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_client(moto_server, monkeypatch)
    client.put_object(Bucket=s3_bucket, Key="a/b", Body=b"content", Metadata={"version": "1"})
    answer = client.get_object(Bucket=s3_bucket, Key="a/b")
    assert answer["Body"].read() == b"content"
    assert answer["Metadata"] == {"version": "1"}
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=s3_bucket, Key="a/b", Body=b"other", IfNoneMatch="*")


def test_rclone_keeps_an_object(rclone_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3_client(rclone_s3_server, monkeypatch)
    client.create_bucket(Bucket="reports")
    client.put_object(Bucket="reports", Key="a/b", Body=b"content")
    assert client.get_object(Bucket="reports", Key="a/b")["Body"].read() == b"content"
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket="reports")["Contents"]] == ["a/b"]


def test_gcs_keeps_an_object_and_counts_generations(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud import storage  # noqa: PLC0415 - a second that only this test needs

    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = storage.Client.create_anonymous_client().bucket(gcs_bucket)
    blob = bucket.blob("a/b")
    blob.metadata = {"version": "1"}
    blob.upload_from_string(b"content")
    first = bucket.get_blob("a/b")
    assert first is not None
    assert (first.download_as_bytes(), first.metadata) == (b"content", {"version": "1"})
    bucket.blob("a/b").upload_from_string(b"other")
    second = bucket.get_blob("a/b")
    assert second is not None
    assert second.generation > first.generation
    assert second.crc32c != first.crc32c


def test_the_gcs_emulator_serves_obstore(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore  # noqa: PLC0415
    from google.cloud import storage  # noqa: PLC0415
    from obstore.store import GCSStore  # noqa: PLC0415

    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    # obstore asks for credentials before it writes, even where it is told to sign nothing.
    storage.Client.create_anonymous_client().bucket(gcs_bucket).blob("a/b").upload_from_string(b"content")
    store = GCSStore(
        gcs_bucket,
        config={"skip_signature": True, "base_url": gcs_server.endpoint_url},
        client_options={"allow_http": True},
    )
    assert bytes(obstore.get(store, "a/b").bytes()) == b"content"
    assert [meta["path"] for page in obstore.list(store) for meta in page] == ["a/b"]


def test_openbao_keeps_a_secret(openbao_server: OpenBaoServer) -> None:
    import hvac  # noqa: PLC0415

    client = hvac.Client(openbao_server.address, token=openbao_server.token)
    client.secrets.kv.v2.create_or_update_secret("a/b", {"id": "1"})
    assert client.secrets.kv.v2.read_secret_version("a/b", raise_on_deleted_version=True)["data"]["data"] == {"id": "1"}
    assert openbao_server.token not in repr(openbao_server)


def test_nothing_of_the_developer_is_in_force() -> None:
    assert not {name for name in os.environ if name.startswith(("AWS_PROFILE", "AWS_ACCESS", "GOOGLE_", "VAULT_"))}
    assert not {name for name in os.environ if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}}


def test_a_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    server = f"import os, pathlib, time; pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(60)"
    starter = (
        "import subprocess, sys, time\n"
        "subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", starter, sys.executable, supervise.__file__, sys.executable, "-c", server]
    with subprocess.Popen(command) as process:  # noqa: S603 - this test's own command
        wait_until(lambda: ready.exists() and bool(ready.read_text()))
        pid = int(ready.read_text())
        os.kill(pid, 0)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def test_a_command_that_ends_by_itself_ends_its_supervisor() -> None:
    command = [sys.executable, supervise.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: S603 - this test's own command
        assert process.wait(timeout=30) == 7


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
