from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import time
import tracemalloc
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol_orchestrate.lib.archives import (
    BLOCK,
    ArchiveError,
    DamagedArchiveError,
    TrailingBytesError,
    TruncatedArchiveError,
    gunzip,
    read_ahead,
)
from ol_orchestrate.lib.tar import LIMITS, tar_entries

if TYPE_CHECKING:
    from collections.abc import Iterator


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def unpack(data: bytes, size: int = 1000) -> tuple[bytes, str | None]:
    """Return the content that comes out, and the error after it."""
    out = bytearray()
    try:
        for block in gunzip(pieces(data, size)):
            assert 0 < len(block) <= BLOCK
            out += block
    except ArchiveError as error:
        return bytes(out), str(error)
    return bytes(out), None


class TestGunzip:
    @given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(1, 500), st.integers(0, 600))
    def test_several_members_and_trailing_zero_bytes_are_unpacked(
        self, members: list[bytes], size: int, zeros: int
    ) -> None:
        packed = b"".join(map(gzip.compress, members)) + bytes(zeros)
        assert unpack(packed, size) == (b"".join(members), None)

    def test_a_few_bytes_that_unpack_to_more_than_a_block_come_in_blocks(self) -> None:
        data = bytes(5 * BLOCK + 3) + os.urandom(5000)
        assert unpack(gzip.compress(data)) == (data, None)

    def test_a_file_cut_anywhere_gives_what_came_before(self) -> None:
        data = os.urandom(2000) + bytes(100_000) + os.urandom(100)
        packed = gzip.compress(data)
        longest = 0
        for cut in range(len(packed)):
            out, error = unpack(packed[:cut])
            assert error is not None, cut
            assert data.startswith(out)
            assert len(out) >= longest
            longest = len(out)
        assert longest == len(data)

    def test_a_changed_byte_is_noticed(self) -> None:
        data = os.urandom(2000)
        packed = bytearray(gzip.compress(data))
        for position in range(11, len(packed)):  # after the header, and the first block's unused bits
            changed = bytearray(packed)
            changed[position] ^= 0x40
            assert unpack(bytes(changed))[1] is not None, position

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "empty"),
            (b"text\n", "no gzip"),
            (b"PK\3\4 this is a zip, or nothing at all", "no gzip"),
            (gzip.compress(b"good") + b"garbage after it, which nobody packed", "37 bytes that are no gzip follow"),
        ],
        ids=["nothing", "text", "zip", "garbage"],
    )
    @pytest.mark.parametrize("size", [1, 1000])
    def test_a_file_that_is_no_gzip_is_named_by_its_format(self, data: bytes, message: str, size: int) -> None:
        out, error = unpack(data, size)
        assert error is not None
        assert message in error
        assert out == (b"good" if data.startswith(b"\x1f\x8b") else b"")

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_a_wrong_checksum_is_damage_of_a_gzip_file(self, size: int) -> None:
        packed = bytearray(gzip.compress(b"good"))
        packed[-8] ^= 1
        _, error = unpack(bytes(packed), size)
        assert error is not None
        assert "the gzip data is damaged" in error


TABLES = [
    (f"t{number}", b"".join(b"%d\tlearner%d\t\n" % (row, row * row % 997) for row in range(number * 30)))
    for number in range(1, 9)
]


def containers(tar: bytes) -> dict[str, bytes]:
    """A tar in gzip, as several tools and settings pack it."""
    middle = len(tar) // 2
    fixed = zlib.compressobj(9, zlib.DEFLATED, 31, 9, zlib.Z_FIXED)
    plain = gzip.compress(tar, mtime=0)
    return {
        "best": plain,
        "fast": gzip.compress(tar, 1, mtime=0),
        "stored": gzip.compress(tar, 0, mtime=0),
        "fixed codes": fixed.compress(tar) + fixed.flush(),
        "two members": gzip.compress(tar[:middle], mtime=0) + gzip.compress(tar[middle:], mtime=0),
        "named": plain[:3] + b"\x08" + plain[4:10] + b"archive.tar\0" + plain[10:],
        "padded": plain + bytes(3000),
        "every field": plain[:3] + b"\x1e" + plain[4:10] + b"\3\0abc" + b"name\0" + b"comment\0" + b"xx" + plain[10:],
    }


