"""Zip archives: sound ones of every kind, and each way to break one."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import time
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.archive_files import archive_entries
from ol_orchestrate.lib.archives import (
    ArchiveError,
    DamagedArchiveError,
    EntryError,
    TruncatedArchiveError,
    WrongFormatError,
)
from ol_orchestrate.lib.openpgp import LazyKeyRing, no_keys
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.zip_archives import ZipLimits, zip_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ol_orchestrate.lib.stores import VerifiedReader
    from ol_orchestrate.testing.servers import S3Server

FIRST, SECOND = b"first " * 1000, b"".join(sha256(b"%d" % n).digest() for n in range(94))
"""Contents of the two members; only the first one is worth packing."""


def zipped(
    members: dict[str, bytes] | None = None, *, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = comment
        for name, content in (members or {"first": FIRST, "second": SECOND}).items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def streamed(members: dict[str, bytes]) -> bytes:
    """A zip whose members' own headers tell no sizes."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def large(members: dict[str, bytes]) -> bytes:
    """A zip whose members' own headers have the fields for large sizes, and whose end has them, too."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    data = file.getvalue()
    *_, count, size, position, _ = struct.unpack("<4s4H2LH", data[-22:])
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, position)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    return (
        data[:-22] + end + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    )


@pytest.fixture
def reader(tmp_path: Path) -> Callable[[bytes], VerifiedReader]:
    def make(data: bytes, name: str = "a.zip") -> VerifiedReader:
        (tmp_path / name).write_bytes(data)
        return open_store(f"file://{tmp_path}").read(name)

    return make


def content_of(source: VerifiedReader, limits: ZipLimits | None = None) -> dict[str, bytes | str]:
    """The content of each member, or why it cannot be read."""
    contents: dict[str, bytes | str] = {}
    for entry in zip_entries(source, limits=limits or ZipLimits()):
        try:
            contents[entry.name] = b"".join(entry.blocks)
        except EntryError as error:
            contents[entry.name] = str(error)
    source.drain()
    return contents


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(zipped(), id="deflated"),
        pytest.param(zipped(method=zipfile.ZIP_STORED), id="stored"),
        pytest.param(zipped(comment=b"PK\5\6" + bytes(60)), id="with-a-comment-like-an-end"),
        pytest.param(streamed({"first": FIRST, "second": SECOND}), id="sizes-after-the-data"),
        pytest.param(large({"first": FIRST, "second": SECOND}), id="zip64"),
    ],
)
def test_members_of_a_sound_zip_are_those_that_were_packed(
    data: bytes, reader: Callable[[bytes], VerifiedReader]
) -> None:
    assert content_of(reader(data)) == {"first": FIRST, "second": SECOND}


def test_members_come_from_a_bucket_in_the_order_of_the_directory(
    s3_bucket: str, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    data = zipped()
    first, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    second = data.index(b"PK\1\2", first + 1)
    store = open_store(f"s3://{s3_bucket}/packages")
    store.write("a.zip", data[:first] + data[second:end] + data[first:second] + data[end:])
    assert list(content_of(store.read("a.zip")).items()) == [("second", SECOND), ("first", FIRST)]


def test_directory_larger_than_the_last_bytes_is_fetched_by_itself(reader: Callable[[bytes], VerifiedReader]) -> None:
    members = {f"{number}-{'x' * 200}": b"%d" % number for number in range(600)}
    assert content_of(reader(zipped(members))) == members


def test_a_hundred_thousand_members_are_read_in_seconds(reader: Callable[[bytes], VerifiedReader]) -> None:
    bodies, directory = bytearray(), bytearray()
    for number in range(100_000):
        name, fields = b"%06d" % number, bytes(16)
        directory += (
            b"PK\1\2" + bytes(4) + fields + bytes(4) + b"\6" + bytes(13) + struct.pack("<L", len(bodies)) + name
        )
        bodies += b"PK\3\4" + fields + bytes(6) + b"\6" + bytes(3) + name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), len(bodies), 0)
    large_end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 100_000, 100_000, len(directory), len(bodies))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory) + len(bodies), 1)
    started = time.perf_counter()
    contents = content_of(reader(bytes(bodies + directory) + large_end + locator + end))
    assert time.perf_counter() - started < 20
    assert (len(contents), set(contents.values())) == (100_000, {b""})


def test_folders_and_links_are_told_apart_from_files(reader: Callable[[bytes], VerifiedReader]) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("ora")
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ora/t.sql", b"1")
    types = {entry.name: entry.type for entry in zip_entries(reader(file.getvalue()))}
    assert types == {"ora/": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "ora/t.sql": tarfile.REGTYPE}


def test_a_name_in_utf_8_is_read_as_such_without_the_flag(reader: Callable[[bytes], VerifiedReader]) -> None:
    data = zipped({"é".encode().decode("latin-1"): b"1"}).replace(b"\xc3\x83\xc2\xa9", b"\xc3\xa9\xc3\xa9")
    data = data.replace(b"\0\x08\x08\0", b"\0\0\x08\0")
    assert list(content_of(reader(data))) == ["éé"]


def own(data: bytes, at: int, value: bytes) -> bytes:
    """Change the first member's own header."""
    return data[:at] + value + data[at + len(value) :]


