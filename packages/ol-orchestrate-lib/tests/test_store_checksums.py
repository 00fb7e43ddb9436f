"""Stores that refuse checksums or send objects otherwise than they are stored."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import ssl
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest

from ol_orchestrate.lib.errors import (
    PermanentServiceError,
    SourceChangedError,
    SourceGoneError,
)
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, ScriptedServer, serving
from ol_orchestrate.testing.store_answers import DATA, ChunkedGCS, s3_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_pause", "aws_environment")


class ChecksumlessS3:
    """A store that refuses checksum headers.

    Attributes:
        e_tag: Changes an ETag, as encryption with KMS does.
        damage: Changes an object's bytes on the way.
    """

    def __init__(self, e_tag: Callable[[str], str] = str, damage: Callable[[bytes], bytes] = bytes) -> None:
        self.store = ScriptedS3()
        self.e_tag = e_tag
        self.damage = damage

    def __call__(self, request: Request) -> Response:
        if request.method in {"PUT", "POST"} and any("checksum" in name for name in request.headers):
            return s3_error(400, "InvalidArgument", message="Unsupported header x-amz-checksum-sha256 received")
        body = self.damage(request.body) if request.method == "PUT" else request.body
        answer = self.store(Request(request.method, request.path, request.query, request.headers, body))
        headers = {name: self.e_tag(value) if name == "ETag" else value for name, value in answer.headers.items()}
        body = answer.body
        if request.method == "POST":
            body = re.sub(rb"&quot;(.*)&quot;", lambda found: self.e_tag(found[1].decode()).encode(), body)
        return Response(answer.status, body, headers, length=answer.length)


def test_a_store_that_refuses_checksums_says_what_to_set(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with (
        serving(ChecksumlessS3()) as server,
        pytest.raises(PermanentServiceError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
    ):
        s3_at(server).write("key", b"1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [0, 3, 20 << 20])
@pytest.mark.parametrize("e_tags", ["plain", "encrypted"])
def test_without_checksums_an_upload_is_verified_by_its_e_tag_or_read_back(
    size: int, e_tags: str, s3_at: Callable[[ScriptedServer], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    content = os.urandom(size)
    # A store that encrypts announces no MD5 of the whole.
    script = ChecksumlessS3(str if e_tags == "plain" else lambda _: '"encrypted-1"')
    with serving(script) as server:
        store = s3_at(server)
        store.write("key", content)
        assert store.upload_check == "etag, or read back"
        gets = [request for request in server.requests if request.method == "GET"]
        assert bool(gets) is (e_tags == "encrypted" and size > 0)
    assert script.store.objects["/bucket/lake/key"][2] == content


@pytest.mark.parametrize("size", [3, 20 << 20])
def test_without_checksums_a_damaged_upload_is_noticed_and_taken_away(
    size: int, s3_at: Callable[[ScriptedServer], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    script = ChecksumlessS3(damage=lambda body: b"?" + body[1:])
    with serving(script) as server, pytest.raises(PermanentServiceError, match="did not come back"):
        s3_at(server).write("key", os.urandom(size))
    assert script.store.objects == {}
    assert len([each for each in server.requests if each.method == "PUT"]) == (1 if size < 1 << 20 else 4)


def test_a_profile_can_switch_checksums_off(
    s3_at: Callable[[ScriptedServer], ObjectStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nrequest_checksum_calculation = when_required\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with serving(ChecksumlessS3()) as server:
        s3_at(server).write("key", b"1")


def test_with_checksums_an_upload_says_so(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(ScriptedS3()) as server:
        store = s3_at(server)
        store.write("key", b"1")
        assert store.upload_check == "sha256"
    digest = base64.b64encode(hashlib.sha256(b"1").digest()).decode()
    assert [request.headers.get("x-amz-checksum-sha256") for request in server.requests] == [digest]


def test_an_object_that_cloud_storage_sends_without_a_length_is_read_as_stored_and_checked(
    gcs_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    packed = gzip.compress(os.urandom(10 << 20), 1)
    script = ChunkedGCS(packed)
    with serving(script) as server:
        store = gcs_at(server)
        found = store.find("log.gz")
        assert found is not None
        assert (found.size, found.version) == (len(packed), "1700000000000001")
        reader = store.read("log.gz")
        assert b"".join(reader) == packed
        assert reader.info.checked_by == "crc32c"
        script.data = packed[:-1] + b"?"
        with pytest.raises(SourceChangedError, match="its crc32c is"):
            store.read("log.gz").drain()


@pytest.mark.parametrize(("now", "said"), [(404, "was deleted"), (200, "changed")])
def test_an_object_without_a_length_that_is_gone_is_told_from_one_that_changed(
    now: int, said: str, gcs_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    script = ChunkedGCS(gzip.compress(b"1"))

    def answer(request: Request) -> Response:
        if "range" in request.headers:
            script.described["generation"] = "1700000000000002"
            return Response(404)
        is_later = script.described["generation"].endswith("2")
        return Response(now) if is_later and now != 200 else script(request)

    with serving(answer) as server:
        reader = gcs_at(server).read("log.gz")
        with pytest.raises(SourceChangedError, match=f"{said} while it was read") as caught:
            list(reader)
    assert isinstance(caught.value, SourceGoneError) == (now == 404)


def test_an_emulator_is_found_by_its_host_alone(
    gcs_bucket: str, gcs_server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.endpoint_url.removeprefix("http://"))  # type: ignore[attr-defined]
    store = open_store(f"gs://{gcs_bucket}/lake")
    store.write("key", b"1")
    assert store.find("key") is not None
    assert [each.key for each in store.list()] == ["key"]
    assert b"".join(store.read("key")) == b"1"
    assert StorePath.of(store, "key").read_bytes() == b"1"


@pytest.fixture
def field_server(real_data: Callable[[str], Path]) -> Iterator[Callable[..., str]]:
    """Starts a server of the field inputs, and gives its address."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str, certificate: Path | None = None) -> str:
        script = real_data(f"field/{name}")
        with serving(lambda _: Response()) as free:
            port = free.port
        process = subprocess.Popen(  # noqa: S603 - a server of the test data
            [sys.executable, str(script), str(port), *arguments], stderr=subprocess.DEVNULL
        )
        running.append(process)
        url = f"http{'s' if certificate else ''}://127.0.0.1:{port}"
        context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
        for _ in range(200):
            try:
                with closing(urlopen(UrlRequest(f"{url}/storage/v1/b/b"), timeout=5, context=context)):  # noqa: S310
                    break
            except OSError as error:
                if hasattr(error, "code"):
                    error.close()  # type: ignore[attr-defined]
                    break
                time.sleep(0.05)
        return url

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def object_file(tmp_path: Path) -> Path:
    path = tmp_path / "object.log.gz"
    path.write_bytes(gzip.compress(DATA, 1))
    return path


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_field_input_of_a_chunked_object(
    scheme: str, field_server: Callable[..., str], object_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = field_server("fakegcs.py", str(object_file), "chunked", "gzip")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url.replace("http://", scheme))
    store = open_store("gs://b")
    assert b"".join(store.read(object_file.name)) == object_file.read_bytes()
    found = store.find(object_file.name)
    assert found is not None
    assert found.size == object_file.stat().st_size


@pytest.mark.parametrize("mode", ["region", "nochecksum"])
def test_field_input_of_s3(
    mode: str, field_server: Callable[..., str], object_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", field_server("fakes3.py", str(object_file), mode))
    if mode == "nochecksum":
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    assert b"".join(open_store("s3://bkt").read(object_file.name)) == object_file.read_bytes()
    store = open_store("s3://bkt")
    store.write("written", b"content")
    assert b"".join(store.read("written")) == b"content"


def test_field_input_of_s3_behind_a_private_authority(
    field_server: Callable[..., str], object_file: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its third argument is both the certificate and an unknown mode, so that every region does.
    files = (str(object_file), str(authority / "server.pem"), str(authority / "server.key"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", field_server("fakes3tls.py", *files, certificate=authority / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority / "ca.pem"))
    assert b"".join(open_store("s3://bkt").read(object_file.name)) == object_file.read_bytes()
