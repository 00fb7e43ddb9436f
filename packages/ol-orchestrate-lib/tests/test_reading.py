"""Reading to the end: resuming, and telling another object from the one that was announced."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import google_crc32c
import pytest
from google.cloud import storage

from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.errors import ServiceError, SourceChangedError, SourceGoneError
from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader, open_store
from ol_orchestrate.lib.stores.checksums import ExpectedChecksum, expected_by_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, S3Server

DATA = os.urandom(100_000)


def info(checksum: ExpectedChecksum | None = None, size: int = len(DATA)) -> SourceInfo:
    return SourceInfo("s3://bucket/key", size, "version-1", datetime(2024, 1, 1, tzinfo=UTC), checksum)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSE", 0)


class Connections:
    """Each connection breaks after so many bytes."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = list(lengths)
        self.positions: list[int] = []

    def fetch(self, position: int) -> Iterator[bytes]:
        self.positions.append(position)
        length = self.lengths.pop(0) if self.lengths else len(DATA)
        for start in range(position, min(position + length, len(DATA)), 1000):
            yield DATA[start : min(start + 1000, position + length)]
        if position + length < len(DATA):
            raise ServiceError("the connection broke")


def test_a_broken_connection_resumes_where_it_broke() -> None:
    connections = Connections(12_345, 0, 40_000)
    reader = VerifiedReader(info(ExpectedChecksum("sha256", hashlib.sha256(DATA).digest())), connections.fetch)
    assert b"".join(reader) == DATA
    assert connections.positions == [0, 12_345, 12_345, 52_345]


def test_a_connection_that_breaks_without_progress_is_given_up() -> None:
    connections = Connections(10, *[0] * 100)
    with pytest.raises(ServiceError, match="broke"):
        list(VerifiedReader(info(), connections.fetch))
    assert len(connections.positions) == retrying.RETRIES + 1


def test_progress_forgives_earlier_failures() -> None:
    connections = Connections(*[1000] * 99)
    assert b"".join(VerifiedReader(info(), connections.fetch)) == DATA


def test_an_answer_that_ends_early_is_continued() -> None:
    def fetch(position: int) -> Iterator[bytes]:
        yield DATA[position : position + 30_000]

    assert b"".join(VerifiedReader(info(), fetch)) == DATA


@pytest.mark.parametrize(
    "checksum",
    [
        ExpectedChecksum("crc32c", google_crc32c.value(DATA).to_bytes(4, "big")),
        ExpectedChecksum("crc32", zlib.crc32(DATA).to_bytes(4, "big")),
        ExpectedChecksum("sha256", hashlib.sha256(DATA).digest()),
        ExpectedChecksum("sha1", hashlib.sha1(DATA, usedforsecurity=False).digest()),
        ExpectedChecksum("md5", hashlib.md5(DATA, usedforsecurity=False).digest()),
    ],
    ids=lambda checksum: checksum.name,
)
def test_a_changed_byte_is_noticed_by_each_checksum(checksum: ExpectedChecksum) -> None:
    assert b"".join(VerifiedReader(info(checksum), Connections().fetch)) == DATA
    changed = bytearray(DATA)
    changed[77_777] ^= 1
    with pytest.raises(SourceChangedError, match=f"its {checksum.name} is"):
        list(VerifiedReader(info(checksum), lambda _: iter([bytes(changed)])))


def test_crc64nvme_agrees_with_its_published_check_value() -> None:
    checksum = ExpectedChecksum("crc64nvme", b"").start()
    checksum.update(b"12345")
    checksum.update(b"6789")
    assert checksum.digest().hex() == "ae8b14860a799888"


def test_too_many_bytes_are_noticed_without_a_checksum() -> None:
    with pytest.raises(SourceChangedError, match="bytes came"):
        list(VerifiedReader(info(size=99_999), lambda _: iter([DATA])))