def listed(data: bytes, at: int, value: bytes) -> bytes:
    """Change what the directory says of the first member."""
    return own(data, data.index(b"PK\1\2") + at, value)


def both(data: bytes, at: int, value: bytes) -> bytes:
    """Change both headers of the first member; `at` is the place in its own."""
    return listed(own(data, at, value), at + 2, value)


LONGER = len(FIRST) + 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(both(zipped(), 6, b"\1\0"), "encrypted with a password", id="password"),
        pytest.param(both(zipped(), 8, b"\x0e\0"), "method 14", id="unknown-method"),
        pytest.param(both(zipped(), 14, b"\0\0\0\0"), "CRC-32", id="wrong-crc"),
        pytest.param(own(zipped(), 40, b"\xff\xff"), "damaged", id="damaged-data"),
        pytest.param(both(zipped(), 22, struct.pack("<L", 5999)), "more bytes than the 5,999", id="size-too-small"),
        pytest.param(both(zipped(), 22, struct.pack("<L", LONGER)), "6,000 bytes, and", id="size-too-large"),
        pytest.param(both(zipped(), 18, struct.pack("<L", 5)), "break off", id="packed-size-too-small"),
        pytest.param(own(zipped(), 22, struct.pack("<L", LONGER)), "another size", id="sizes-disagree"),
        pytest.param(own(zipped(), 30, b"F"), "another name", id="names-disagree"),
        pytest.param(own(zipped(), 8, b"\0\0"), "another method", id="methods-disagree"),
        pytest.param(own(zipped(), 6, b"\1\0"), "another encryption", id="only-one-says-password"),
        pytest.param(own(zipped(), 0, b"XX"), "not at byte 0", id="no-header"),
        pytest.param(listed(zipped(), 24, struct.pack("<L", 2**31)), "250 times", id="ratio-of-a-bomb"),
    ],
)
def test_a_broken_member_fails_alone(data: bytes, problem: str, reader: Callable[[bytes], VerifiedReader]) -> None:
    contents = content_of(reader(data))
    assert problem in str(contents["first"])
    assert contents["second"] == SECOND


def test_a_name_whose_encoding_only_the_directory_calls_utf8_fails(reader: Callable[[bytes], VerifiedReader]) -> None:
    data = zipped({"caf?": FIRST, "second": SECOND}).replace(b"caf?", b"caf\x82")
    contents = content_of(reader(listed(data, 8, b"\0\x08")))
    assert contents == {"caf\udc82": "its own header has another name than the zip's directory", "second": SECOND}
    assert content_of(reader(data)) == {"café": FIRST, "second": SECOND}


def test_members_that_overlap_fail_and_others_do_not(reader: Callable[[bytes], VerifiedReader]) -> None:
    data = zipped({"first": FIRST, "other": FIRST, "third": SECOND})
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    contents = content_of(reader(own(data, second + 42, b"\0\0\0\0")))
    assert "overlap" in str(contents["first"])
    assert "overlap" in str(contents["other"])
    assert contents["third"] == SECOND


def test_a_member_that_reaches_into_the_directory_fails(reader: Callable[[bytes], VerifiedReader]) -> None:
    data = both(zipped({"first": SECOND}, method=zipfile.ZIP_STORED), 18, struct.pack("<2L", 3018, 3018))
    assert "overlap" in str(content_of(reader(data))["first"])


