"""The reader of tar headers, against `tarfile`, the system's `tar`, and what an attacker writes."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile
import time
import tracemalloc
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.archives import DamagedArchiveError, TruncatedArchiveError, gunzip
from ol_orchestrate.lib.tar import TarLimits, tar_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
CONTENT = b"id\tname\n1\tx\n"
FIRST = ("first.sql", CONTENT)
Entry = tuple[str, bytes, bytes, str]


def pieces(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A header and its data in blocks, whatever is in them."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), target
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def pax(*records: tuple[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    content = b""
    for keyword, value in records:
        rest = f" {keyword}={value}\n".encode()
        length = len(rest)
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        content += b"%d" % length + rest
    return member("PaxHeaders/x", content, kind)


END = bytes(1024)


def read(data: bytes, limits: TarLimits | None = None, size: int = 10_000) -> tuple[list[tuple[str, bytes]], str]:
    """The complete entries, and the error after them."""
    complete = []
    try:
        for entry in tar_entries(pieces(data, size), limits or TarLimits()):
            content = b"".join(entry.blocks)
            assert len(content) == entry.size
            complete.append((entry.name, content))
    except DamagedArchiveError as error:
        return complete, f"damaged: {error}"
    except TruncatedArchiveError as error:
        return complete, f"truncated: {error}"
    return complete, ""


def by_tarfile(data: bytes) -> list[Entry]:
    """The entries as Python reads them."""
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        return [
            (
                info.name,
                tarfile.REGTYPE if info.isreg() else info.type,
                opened.read() if info.isreg() and (opened := tar.extractfile(info)) else b"",
                info.linkname,
            )
            for info in tar
        ]


def by_us(blocks: Iterable[bytes]) -> list[Entry]:
    return [
        (
            entry.name,
            tarfile.REGTYPE if entry.type in tarfile.REGULAR_TYPES else entry.type,
            b"".join(entry.blocks),
            entry.linkname,
        )
        for entry in tar_entries(blocks)
    ]


def of_every_kind(format_: int) -> bytes:
    file = io.BytesIO()
    long = "long/" * 30 + "name" * 10
    with tarfile.open(fileobj=file, mode="w", format=format_, encoding="utf-8") as tar:
        names = ["plain.sql", "ü/é.sql", "._plain.sql", "n" * 100, "p/" * 49 + "n" * 101][: 5 if format_ else 4]
        for number, name in enumerate([*names, long]):
            info = tarfile.TarInfo(name)
            info.size = number * 300
            info.mtime = 1_700_000_000 + (0 if format_ == tarfile.USTAR_FORMAT else 0.5)
            info.pax_headers = {"LIBARCHIVE.xattr.com.apple.provenance": "AQIAb\n=", "SCHILY.xattr.x": "ü="}
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"kind{kind.decode()}")
            info.type = kind
            info.linkname = "target/" * 12 + "ü" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
            tar.addfile(info)
        info = tarfile.TarInfo("link to a long name")
        info.type, info.linkname = tarfile.SYMTYPE, long if format_ != tarfile.USTAR_FORMAT else "short"
        tar.addfile(info)
    return file.getvalue()


class TestRealArchives:
    @pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
    @pytest.mark.parametrize("size", [1, 512, 10_000])
    def test_every_kind_of_entry_is_read_as_tarfile_reads_it(self, format_: int, size: int) -> None:
        data = of_every_kind(format_)
        expected = by_tarfile(data)
        assert len(expected) > 10
        assert by_us(pieces(data, size)) == expected

    @pytest.mark.parametrize("format_", ["v7", "oldgnu", "gnu", "ustar", "pax"])
    def test_an_archive_of_the_systems_tar_is_read(self, format_: str, tmp_path: Path) -> None:
        folder = tmp_path / "ora"
        folder.mkdir()
        (folder / "a.sql").write_bytes(CONTENT)
        (folder / "empty.sql").touch()
        (folder / "link").symlink_to("a.sql")
        (folder / "hard").hardlink_to(folder / "a.sql")
        if format_ not in {"v7", "ustar"}:
            (folder / ("n" * 200)).write_bytes(CONTENT * 100)
        data = system_tar(f"--format={format_}", "-C", tmp_path, "ora")
        entries = by_us(pieces(data))
        assert entries == by_tarfile(data)
        assert {name for name, *_ in entries} >= {"ora", "ora/a.sql", "ora/empty.sql", "ora/link"}

    def test_times_in_a_header_of_gnu_tar_are_no_part_of_the_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.sql").write_bytes(CONTENT)
        data = system_tar("--format=gnu", "--incremental", "-C", tmp_path, "a.sql")
        assert data[345:357].strip(b"\0")  # where others have the start of the name
        assert read(data) == ([("a.sql", CONTENT)], "")

    @pytest.mark.parametrize("format_", ["oldgnu", "gnu", "pax0.0", "pax0.1", "pax1.0"])
    @pytest.mark.parametrize("parts", [0, 1, 3, 40])
    def test_a_sparse_file_is_read_with_its_holes(self, format_: str, parts: int, tmp_path: Path) -> None:
        with (tmp_path / "sparse.sql").open("wb") as file:
            for number in range(parts):
                file.seek(number * 40_000 + 8192)
                file.write(b"%d" % number * 4096)
            file.truncate(parts * 40_000 + 100_000)
        (tmp_path / "after.sql").write_bytes(CONTENT)
        kind, _, version = format_.partition("x")
        options = [f"--sparse-version={version}"] if version else []
        kind = "pax" if version else kind
        data = system_tar("-S", f"--format={kind}", *options, "-C", tmp_path, "sparse.sql", "after.sql")
        if len(data) > parts * 40_000 + 100_000:
            pytest.skip("this file system keeps no holes")
        content = (tmp_path / "sparse.sql").read_bytes()
        assert read(data, size=1000) == ([("sparse.sql", content), ("after.sql", CONTENT)], "")

    def test_the_real_exports_are_read_as_tarfile_reads_them(self, real_data: Callable[[str], Path]) -> None:
        exports = sorted(real_data(".").rglob("*.tar.gz"))
        exports = [path for path in exports if path.parent.name != "hostile"]
        assert len(exports) > 5
        for path in exports:
            data = path.read_bytes()
            assert by_us(gunzip(pieces(data))) == by_tarfile(gzip.decompress(data)), path

    def test_a_size_over_8_gib_in_binary_is_read(self) -> None:
        info = tarfile.TarInfo("large")
        info.size = 1 << 34
        entry = next(tar_entries([info.tobuf(tarfile.GNU_FORMAT)]))
        assert (entry.name, entry.size) == ("large", 1 << 34)

    def test_a_header_with_a_checksum_of_signed_bytes_is_read(self) -> None:
        header = bytearray(member("ü.sql"))
        header[148:156] = b" " * 8
        signed = sum(byte - 256 if byte > 127 else byte for byte in header)
        header[148:156] = b"%06o\0 " % signed
        assert read(bytes(header) + END) == ([("ü.sql", b"")], "")

    def test_a_pax_header_without_a_value_takes_one_back(self) -> None:
        data = pax(("path", "a"), ("comment", "x"), ("path", "")) + member("b", CONTENT) + END
        assert read(data) == ([("b", CONTENT)], "")

    def test_a_global_header_with_a_comment_is_passed_over(self) -> None:
        data = pax(("comment", "f" * 40), kind=tarfile.XGLTYPE) + member("b", CONTENT) + END
        assert read(data) == ([("b", CONTENT)], "")


def system_tar(*arguments: object) -> bytes:
    if shutil.which("tar") is None or b"GNU tar" not in subprocess.check_output(["tar", "--version"]):  # noqa: S607
        pytest.skip("there is no GNU tar")
    return subprocess.check_output(["tar", "-c", "-f", "-", *map(str, arguments)])  # noqa: S603, S607


def sparse(*numbers: object, size: int = 10, stored: bytes = b"") -> bytes:
    """A sparse entry whose map is a pax record."""
    records = (("GNU.sparse.size", str(size)), ("GNU.sparse.map", ",".join(map(str, numbers))))
    return pax(*records) + member("s", stored)


def sparse_in_data(text: bytes) -> bytes:
    records = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "10"))
    return pax(*records) + member("s", text)


def endless(start: bytes, repeated: bytes, *, size: int) -> Callable[[], Iterator[bytes]]:
    def blocks() -> Iterator[bytes]:
        yield start
        count = max(1, (1 << 20) // len(repeated))
        for _ in range(size // (count * len(repeated))):
            yield repeated * count

    return blocks


OLD_SPARSE = bytearray(member("s", b"", tarfile.GNUTYPE_SPARSE))
OLD_SPARSE[482] = 1
OLD_SPARSE[483:495] = b"00000010000\0"
OLD_SPARSE[148:156] = b" " * 8
OLD_SPARSE[148:156] = b"%06o\0 " % sum(OLD_SPARSE)
START = member(*FIRST)
HOSTILE = {
    "pax headers": (endless(START, pax(("path", "a")), size=50 << 20), "more than 16 extended headers"),
    "long names": (endless(START, member("x", b"n", b"L"), size=50 << 20), "more than 16 extended headers"),
    "long links": (endless(START, member("x", b"n", b"K"), size=50 << 20), "more than 16 extended headers"),
    "global headers": (
        endless(START, pax(("c", "x" * 900), kind=b"g") + member("e"), size=50 << 20),
        "over 1,048,576 bytes of global headers",
    ),
    "global headers in a row": (
        endless(START, pax(("c", "x" * 900), kind=b"g"), size=50 << 20),
        "more than 16 extended headers",
    ),
    "a long pax header": (lambda: [START, pax(("x", "y" * (2 << 20)))], "longer extended headers"),
    "a sparse map without end": (
        endless(START + sparse_in_data(b"99999999\n" + b"1" * 503), b"1\n" * 256, size=50 << 20),
        "longer extended headers or a longer sparse map",
    ),
    "old sparse blocks without end": (
        endless(START + bytes(OLD_SPARSE), b"1" * 512, size=50 << 20),
        "longer extended headers or a longer sparse map",
    ),
    "sparse digits": (lambda: [START, sparse_in_data(b"1" * 100_000)], "where a number belongs"),
    "pax digits": (lambda: [START, pax(("size", "9" * 5000)), member("x")], "where a number belongs"),
    "a negative size": (lambda: [START, pax(("size", "-1")), member("x")], "where a number belongs"),
    "a size with a space": (lambda: [START, pax(("size", " 1")), member("x")], "where a number belongs"),
    "many short pax records": (lambda: [START, pax(*[("a", "")] * 100), member("x")], "shorter pax records"),
    "a record without a length": (lambda: [START, member("x", b"path=a\n", b"x"), member("x")], "malformed pax"),
    "a record that is longer": (lambda: [START, member("x", b"99 path=a\n", b"x"), member("x")], "malformed pax"),
    "a record of no length": (lambda: [START, member("x", b"0 path=a\n", b"x"), member("x")], "malformed pax"),
    "a global path": (lambda: [START, pax(("path", "a"), kind=b"g"), member("x"), END], "a global 'path'"),
    "a global size": (lambda: [START, pax(("size", "5"), kind=b"g"), member("x"), END], "a global 'size'"),
    "a hole of exabytes": (lambda: [START, sparse(size=1 << 60)], "bytes of holes"),
    "many holes": (endless(START, sparse(size=1 << 20), size=2 << 20), "bytes of holes"),
    "regions out of order": (lambda: [START, sparse(5, 2, 1, 2, stored=b"four")], "out of order"),
    "regions beyond the end": (lambda: [START, sparse(9, 4, stored=b"four")], "does not fit"),
    "regions without data": (lambda: [START, sparse(0, 8, stored=b"four")], "does not fit"),
    "an offset without a length": (lambda: [START, sparse(0, 4, 6, stored=b"four")], "offset that has no length"),
    "a map longer than the data": (lambda: [START, sparse_in_data(b""), b"1\n0\n9\n".ljust(512)], "not fit"),
    "a sparse entry without size": (lambda: [START, pax(("GNU.sparse.map", "0,0")), member("s")], "without a size"),
    "another sparse version": (
        lambda: [START, pax(("GNU.sparse.major", "7"), ("GNU.sparse.size", "1")), member("s")],
        "unknown format",
    ),
    "an extended header at the end": (lambda: [START, pax(("path", "a")), END], "without an entry"),
}


class TestHostileArchives:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_what_came_before_comes_out_and_the_error_names_the_byte(self, kind: str) -> None:
        blocks, message = HOSTILE[kind]
        complete: list[tuple[str, int]] = []
        tracemalloc.start()
        began = time.process_time()
        entries = ((entry.name, sum(map(len, entry.blocks))) for entry in tar_entries(blocks()))
        with pytest.raises(DamagedArchiveError, match=message) as error:
            complete.extend(entries)
        spent = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert complete[0] == ("first.sql", len(CONTENT))
        assert " in the header at byte " in str(error.value)
        assert peak < 32 << 20
        assert spent < 10

    @pytest.mark.parametrize("after_padding", [b"", b"x"])
    def test_padding_without_end_takes_no_memory(self, after_padding: bytes) -> None:
        def blocks() -> Iterator[bytes]:
            yield START + END
            for _ in range(64):
                yield bytes(1 << 20)
            yield after_padding

        tracemalloc.start()
        entries = ((entry.name, sum(map(len, entry.blocks))) for entry in tar_entries(blocks()))
        assert next(entries) == ("first.sql", len(CONTENT))
        with pytest.raises(DamagedArchiveError, match="something follows the end") if after_padding else nullcontext():
            assert list(entries) == []
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20

    def test_hostile_archives_from_the_field_end_in_an_error_in_no_time(self, real_data: Callable[[str], Path]) -> None:
        paths = sorted(real_data("field/hostile").glob("*.tar.gz"))
        assert len(paths) == 5
        for path in paths:
            names: list[str] = []
            packed = path.read_bytes()
            tracemalloc.start()
            with pytest.raises(DamagedArchiveError, match="in the header at byte"):
                names.extend(entry.name for entry in tar_entries(gunzip(pieces(packed))))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert names, path
            assert names[0] == "MITx-6.00x-2012_Fall-auth_user-prod-analytics.sql"
            assert peak < 16 << 20, path

    @pytest.mark.parametrize(
        ("limits", "what"),
        [
            (TarLimits(header_bytes=100), "longer extended headers"),
            (TarLimits(extended_headers=1), "more than 1 extended headers"),
            (TarLimits(global_bytes=100), "over 100 bytes of global headers"),
            (TarLimits(hole_bytes=9), "over 9 bytes of holes"),
        ],
    )
    def test_each_limit_of_a_tar_can_be_set(self, limits: TarLimits, what: str) -> None:
        comment = pax(("comment", "x" * 90), kind=b"g")
        data = comment + pax(("path", "p" * 100)) + member("x") + sparse(size=10) + END
        assert read(data) == ([("p" * 100, b""), ("s", bytes(10))], "")
        assert what in read(data, limits)[1]


class TestDamage:
    def test_a_flipped_bit_in_a_header_is_damage(self) -> None:
        data = member(*FIRST) + member("second.sql", CONTENT) + END
        rest = [FIRST, ("second.sql", CONTENT)]
        for bit in range(1024 * 8, 1536 * 8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            entries, error = read(bytes(flipped))
            # Some bits of the checksum's own field mean nothing: how it ends.
            assert error.startswith("damaged") or (entries == rest and 1024 + 148 <= bit // 8 < 1024 + 156), bit

    def test_a_tar_without_the_mark_of_its_end_is_truncated(self) -> None:
        entries, error = read(member(*FIRST) + member("second.sql", CONTENT))
        assert len(entries) == 2
        assert error == "truncated: the tar ends at byte 2,048 without the mark of its end"

    def test_a_tar_cut_within_an_entry_is_truncated(self) -> None:
        entries, error = read(member(*FIRST) + member("second.sql", CONTENT)[:-505])
        assert entries == [FIRST]
        assert error == "truncated: the tar data breaks off at byte 1,543, within an entry"