CRC = base64.b64encode(b"\0\1\2\3").decode()
SHA = base64.b64encode(bytes(32)).decode()
MD5 = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({"ETag": f'"{MD5}"'}, ExpectedChecksum("md5", bytes.fromhex(MD5))),
        ({"ETag": f'"{MD5}-2"'}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms"}, None),
        ({"ETag": f'"{MD5}"', "SSECustomerAlgorithm": "AES256"}, None),
        ({"ETag": f'"{MD5}"', "ChecksumCRC32C": CRC}, ExpectedChecksum("crc32c", b"\0\1\2\3")),
        (
            {"ETag": f'"{MD5}-2"', "ChecksumCRC32": CRC, "ChecksumType": "FULL_OBJECT"},
            ExpectedChecksum("crc32", b"\0\1\2\3"),
        ),
        ({"ETag": f'"{MD5}-2"', "ChecksumCRC32": CRC, "ChecksumType": "COMPOSITE"}, None),
        ({"ETag": f'"{MD5}-2"', "ChecksumCRC32": f"{CRC}-2"}, None),
        ({"ETag": f'"{MD5}-2"', "ChecksumSHA256": SHA}, None),
        ({"ETag": f'"{MD5}"', "ChecksumSHA256": SHA}, ExpectedChecksum("sha256", bytes(32))),
    ],
)
def test_the_checksums_that_s3_announces_are_read(head: dict[str, str], expected: ExpectedChecksum | None) -> None:
    assert expected_by_s3(head) == expected


LARGE = os.urandom(40 << 20)
"""More than one request of a download."""


def assert_notices_that_it_is_replaced(url: str) -> None:
    store = open_store(url)
    store.write("key", LARGE)
    reader = store.read("key")
    next(reader)
    store.write("key", LARGE[::-1])
    with pytest.raises(SourceChangedError, match="changed while it was read") as caught:
        reader.drain()
    assert caught.value.is_transient


def assert_notices_that_it_is_gone(url: str, delete: Callable[[], object]) -> None:
    store = open_store(url)
    store.write("key", LARGE)
    reader = store.read("key")
    next(reader)
    delete()
    with pytest.raises(SourceGoneError, match="Put it there") as caught:
        reader.drain()
    assert not caught.value.is_transient
    assert caught.value.awaits_operator


def test_an_object_of_s3_that_changes_or_goes_while_it_is_read(
    moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    assert_notices_that_it_is_replaced(f"s3://{s3_bucket}")
    client = boto3.client("s3")
    assert_notices_that_it_is_gone(f"s3://{s3_bucket}", lambda: client.delete_object(Bucket=s3_bucket, Key="key"))


def test_an_object_of_cloud_storage_that_changes_while_it_is_read(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    assert_notices_that_it_is_replaced(f"gs://{gcs_bucket}")


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(LARGE)
    reader = open_store(f"file://{tmp_path}").read("key")
    next(reader)
    with path.open("r+b") as file:
        file.seek(30 << 20)
        file.write(b"changed")
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        reader.drain()


def test_a_file_that_goes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(LARGE)
    reader = open_store(f"file://{tmp_path}").read("key")
    next(reader)
    path.unlink()
    with pytest.raises(SourceChangedError):
        reader.drain()


def test_each_store_says_how_its_bytes_were_checked(
    gcs_server: GCSServer, gcs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    for url, expected in ((f"gs://{gcs_bucket}", "crc32c"), (f"file://{tmp_path}", "size")):
        store = open_store(url)
        store.write("key", b"1")
        reader = store.read("key")
        assert reader.info.checked_by == expected
        reader.drain()


def test_an_object_stored_with_content_encoding_gzip_comes_as_it_is_stored(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    blob = storage.Client(project="p").bucket(gcs_bucket).blob("log.gz")
    blob.content_encoding = "gzip"
    packed = gzip.compress(b"line\n" * 1000)
    blob.upload_from_string(packed)
    assert b"".join(open_store(f"gs://{gcs_bucket}").read("log.gz")) == packed
