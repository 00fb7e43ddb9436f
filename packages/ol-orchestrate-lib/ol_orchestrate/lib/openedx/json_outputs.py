"""JSON lines made from a course or a course structure, and their data versions."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.openedx.safe_json import object_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ol_orchestrate.lib.openedx.olx import Course
    from ol_orchestrate.lib.openedx.static_assets import Manifest
    from ol_orchestrate.lib.openedx.structure import CourseStructure

Row = dict[str, Any]

_RETRIEVED_AT = "retrieved_at"

_encode = json.JSONEncoder(ensure_ascii=False).encode

_JSON_DATE = re.compile(r'\s*(?:null|".*")\s*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """An output, whose rows are made anew for each use, so that few are in memory.

    Attributes:
        name: The name of the output, of its asset and of its folder, for example `course_video`.
        rows: Makes the rows, with `None` in the column `retrieved_at`, if there is one.
    """

    name: str
    rows: Callable[[], Iterator[Row]]

    def data_version(self) -> str:
        """Return the hex SHA-256 of the lines without the column `retrieved_at`; equal content has one version."""
        digest = hashlib.sha256()
        for row in self.rows():
            row.pop(_RETRIEVED_AT, None)
            for chunk in _line(row):
                digest.update(chunk)
        return digest.hexdigest()

    def chunks(self, retrieved_at: str) -> Iterator[bytes]:
        """Yield the lines: one JSON object each, in UTF-8 and in one chunk or several, with an LF at the end.

        Args:
            retrieved_at: The value of the column of that name, if there is one; ISO 8601.
        """
        for row in self.rows():
            if _RETRIEVED_AT in row:
                row[_RETRIEVED_AT] = retrieved_at
            yield from _line(row)


@dataclass(frozen=True, slots=True)
class _Members:
    """A value of a row: an object whose members are written one by one, as it would take much memory as text."""

    make: Callable[[], Iterable[tuple[str, Any]]]


def _line(row: Mapping[str, Any]) -> Iterator[bytes]:
    if _Members not in map(type, row.values()):
        yield _utf8(_encode(row) + "\n")
        return
    start = "{"
    for name, value in row.items():
        if isinstance(value, _Members):
            yield _utf8(f"{start}{json.dumps(name)}: ")
            yield from map(_utf8, object_pieces(value.make(), _encode))
        else:
            yield _utf8(start + _encode({name: value})[1:-1])
        start = ", "
    yield b"}\n"


def _utf8(text: str) -> bytes:
    # JSON can hold a lone surrogate and UTF-8 cannot: it becomes a question mark.
    return text.encode("utf-8", errors="replace")


def course_outputs(course: Course, *, source_system: str) -> dict[str, JsonLines]:
    """Return the outputs of an OLX export that are rows, by name.

    Args:
        source_system: The site of the course, for example `prod`.
    """
    outputs = (
        JsonLines("course_metadata", lambda: _metadata_rows(course)),
        JsonLines("course_video", lambda: _video_rows(course)),
        JsonLines("course_policy", lambda: _policy_rows(course)),
        JsonLines("course_certificate_signatory", lambda: _signatory_rows(course)),
        JsonLines("course_grading_policy", lambda: _grading_rows(course)),
        JsonLines("course_xml_blocks", lambda: _block_rows(course, source_system)),
    )
    return {output.name: output for output in outputs}


def structure_outputs(structure: CourseStructure, *, course_id: str, source_system: str) -> dict[str, JsonLines]:
    """Return the outputs of a course structure, by name.

    Args:
        course_id: The course id, since a structure does not name its course.
        source_system: The site of the course, for example `prod`.
    """
    outputs = (
        JsonLines("flattened_course_structure", lambda: _structure_rows(structure, course_id, source_system)),
        JsonLines("course_blocks", lambda: _structure_block_rows(structure, course_id, source_system)),
    )
    return {output.name: output for output in outputs}


def manifest_line(manifest: Manifest) -> bytes:
    """Return the manifest of the static assets as the bytes of a file: one JSON object on a line."""
    return b"".join(_line(manifest))


def _metadata_rows(course: Course) -> Iterator[Row]:
    yield {
        "course_id": course.course_id,
        "institution": course.org,
        "course_number": course.number,
        "semester": course.run,
        "title": _text(course.setting("display_name")),
        "course_start": _date(course.setting("start")),
        "course_end": _date(course.setting("end")),
        "enrollment_start": _date(course.setting("enrollment_start")),
        "enrollment_end": _date(course.setting("enrollment_end")),
        "self_paced": _boolean(course.setting("self_paced")) or False,
        "instructor_info": _text(course.setting("instructor_info")),
    }


def _text(value: object) -> str | None:
    """Return a setting as the platform would write it into an attribute."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _date(value: object) -> str | None:
    """Return the text of a date; Studio used to write dates into the XML as JSON."""
    text = _text(value)
    if text is None or not _JSON_DATE.fullmatch(text):
        return text
    try:
        decoded: str | None = json.loads(text)
    except ValueError:
        return text
    return decoded