class TestWhatFollows:
    GOOD = gzip.compress(b"good", mtime=0)

    @pytest.mark.parametrize("size", [1, 7, 1000])
    @pytest.mark.parametrize("tail", [b"tail", b"x", b"\1" * 5000], ids=["tail", "x", "long"])
    def test_bytes_after_the_gzip_are_counted_in_the_error(self, tail: bytes, size: int) -> None:
        out: list[bytes] = []
        with pytest.raises(TrailingBytesError, match=f"^the gzip data ends .*; {len(tail):,} bytes that are no gzip"):
            out.extend(gunzip(pieces(self.GOOD + bytes(9) + tail, size)))
        assert out == [b"good"]

    @pytest.mark.parametrize("size", [1, 7, 1000])
    @pytest.mark.parametrize("tail", [b"??" + GOOD, b"\x1f\x8a" + GOOD[2:], b"\x1e\x8b" + GOOD[2:]])
    def test_a_member_after_other_bytes_counts_as_missing_content(self, tail: bytes, size: int) -> None:
        with pytest.raises(DamagedArchiveError, match="bytes that are no gzip follow") as error:
            list(gunzip(pieces(self.GOOD + tail, size)))
        assert not isinstance(error.value, TrailingBytesError)

    def test_many_short_members_take_linear_time(self) -> None:
        spent = []
        for number in (5_000, 20_000):
            began = time.process_time()
            assert not list(gunzip([gzip.compress(b"") * number]))
            spent.append(time.process_time() - began)
        assert spent[1] < 16 * spent[0]