END = len(zipped()) - 22


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(zipped()[:-30], "has no end", id="cut-directory"),
        pytest.param(zipped()[:100], "has no end", id="cut-members"),
        pytest.param(b"PK\3\4", "has no end", id="cut-header"),
        pytest.param(zipped() + b"x", "has no end", id="bytes-after-the-end"),
        pytest.param(b"#!/bin/sh\n" + zipped(), "and its end says", id="bytes-before-the-start"),
        pytest.param(own(zipped(), END + 8, struct.pack("<2H", 3, 3)), "end says 3", id="wrong-count"),
        pytest.param(own(zipped(), END + 4, b"\1\0"), "one part of several", id="one-part-of-several"),
        pytest.param(listed(zipped(), 0, b"XX"), "damaged", id="damaged-directory"),
        pytest.param(
            listed(zipped(), 42, b"\xff\xff\0\0"),
            "at byte 0 that its directory does not list",
            id="position-past-the-end",
        ),
        pytest.param(listed(zipped(), 28, b"\xff\xff"), "damaged", id="name-past-the-directory"),
        pytest.param(
            large({"first": FIRST}).replace(b"PK\6\6", b"PK\0\0"), "not where it belongs", id="no-end-of-zip64"
        ),
    ],
)
def test_a_broken_directory_is_an_error_of_the_archive(
    data: bytes, problem: str, reader: Callable[[bytes], VerifiedReader]
) -> None:
    with pytest.raises(ArchiveError, match=problem):
        content_of(reader(data))


def test_a_zip_that_breaks_off_counts_as_truncated(reader: Callable[[bytes], VerifiedReader]) -> None:
    with pytest.raises(TruncatedArchiveError):
        content_of(reader(zipped()[:-1]))


def test_a_directory_larger_than_the_limit_is_refused(reader: Callable[[bytes], VerifiedReader]) -> None:
    with pytest.raises(ArchiveError, match="more than any real one"):
        content_of(reader(zipped()), ZipLimits(directory_bytes=50))


def without_entry(data: bytes, number: int) -> bytes:
    """Take a member out of the directory, and leave its bytes."""
    place, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    _, *entries = data[place:end].split(b"PK\1\2")
    del entries[number]
    directory = b"".join(b"PK\1\2" + entry for entry in entries)
    sizes = struct.pack("<2H2L", len(entries), len(entries), len(directory), place)
    return data[:place] + directory + data[end : end + 8] + sizes + data[end + 20 :]


MEMBERS = {"first": FIRST, "second": SECOND, "third": FIRST}


@pytest.mark.parametrize("reads", [True, False], ids=["read", "passed over"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("data", [zipped(MEMBERS), streamed(MEMBERS)], ids=["sizes-before", "sizes-after"])
def test_a_member_that_the_directory_does_not_list_is_an_error_of_the_archive(
    data: bytes, number: int, reader: Callable[[bytes], VerifiedReader], *, reads: bool
) -> None:
    source = reader(without_entry(data, number))
    with pytest.raises(DamagedArchiveError, match="that its directory does not list"):
        content_of(source) if reads else list(zip_entries(source))


def test_other_bytes_between_members_and_before_them_pass(reader: Callable[[bytes], VerifiedReader]) -> None:
    file = io.BytesIO(b"#!/bin/sh\n" + bytes(100))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first", FIRST)
        archive.fp.write(bytes(100))  # type: ignore[union-attr]
        archive.start_dir = archive.fp.tell()  # type: ignore[union-attr]
        archive.writestr("second", SECOND)
    assert content_of(reader(file.getvalue())) == {"first": FIRST, "second": SECOND}


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.zip", b"\x1f\x8b\x08" + bytes(20), "this is no zip archive, but gzip"),
        ("a.tar.gz", zipped(), "this is no gzip file, but a zip archive"),
        ("a.tar", zipped(), "this is no tar archive, but a zip archive"),
        ("a.zip.gpg", zipped(), "this is no OpenPGP message, but a zip archive"),
        ("a.bin", b"text", "this is no gzip file, but text"),
    ],
)
def test_a_name_and_first_bytes_that_disagree_are_an_error(
    name: str, data: bytes, problem: str, reader: Callable[[bytes, str], VerifiedReader]
) -> None:
    with pytest.raises(WrongFormatError, match=problem):
        list(archive_entries(reader(data, name), LazyKeyRing(no_keys).decryptor))
