"""Writes the export of one course of a university, of any size, with static files as Studio has them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edxorg.samples import invented
from edxorg.samples.courses import BLOCKS_IN_CHAPTER
from edxorg.samples.sample_olx import Export, files_of
from edxorg.samples.university import University
from edxorg.samples.whole_files import whole_file

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_STATIC_FILE: Final = 16 << 20
_PIECE: Final = 1 << 20


@dataclass
class SampleCourseSummary:
    """The truth about an export.

    Attributes:
        course_key: The key of the course.
        blocks: Blocks by category, the course itself included.
        xml_files: Files of XML; some problems stand inline, in the file of their vertical.
        static_assets: Files that are neither XML nor settings, and not in `static/`.
        bytes_unpacked, bytes_compressed: Sizes of the file.
    """

    course_key: str
    blocks: Counter[str] = field(default_factory=Counter)
    xml_files: int = 0
    static_assets: int = 0
    bytes_unpacked: int = 0
    bytes_compressed: int = 0


def write_sample_course_xml(
    out: Path, *, blocks: int, seed: int, static_bytes: int = 0, organization: str = "MITx"
) -> SampleCourseSummary:
    """Write the export of the first course of a university; for the same arguments its tar is the same everywhere.

    Args:
        out: A `.xml.tar.gz`; there only when it is complete, and replaced if it exists.
        blocks: Number of blocks, the course itself included; at least 1. All are in memory.
        seed: The seed of the university.
        static_bytes: Bytes of static files to add, half of them in `static/`. They do not compress.
        organization: The first part of the course key.

    Raises:
        OSError: The file cannot be written.
    """
    chapters = 1 + blocks // BLOCKS_IN_CHAPTER
    university = University(seed=seed, organization=organization, courses=1, chapters=chapters)
    course = university.course(0).first_blocks(blocks)
    summary = SampleCourseSummary(course.course_key, Counter(block.category for block in course.blocks))
    with whole_file(out) as partial, partial.open("wb") as file:
        with (
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            export = Export(tar, course)
            for path, text in files_of(course):
                data = text.encode()
                export.add(path, len(data), io.BytesIO(data))
                summary.xml_files += path.endswith(".xml")
                summary.static_assets += path.endswith((".html", ".csv"))
            for number, start in enumerate(range(0, static_bytes, _STATIC_FILE)):
                folder, size = ("handouts", "static")[number % 2], min(_STATIC_FILE, static_bytes - start)
                noise = io.BufferedReader(_Noise(invented.seeded(seed, "static", number)), _PIECE)
                export.add(f"{folder}/recording-{number:04d}.bin", size, noise)
                summary.static_assets += folder == "handouts"
            summary.bytes_unpacked = tar.offset
        summary.bytes_compressed = file.tell()
    return summary


class _Noise(io.RawIOBase):
    """Random bytes without end."""

    def __init__(self, rng: Random) -> None:
        self._piece = rng.randbytes(_PIECE)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), _PIECE)
        buffer[:size] = self._piece[:size]
        return size
