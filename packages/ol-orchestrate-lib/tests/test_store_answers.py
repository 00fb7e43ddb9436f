"""The responses of stores if something is wrong, and the number of requests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import google_crc32c
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
    SourceChangedError,
)
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = os.urandom(3 << 20)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSE", 0)


@pytest.fixture(autouse=True)
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


OPERATIONS: dict[str, Callable[[ObjectStore], object]] = {
    "find": lambda store: store.find("key"),
    "write": lambda store: store.write("key", b"1"),
    "read": lambda store: list(store.read("key")),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("key"),
}


def s3_error(status: int, code: str, headers: dict[str, str] | None = None, message: str = "m") -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Response(status, body, headers or {})


def gcs_error(status: int) -> Response:
    body = json.dumps({"error": {"code": status, "message": "m"}}).encode()
    return Response(status, body, {"Content-Type": "application/json"})


FINAL = {
    "an expired token": (s3_error(400, "ExpiredToken"), "AWS_SESSION_TOKEN"),
    "a bad digest": (s3_error(400, "BadDigest"), "proxy|AWS_REGION"),
    "a redirect without a region": (s3_error(301, "PermanentRedirect"), "AWS_REGION"),
    "a temporary redirect": (Response(307, b"", {}), "AWS_REGION"),
    "a method that is not allowed": (s3_error(405, "MethodNotAllowed"), "AWS_ENDPOINT_URL"),
    "a conflict": (s3_error(409, "OperationAborted"), "AWS_ENDPOINT_URL"),
    "a refusal": (s3_error(403, "AccessDenied"), "credentials"),
    "a wrong clock": (s3_error(403, "RequestTimeTooSkewed"), "clock|credentials"),
}


@pytest.mark.parametrize("operation", ["find", "write", "read", "list"])
@pytest.mark.parametrize("case", FINAL)
def test_a_final_answer_of_s3_is_asked_for_once_and_names_what_to_set(
    case: str, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    answer, named = FINAL[case]
    with serving(lambda _: answer) as server, pytest.raises(PipelineError, match=named) as caught:
        OPERATIONS[operation](s3_at(server))
    assert not caught.value.is_transient
    assert "s3://bucket/lake" in str(caught.value)
    # What can be a wrong region is followed by one question for the right one.
    for_the_region = [request for request in server.requests if (request.method, request.path) == ("HEAD", "/bucket")]
    assert len(server.requests) - len(for_the_region) == 1
    assert len(for_the_region) <= (1 if answer.status in {301, 307, 400} else 0)


@pytest.mark.parametrize("operation", ["write", "list"])
@pytest.mark.parametrize("status", [408, 425, 429, 501, 503, 0])
def test_an_answer_of_s3_that_may_pass_is_asked_for_a_few_times(
    status: int, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(status)) as server, pytest.raises(ServiceError):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == retrying.RETRIES + 1


def test_an_answer_that_passes_does_no_harm(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    store = ScriptedS3()
    failures = [503, 429, 408, 0]

    def script(request: Request) -> Response:
        return Response(failures.pop()) if failures else store(request)

    with serving(script) as server:
        s3_at(server).write("key", b"content")
        failures += [500, 425]
        assert b"".join(s3_at(server).read("key")) == b"content"


def test_a_missing_bucket_is_final_and_asked_for_once(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    for operation in ("write", "list"):
        with (
            serving(lambda _: s3_error(404, "NoSuchBucket")) as server,
            pytest.raises(MissingObjectError, match=r"no such bucket\. Create it"),
        ):
            OPERATIONS[operation](s3_at(server))
        assert len(server.requests) == 1


def test_a_large_upload_to_a_missing_bucket_is_final(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(lambda _: s3_error(404, "NoSuchBucket")) as server, pytest.raises(MissingObjectError, match="bucket"):
        s3_at(server).write("key", bytes(20 << 20))
    assert len(server.requests) == 2


def test_a_source_that_always_breaks_at_the_same_byte_is_given_up_soon(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    broken_at = 2 << 20

    def script(request: Request) -> Response:
        headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
        if request.method == "HEAD":
            return Response(200, b"", headers, length=len(DATA))
        start = int(request.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        status = 206 if "range" in request.headers else 200
        headers["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        return Response(status, DATA[start:broken_at], headers, length=len(DATA) - start)

    with serving(script) as server, pytest.raises(ServiceError):
        list(s3_at(server).read("key"))
    gets = [request for request in server.requests if request.method == "GET"]
    # Once more than without progress: the first connection brings some.
    assert len(gets) <= retrying.RETRIES + 3
    assert len(server.requests) == len(gets) + 1


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("operation", ["find", "read"])
def test_an_answer_without_what_the_protocol_requires_is_final(
    header: str, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
    del headers[header]
    with (
        serving(lambda _: Response(200, b"1", headers)) as server,
        pytest.raises(PermanentServiceError, match=f"has no {header}.*AWS_ENDPOINT_URL"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", ["find", "read"])
def test_an_answer_of_s3_without_a_length_is_final(
    operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
    with (
        serving(lambda _: Response(200, b"1", headers, chunked=True)) as server,
        pytest.raises(PermanentServiceError, match="has no Content-Length"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == 1


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
    monkeypatch.setattr("ol_orchestrate.lib.stores.gcs.PATIENCE", 0.3)
    monkeypatch.setattr("ol_orchestrate.lib.stores.gcs.PAUSE", 0.05)
    with serving(lambda _: gcs_error(status)) as server, pytest.raises(ServiceError):
        OPERATIONS[operation](gcs_at(server))
    assert 2 <= len(server.requests) <= 20


class ElsewhereS3:
    """A bucket in another region, which each refusal names."""

    def __init__(self) -> None:
        self.store = ScriptedS3()
        self.refused = 0

    def __call__(self, request: Request) -> Response:
        region = re.search(r"/\d{8}/([^/]+)/s3/", request.headers.get("authorization", ""))
        if region is None or region[1] != "eu-west-1":
            self.refused += 1
            return s3_error(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"})
        return self.store(request)


@pytest.mark.parametrize("size", [3, 20 << 20])
def test_a_bucket_in_another_region_is_found_by_its_answer(
    size: int, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    bucket = ElsewhereS3()
    content = os.urandom(size)
    with serving(bucket) as server:
        s3_at(server).write("written", content)
        assert b"".join(s3_at(server).read("written")) == content
        assert s3_at(server).find("written") is not None
        with StorePath.of(s3_at(server), "written").open("rb") as file:
            assert file.read() == content
        store = s3_at(server)
        assert store.find("nothing") is None
        before = bucket.refused
        store.write("again", content)
        store.find("again")
        store.delete("again")
        assert bucket.refused == before, "the region is found out once"


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


class ChunkedGCS:
    """One object with `Content-Encoding: gzip`, sent in chunks without its length, as large ones are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        crc = google_crc32c.value(data).to_bytes(4, "big")
        self.described = {
            "name": "lake/log.gz",
            "bucket": "bucket",
            "generation": "1700000000000001",
            "size": str(len(data)),
            "crc32c": base64.b64encode(crc).decode(),
            "updated": "2024-02-01T00:00:00.000Z",
            "contentEncoding": "gzip",
        }

    def __call__(self, request: Request) -> Response:
        if request.path.startswith("/storage/v1/") and request.query.get("alt") != "media":
            return Response(200, json.dumps(self.described).encode(), {"Content-Type": "application/json"})
        headers = {
            "ETag": '"abc"',
            "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT",
            "x-goog-generation": self.described["generation"],
            "Content-Encoding": "gzip",
        }
        if "range" not in request.headers:
            return Response(200, self.data, headers, chunked=True)
        start, end = (int(each) for each in request.headers["range"].removeprefix("bytes=").split("-"))
        headers["Content-Range"] = f"bytes {start}-{end}/{len(self.data)}"
        return Response(206, self.data[start : end + 1], headers, chunked=True)


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