class TestFlippedBits:
    @pytest.mark.parametrize("kind", containers(b""))
    @pytest.mark.parametrize("entries", [TABLES, TABLES[:1]], ids=["many", "one"])
    def test_no_changed_entry_is_left_without_damage(self, kind: str, entries: list[tuple[str, bytes]]) -> None:
        packed = containers(tar_of(entries))[kind]
        assert verdict(packed) == (entries, "whole")
        choose = random.Random(kind)  # noqa: S311 - repeatable
        bits = [choose.randrange(len(packed) * 8) for _ in range(60)]
        near_the_end = len(packed.rstrip(b"\0")) * 8
        bits += [choose.randrange(max(near_the_end - 400, 0), near_the_end) for _ in range(60)]
        for bit in bits:
            flipped = bytearray(packed)
            flipped[bit // 8] ^= 1 << bit % 8
            found, said = verdict(bytes(flipped))
            if said == "whole":
                assert found == entries, bit
            elif said == "truncated":
                assert found == entries[: len(found)], bit

    @pytest.mark.parametrize("place", range(1, 20))
    def test_a_gzip_that_seems_to_go_on_is_damaged(self, place: int) -> None:
        packed = bytearray(gzip.compress(tar_of(TABLES), mtime=0))
        said = set()
        for bit in range(8):
            flipped = packed.copy()
            flipped[-8 - place] ^= 1 << bit
            said.add(verdict(bytes(flipped))[1])
        assert said <= {"damaged", "whole"}

    @pytest.mark.parametrize("size", [7, 64, BLOCK])
    def test_a_member_that_goes_on_over_the_next_one_is_damaged(self, size: int) -> None:
        first, second = bytearray(gzip.compress(b"x" * 5000, compresslevel=0)), gzip.compress(bytes(200_000))
        length, complement = first.index(b"\x88\x13\x77\xec"), first.index(b"\x77\xec")
        first[length + 1] ^= 0x40  # a stored block says its length twice
        first[complement + 1] ^= 0x40
        with pytest.raises(DamagedArchiveError, match="begin another gzip"):
            list(gunzip(pieces(bytes(first) + second, size)))

    @pytest.mark.parametrize("kind", containers(b""))
    def test_a_cut_gzip_is_truncated_and_not_damaged(self, kind: str) -> None:
        packed = containers(tar_of(TABLES))[kind].rstrip(b"\0")
        said = Counter(verdict(packed[:cut])[1] for cut in range(20, len(packed) - 8, 41))
        # Where the last bytes happen to look like the length, it is damage; zeros look like that of a small tar.
        assert said["truncated"] > (0.4 if kind == "stored" else 0.95) * said.total()
        assert not said["whole"]
        for cut in range(1, 5):
            found, of_the_end = verdict(packed[: -cut - 1])
            assert (found, of_the_end) == (TABLES, "truncated")


def verdict(packed: bytes) -> tuple[list[tuple[str, bytes]], str]:
    """The complete entries, and what is said after them."""
    complete = []
    try:
        for entry in tar_entries(gunzip(pieces(packed, 10_000))):
            content = b"".join(entry.blocks)
            if len(content) == entry.size:
                complete.append((entry.name, content))
    except TruncatedArchiveError:
        return complete, "truncated"
    except DamagedArchiveError:
        return complete, "damaged"
    return complete, "whole"


class TestReadAhead:
    def test_read_ahead_gives_the_same_items(self) -> None:
        assert list(read_ahead(iter(range(1, 1000)))) == list(range(1, 1000))

    def test_an_error_of_the_source_comes_after_the_items_before_it(self) -> None:
        def source() -> Iterator[int]:
            yield from (1, 2, 3)
            raise FileNotFoundError

        seen: list[int] = []
        reading = read_ahead(source())
        seen.extend(next(reading) for _ in range(3))
        with pytest.raises(FileNotFoundError):
            next(reading)
        assert seen == [1, 2, 3]

    def test_a_reader_that_stops_early_stops_the_thread(self) -> None:
        made: list[int] = []

        def source() -> Iterator[int]:
            for number in range(1, 1_000_000):
                made.append(number)
                yield number

        reading = read_ahead(source())
        assert next(reading) == 1
        reading.close()
        assert len(made) < 100


def tar_of(entries: list[tuple[str, bytes]], *, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 - tarfile's word
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def read(data: bytes, size: int = 4096) -> tuple[list[tuple[str, bytes]], str | None]:
    """The complete entries, and the error after them."""
    complete = []
    try:
        for entry in tar_entries(pieces(data, size)):
            content = b"".join(entry.blocks)
            assert len(content) == entry.size
            complete.append((entry.name, content))
    except ArchiveError as error:
        return complete, str(error)
    return complete, None


ENTRIES = [("a/b.sql", b"x" * 1000), ("ü/" + "long" * 60, b""), ("c", b"y" * 512), ("d", bytes(700))]


class TestTarEntries:
    @pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    @pytest.mark.parametrize("size", [1, 511, 512, 10_000])
    def test_entries_of_a_tar_come_whole(self, format_: int, size: int) -> None:
        assert read(tar_of(ENTRIES, format=format_), size) == (ENTRIES, None)

    def test_data_left_unread_is_skipped(self) -> None:
        names = [entry.name for entry in tar_entries(pieces(tar_of(ENTRIES), 100))]
        assert names == [name for name, _ in ENTRIES]

    def test_an_archive_cut_anywhere_gives_the_complete_entries_and_an_error(self) -> None:
        data = tar_of(ENTRIES)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            last = tar.getmembers()[-1]
        end = last.offset_data + 1024
        for cut in [*range(0, end, 97), *range(0, end + 1, 512)]:
            entries, error = read(data[:cut])
            assert error is not None, cut
            assert entries == ENTRIES[: len(entries)]
        assert read(data[: end + 512]) == (ENTRIES, None)

    def test_a_damaged_header_is_not_taken_for_the_end(self) -> None:
        data = bytearray(tar_of([("first", b"1" * 512), ("second", b"2" * 512)]))
        data[1024 + 10] ^= 1
        entries, error = read(bytes(data))
        assert entries == [("first", b"1" * 512)]
        assert error is not None
        assert "damaged" in error

    def test_a_second_archive_after_the_first_is_not_overlooked(self) -> None:
        entries, error = read(tar_of(ENTRIES) + tar_of(ENTRIES))
        assert entries == ENTRIES
        assert error is not None
        assert "follows the end" in error

    @pytest.mark.parametrize("data", [b"", b"a table\tof nothing\n" * 100, b"short"], ids=["nothing", "text", "short"])
    def test_a_file_that_is_no_tar_is_named_by_its_format(self, data: bytes) -> None:
        entries, error = read(data)
        assert entries == []
        assert error is not None
        assert "tar" in error

    def test_a_header_that_would_fill_the_memory_is_refused(self) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type = tarfile.GNUTYPE_LONGNAME
        info.size = LIMITS.header_bytes * 5000
        header = info.tobuf(tarfile.GNU_FORMAT)
        entries, error = read(tar_of([("first", b"1")]).rstrip(b"\0").ljust(1024, b"\0") + header)
        assert entries == [("first", b"1")]
        assert error is not None
        assert "longer extended headers" in error

    def test_many_entries_are_not_kept(self) -> None:
        data = tar_of([(f"e{number}", b"") for number in range(20_000)])
        tracemalloc.start()
        count = sum(1 for _ in tar_entries(pieces(data, 1 << 16)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 20_000
        assert peak < 1 << 20
