"""Stores behind private authorities and proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    PermanentServiceError,
)
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.testing.scripted import Response, ScriptedS3, ScriptedServer, serving
from ol_orchestrate.testing.store_answers import OPERATIONS, ChunkedGCS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_pause", "aws_environment")


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