def _boolean(value: object) -> bool | None:
    """Return a boolean setting as the platform reads it: of text, only `true` is true, even in quotes as in JSON."""
    if isinstance(value, str):
        return value.strip().strip('"').lower() == "true"
    return None if value is None else bool(value)


def _video_rows(course: Course) -> Iterator[Row]:
    for video in course.videos:
        yield {
            "course_id": course.course_id,
            "video_block_id": video.key.block_id,
            "edx_video_id": _text(course.setting("edx_video_id", video)),
            "duration": video.duration,
        }


def _policy_rows(course: Course) -> Iterator[Row]:
    if (policy := course.policies.course) is not None:
        yield {
            "course_id": course.course_id,
            "advanced_modules": policy.get("advanced_modules", []),
            "discussions_settings": policy.get("discussions_settings", {}),
            "display_coursenumber": policy.get("display_coursenumber", ""),
            "self_paced": _boolean(policy.get("self_paced")),
            "tabs": policy.get("tabs", []),
            "tags": policy.get("tags", []),
        }


def _signatory_rows(course: Course) -> Iterator[Row]:
    for signatory in course.policies.signatories:
        yield {**signatory, "course_id": course.course_id}


def _grading_rows(course: Course) -> Iterator[Row]:
    if (grading := course.policies.grading) is not None:
        yield {
            "course_id": course.course_id,
            "graders": grading.get("GRADER", []),
            "grade_cutoffs": grading.get("GRADE_CUTOFFS", {}),
        }


def _block_rows(course: Course, source_system: str) -> Iterator[Row]:
    for block in course.blocks:
        block_type, block_id = block.key
        is_video, is_problem = block_type == "video", block_type == "problem"
        setting = partial(course.setting, block=block)
        yield {
            "course_id": course.course_id,
            "source_system": source_system,
            "block_id": block_id,
            "block_type": block_type,
            "block_display_name": _text(setting("display_name")) or "",
            "block_parent": block.parent and block.parent.block_id,
            "xml_attributes": block.attributes,
            "xml_path": block.path,
            "raw_xml": block.raw_xml.decode(),
            "retrieved_at": None,
            "edx_video_id": _text(setting("edx_video_id")) if is_video else None,
            "duration": block.duration,
            "max_attempts": _text(setting("max_attempts")) if is_problem else None,
            "weight": _text(setting("weight")) if is_problem else None,
            "markdown": _text(setting("markdown")) if is_problem else None,
        }


def _nothing(_: str) -> None:
    return None


def _structure_rows(structure: CourseStructure, course_id: str, source_system: str) -> Iterator[Row]:
    yield {
        "content_hash": structure.content_hash,
        "course_id": course_id,
        "source_system": source_system,
        "course_structure": _Members(structure.document.items),
        "course_structure_flattened": _Members(structure.flattened),
        "retrieved_at": None,
    }


def _structure_block_rows(structure: CourseStructure, course_id: str, source_system: str) -> Iterator[Row]:
    course_hash = structure.content_hash
    of_course = structure.course.metadata.get if structure.course else _nothing
    for block in structure.blocks:
        yield {
            "block_content_hash": block.content_hash,
            "block_details": block.details,
            "block_due": block.metadata.get("due"),
            "block_id": block.block_id,
            "block_index": block.index,
            "block_parent": block.parent,
            "block_start": block.metadata.get("start"),
            "block_title": block.metadata.get("display_name"),
            "block_type": block.block_type,
            "course_content_hash": course_hash,
            "course_id": course_id,
            "source_system": source_system,
            "course_start": of_course("start"),
            "course_title": of_course("display_name"),
            "retrieved_at": None,
        }