def signed(
    key: ec.EllipticCurvePrivateKey, name: str, signer: ec.EllipticCurvePrivateKey, issuer: str, *, ca: bool
) -> bytes:
    """A certificate in PEM for the loopback address, with all that Python 3.13 demands of one."""
    now = datetime.now(UTC)
    signs = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


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


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "ca_bundle"])
def test_a_private_authority_is_trusted_by_each_variable(
    variable: str,
    authority: Path,
    certificate: tuple[Path, Path],
    s3_at: Callable[[ScriptedServer], ObjectStore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {authority}/ca.pem\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(variable, str(authority / "ca.pem"))
    with serving(ScriptedS3(), certificate) as server:
        store = s3_at(server)
        store.write("key", b"1")
        assert store.find("key") is not None
        assert b"".join(store.read("key")) == b"1"
        assert StorePath.of(store, "key").read_bytes() == b"1"


def write_a_large_object(store: ObjectStore) -> None:
    store.write("key", bytes(20 << 20))


@pytest.mark.parametrize("operation", [*OPERATIONS, "write large"])
def test_an_untrusted_certificate_is_final_and_names_the_variable(
    operation: str, certificate: tuple[Path, Path], s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    operations = {**OPERATIONS, "write large": write_a_large_object}
    with serving(ScriptedS3(), certificate) as server, pytest.raises(PermanentServiceError, match="AWS_CA_BUNDLE"):
        operations[operation](s3_at(server))
    assert server.connections == 1
    assert server.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_cloud_storage_behind_a_private_authority(
    variable: str,
    authority: Path,
    certificate: tuple[Path, Path],
    gcs_at: Callable[[ScriptedServer], ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(ChunkedGCS(b"packed"), certificate) as server:
        for operation in (OPERATIONS["find"], OPERATIONS["list"]):
            server.connections = 0
            with pytest.raises(PermanentServiceError, match="REQUESTS_CA_BUNDLE or SSL_CERT_FILE"):
                operation(gcs_at(server))
            assert server.connections <= 2
        monkeypatch.setenv(variable, str(authority / "ca.pem"))
        assert b"".join(gcs_at(server).read("log.gz")) == b"packed"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_named(
    content: str | None,
    s3_at: Callable[[ScriptedServer], ObjectStore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with serving(ScriptedS3()) as server, pytest.raises(BadInputError, match=r"bundle\.pem.*AWS_CA_BUNDLE"):
        s3_at(server).find("key")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_requests_go_through_the_proxy_but_for_excepted_hosts(
    variable: str, s3_at: Callable[[ScriptedServer], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy gets the whole URL in the request line; the scripted server keeps its path."""
    with serving(ScriptedS3()) as proxy, serving(lambda _: Response(403)) as server:
        store = s3_at(server)
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.delenv("NO_PROXY")
        store.write("key", b"1")
        assert b"".join(store.read("key")) == b"1"
        assert server.requests == []
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(AccessRefusedError):
            s3_at(server).find("key")
        with pytest.raises(AccessRefusedError):
            list(s3_at(server).list())


# The field inputs themselves, served as their first lines say.


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


class LeftUploads:
    """A bucket with an upload of last week and one of this hour."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def __call__(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.aborted.append(f"{request.path}?{request.query['uploadId']}")
            return Response(204)
        if "uploads" not in request.query or request.query["prefix"] != "lake/":
            return s3_error(403, "AccessDenied")
        now = datetime.now(UTC)
        uploads = "".join(
            f"<Upload><Key>lake/{name}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{at:%Y-%m-%dT%H:%M:%S}.000Z</Initiated></Upload>"
            for name, at in (("old", now - timedelta(days=7)), ("young", now - timedelta(hours=1)))
        )
        return Response(200, f"<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>".encode())


def test_old_uploads_of_killed_runs_are_aborted_and_young_ones_are_left(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    script = LeftUploads()
    with serving(script) as server:
        said = s3_at(server).abort_old_uploads()
    assert said == "Uploads that killed runs left below s3://bucket/lake, aborted: 1"
    assert script.aborted == ["/bucket/lake/old?old"]


@pytest.mark.parametrize("status", [403, 501])
def test_a_store_that_lists_no_uploads_is_asked_once_and_the_lifecycle_rule_is_named(
    status: int, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: s3_error(status, "AccessDenied")) as server:
        said = s3_at(server).abort_old_uploads()
    assert said is not None
    assert "AbortIncompleteMultipartUpload" in said
    assert len(server.requests) == 1


def test_a_bucket_without_left_uploads_has_nothing_to_say(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    listing = Response(200, b"<ListMultipartUploadsResult/>")
    with serving(lambda _: listing) as server:
        assert s3_at(server).abort_old_uploads() is None


@pytest.mark.parametrize("operation", ["list", "delete"])
@pytest.mark.parametrize("status", [400, 401, 405])
def test_an_error_of_s3_without_a_name_is_final(
    status: int, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: s3_error(status, "", message="")) as server:
        store = s3_at(server)
        with pytest.raises(PipelineError) as raised:
            list(store.list()) if operation == "list" else store.delete("a.txt")
    assert not raised.value.is_transient
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>Sign in to this network</html>", b"", b"Sign in", b"<!DOCTYPE html><html><br>", b'{"a": 1}', b"<a"]
)
def test_a_page_instead_of_a_listing_of_s3_is_final_and_no_empty_listing(
    body: bytes, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(200, body, {"Content-Type": "text/html"})) as server:
        store = s3_at(server)
        with pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"):
            list(store.list())
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"Sign in", b"<!DOCTYPE html><html><br>", b'{"a": 1}', b"<a"])
def test_text_instead_of_a_listing_of_a_folder_is_final(
    body: bytes, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with (
        serving(lambda _: Response(200, body)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        s3_at(server).list_folder("folder")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "page",
    [
        "<Contents><Key>a</Key><Size>many</Size><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>e</ETag></Contents>",
        "<Contents><Key>a</Key><Size>1</Size><LastModified>never</LastModified><ETag>e</ETag></Contents>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>the same</NextContinuationToken>",
    ],
    ids=["size", "time", "endless"],
)
def test_a_listing_of_s3_that_cannot_be_read_is_final(
    page: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    body = f"<ListBucketResult><Name>bucket</Name>{page}</ListBucketResult>".encode()
    with (
        serving(lambda _: Response(200, body)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        list(s3_at(server).list())
    assert len(server.requests) <= 2


@pytest.mark.parametrize("header", [{"Last-Modified": "never"}, {"ETag": ""}, {"ETag": '"\xe9"'}])
@pytest.mark.parametrize("operation", ["find", "read"])
def test_a_header_of_s3_that_cannot_be_read_is_final(
    operation: str, header: dict[str, str], s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT", **header}
    with (
        serving(lambda _: Response(200, b"1", headers)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) <= (2 if operation == "read" else 1)


def test_a_listing_of_s3_with_a_status_of_another_kind_of_response_is_final(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    with (
        serving(lambda _: Response(202, b"Sign in")) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        list(s3_at(server).list())
    assert len(server.requests) == 1


def test_a_source_that_answers_without_a_byte_is_given_up_soon(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    def script(request: Request) -> Response:
        headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
        return Response(200, b"", headers, length=3 if request.method == "HEAD" else None)

    with serving(script) as server, pytest.raises(ServiceError, match="ended at byte 0 of 3"):
        list(s3_at(server).read("key"))
    assert len(server.requests) == 1 + retrying.RETRIES + 1


@pytest.mark.parametrize("operation", ["find", "list"])
def test_a_certificate_for_another_name_says_so(
    operation: str,
    authority: Path,
    certificate: tuple[Path, Path],
    s3_at: Callable[[ScriptedServer], ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority / "ca.pem"))
    with serving(ScriptedS3(), certificate) as server:
        s3_at(server)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{server.port}")
        with pytest.raises(PermanentServiceError, match=r"of another name\. Set AWS_REGION and AWS_ENDPOINT_URL to"):
            OPERATIONS[operation](open_store("s3://bucket/lake"))
    assert server.requests == []


@pytest.mark.parametrize("operation", ["find", "read"])
def test_a_certificate_of_an_authority_says_what_to_make_instead(
    operation: str,
    authority: Path,
    s3_at: Callable[[ScriptedServer], ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority / "self.pem"))
    store = ScriptedS3()
    with serving(store, (authority / "self.pem", authority / "server.key")) as server:
        store.objects["/bucket/lake/key"] = (1, "c4ca4238a0b923820dcc509a6f75849b", b"1")
        with pytest.raises(PermanentServiceError, match=r"\(`CA:FALSE`\), and set AWS_CA_BUNDLE"):
            OPERATIONS[operation](s3_at(server))
        assert server.connections <= 2


def test_an_error_of_s3_in_an_answer_that_began_well_may_pass(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    answers = [
        s3_error(200, "InternalError"),
        Response(200, b"<ListBucketResult><Name>bucket</Name></ListBucketResult>"),
    ]
    with serving(lambda _: answers.pop(0)) as server:
        assert list(s3_at(server).list()) == []
    assert len(server.requests) == 2


def test_a_bucket_that_cannot_be_named_so_is_final(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(lambda _: Response()) as server:
        s3_at(server)
        with pytest.raises(BadInputError, match="Invalid bucket name"):
            list(open_store("s3://bad bucket/lake").list())
    assert not server.requests


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


@pytest.mark.parametrize("operation", ["list", "delete", "write"])
@pytest.mark.parametrize("kept", ["environment", "service"])
def test_keys_that_s3_repeats_are_in_no_message(
    operation: str, kept: str, monkeypatch: pytest.MonkeyPatch, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    key, token = f"key/{os.urandom(9).hex()}", f"token/{os.urandom(9).hex()}=="
    keys = {"AccessKeyId": "A", "SecretAccessKey": key, "Token": token, "Expiration": "2099-01-01T00:00:00Z"}

    def answer(request: Request) -> Response:
        if request.path == "/keys":
            return Response(200, json.dumps(keys).encode(), {"Content-Type": "application/json"})
        return s3_error(400, "InvalidToken", message=f"{request.headers['x-amz-security-token']} of {key} is wrong")

    with serving(answer) as server:
        if kept == "service":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        else:
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        store = s3_at(server)
        with pytest.raises(PermanentServiceError, match="is wrong") as raised:
            OPERATIONS[operation](store)
    assert key not in str(raised.value)
    assert token not in str(raised.value)


@pytest.mark.parametrize("operation", ["find", "list"])
def test_an_endpoint_with_a_password_in_a_profile_is_refused_before_it_is_asked(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://user:canary@127.0.0.1:1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(BadInputError, match="is refused") as raised:
        OPERATIONS[operation](open_store("s3://bucket/lake"))
    assert "canary" not in str(raised.value)
