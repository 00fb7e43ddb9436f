"""A made-up OLX export of one course, of any size: for demos, tests and measurements.

Laid out as Studio writes it: a folder, `course.xml`, one XML file for each block, policies, pages, static files. The
course has LTI passports, which are no real ones, where real courses have theirs.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from edxorg.samples import invented
from edxorg.samples.courses import LTI_PASSPORT
from edxorg.samples.olx import add_folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORGANIZATION, NUMBER, RUN = "MITx", "6.SMPLx", "1T2024"

_ROOT: Final = "course"
_CHILDREN: Final = {"course": 40, "chapter": 5, "sequential": 6}
"""How many children a block of a type has; a vertical has one of each of `_COMPONENTS`."""

_BELOW: Final = {"course": "chapter", "chapter": "sequential", "sequential": "vertical"}
_COMPONENTS: Final = ("html", "video", "problem", "problem")
_SENTENCES: Final = 500
_STATIC_FILE: Final = 16 << 20
_PIECE: Final = 1 << 20


@dataclass
class SampleCourseSummary:
    """What `write_sample_course_xml` wrote."""

    course_id: str = f"course-v1:{ORGANIZATION}+{NUMBER}+{RUN}"
    blocks: Counter[str] = field(default_factory=Counter)
    """Blocks by type, the course itself included; each stands in a file of its own."""
    xml_files: int = 0
    """One for each block, and `course.xml`."""
    static_assets: int = 0
    """Files that are not XML, neither settings nor in `static/`."""
    static_bytes: int = 0
    """What `static_bytes` asked for: half of it in `static/`, half in `handouts/`."""
    bytes_unpacked: int = 0
    bytes_compressed: int = 0


class _Block(NamedTuple):
    block_type: str
    block_id: str
    children: tuple[tuple[str, str], ...]


def write_sample_course_xml(out: Path, *, blocks: int, seed: int, static_bytes: int = 0) -> SampleCourseSummary:
    """Write an export; for the same arguments its tar is the same on every machine.

    Args:
        out: A `.xml.tar.gz`; replaced if it exists.
        blocks: How many blocks the course has, itself included; at least 1.
        seed: Of the random numbers.
        static_bytes: How many bytes of static files to add. They do not compress.

    Raises:
        OSError: The file cannot be written.
    """
    rng = random.Random(seed)  # noqa: S311 - sample data
    summary = SampleCourseSummary()
    folders: set[str] = set()
    with out.open("wb") as file:
        with (
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for path, text in _documents(rng, blocks, summary):
                data = text.encode()
                _add(tar, path, len(data), io.BytesIO(data), folders)
                summary.xml_files += path.endswith(".xml")
                summary.static_assets += path.endswith((".html", ".csv"))
            _add_static_files(tar, rng, static_bytes, summary, folders)
            summary.bytes_unpacked = tar.offset
        summary.bytes_compressed = file.tell()
    return summary


def _add(tar: tarfile.TarFile, path: str, size: int, content: BinaryIO, folders: set[str]) -> None:
    """Add a file, and before it the folders that it is in, as far as they are not there yet."""
    path = f"{_ROOT}/{path}"
    add_folders(tar, path, folders)
    member = tarfile.TarInfo(path)
    member.size = size
    tar.addfile(member, content)


def _add_static_files(
    tar: tarfile.TarFile, rng: random.Random, static_bytes: int, summary: SampleCourseSummary, folders: set[str]
) -> None:
    sizes = [_STATIC_FILE] * (static_bytes // _STATIC_FILE)
    if rest := static_bytes % _STATIC_FILE:
        sizes.append(rest)
    for number, size in enumerate(sizes):
        folder = ("handouts", "static")[number % 2]
        _add(tar, f"{folder}/recording-{number:04d}.bin", size, io.BufferedReader(_Noise(rng), _PIECE), folders)
        summary.static_assets += folder == "handouts"
        summary.static_bytes += size


class _Noise(io.RawIOBase):
    """Random bytes without end."""

    def __init__(self, rng: random.Random) -> None:
        self._piece = rng.randbytes(_PIECE)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), _PIECE)
        buffer[:size] = self._piece[:size]
        return size


def _documents(rng: random.Random, blocks: int, summary: SampleCourseSummary) -> Iterator[tuple[str, str]]:
    """Paths below the root folder, each with its text."""
    sentences = invented.sentences(rng, _SENTENCES, words=12)
    yield "about/overview.html", f"<p>{sentences[0]}</p>\n"
    yield "course.xml", f'<course url_name="{RUN}" org="{ORGANIZATION}" course="{NUMBER}"/>\n'
    for block in _tree(rng, blocks):
        summary.blocks[block.block_type] += 1
        yield f"{block.block_type}/{block.block_id}.xml", _xml(block, rng, sentences)
        if block.block_type == "html":
            yield f"html/{block.block_id}.html", f"<p>{' '.join(rng.choices(sentences, k=6))}</p>\n"
    settings = {
        "display_name": "A course of invented content",
        "advanced_modules": ["poll"],
        "lti_passports": [LTI_PASSPORT],
        "self_paced": True,
        "tabs": [{"name": "Course", "type": "courseware"}],
        "certificates": {"certificates": [{"id": 1, "signatories": [{"id": 2, "name": "Kelani Rosato"}]}]},
    }
    yield f"policies/{RUN}/policy.json", json.dumps({f"course/{RUN}": settings}, indent=4)
    grader = {"type": "Homework", "short_label": "HW", "min_count": 12, "drop_count": 2, "weight": 1.0}
    grading = {"GRADER": [grader], "GRADE_CUTOFFS": {"Pass": 0.5}}
    yield f"policies/{RUN}/grading_policy.json", json.dumps(grading, indent=4)
    yield "policies/assets.json", "{}"


def _tree(rng: random.Random, blocks: int) -> Iterator[_Block]:
    """So many blocks, parents before their children, one level after the other."""
    level = [("course", RUN)]
    left = blocks - 1
    while level:
        below: list[tuple[str, str]] = []
        for block_type, block_id in level:
            child_type = _BELOW.get(block_type)
            types = [child_type] * _CHILDREN[block_type] if child_type else []
            if block_type == "vertical":
                types = list(_COMPONENTS)
            # a level takes what the ones below need of the number of blocks: all parents get children
            children = tuple((each, f"{rng.getrandbits(128):032x}") for each in types[: max(0, left)])
            left -= len(children)
            below += children
            yield _Block(block_type, block_id, children)
        level = below


def _xml(block: _Block, rng: random.Random, sentences: list[str]) -> str:
    title = escape(rng.choice(sentences)[:40])
    if block.block_type == "html":
        return f'<html filename="{block.block_id}" display_name="{title}"/>\n'
    if block.block_type == "video":
        duration = round(rng.uniform(60, 900), 2)
        asset = f'<video_asset client_video_id="{title}.mp4" duration="{duration}" image=""/>'
        video_id = f"{rng.getrandbits(128):032x}"
        return f'<video url_name="{block.block_id}" display_name="{title}" edx_video_id="{video_id}">{asset}</video>\n'
    if block.block_type == "problem":
        choices = "".join(f'<choice correct="{text is None}">{text}</choice>' for text in rng.choices(sentences, k=4))
        body = f"<multiplechoiceresponse><choicegroup>{choices}</choicegroup></multiplechoiceresponse>"
        return f'<problem display_name="{title}" max_attempts="3" weight="1.0">{body}</problem>\n'
    children = "".join(f'  <{block_type} url_name="{block_id}"/>\n' for block_type, block_id in block.children)
    attributes = f'display_name="{title}"'
    if block.block_type == "course":
        passports = escape(json.dumps([LTI_PASSPORT]))
        attributes += f' start="2024-02-01T00:00:00Z" self_paced="true" lti_passports="{passports}"'
    return f"<{block.block_type} {attributes}>\n{children}</{block.block_type}>\n"
