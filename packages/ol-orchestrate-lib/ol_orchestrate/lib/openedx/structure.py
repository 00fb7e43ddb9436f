"""Reads a course structure: the JSON that edx-platform's command `dump_course_structure` writes.

One object for a course: `{usage key: {"category": …, "children": [usage keys], "metadata": {…}}}`. Usage keys are
`block-v1:…+type@…+block@…`, in older courses `i4x://org/number/category/name`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx.passports import without_passports
from ol_orchestrate.lib.openedx.problems import Problem, ProblemList
from ol_orchestrate.lib.openedx.reading_order import Reference, reading_order
from ol_orchestrate.lib.openedx.safe_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STRUCTURE_BYTES = 32 << 20
"""One structure document. It is held parsed, about eight times its size; the largest courses have some MB."""

_EXPORT_AGAIN = "Export the structure again with dump_course_structure"


class CourseStructureError(BadInputError):
    """A document that is no course structure."""


@dataclass(frozen=True, slots=True)
class StructureBlock:
    """One block of a structure.

    Attributes:
        block_id: Its usage key.
        block_type: Its `category`; None where that is missing.
        parent: The block that leads to it first in reading order; None for the course block.
        index: Its place in reading order, from 1; 0 if the course block does not lead to it.
        details: Its object in the document.
        metadata: Its settings, from `details`.
    """

    block_id: str
    block_type: str | None
    parent: str | None
    index: int
    details: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def content_hash(self) -> str:
        """`content_hash` of `details`."""
        return content_hash(self.details)


@dataclass(frozen=True, slots=True)
class CourseStructure:
    """A structure document, without LTI passports.

    Attributes:
        document: The whole of it; keys in the order of the file.
        blocks: In reading order; those that the course block does not lead to follow in the order of the file.
        course: The course block; None if the document has none.
        missing: References to blocks that the document lacks; usual for content of libraries.
        problems: Parts that are not as they should be.
    """

    document: Mapping[str, Any]
    blocks: tuple[StructureBlock, ...]
    course: StructureBlock | None
    missing: tuple[Reference[str], ...]
    problems: tuple[Problem, ...]

    @property
    def content_hash(self) -> str:
        """`content_hash` of `document`."""
        return content_hash(self.document)


def content_hash(document: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the document as Python's `json.dumps` writes it with its default separators.

    Keys count in the order in which they were read. LTI passports are gone by then, so a document that has some
    hashes differently than with them: a hash of a short secret would help to guess it, and a changed secret is no
    changed content. Any other document keeps the hash that it always had.
    """
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def read_course_structure(source: BinaryIO, *, name: str = "the course structure") -> CourseStructure:
    """Read a structure document.

    Args:
        source: The JSON, UTF-8.
        name: What to call it in errors and problems, for example its object key.

    Raises:
        BrokenDocumentError: It is no JSON.
        CourseStructureError: It is larger than `MAX_STRUCTURE_BYTES`, or no map of blocks.
    """
    data = source.read(MAX_STRUCTURE_BYTES + 1)
    if len(data) > MAX_STRUCTURE_BYTES:
        raise CourseStructureError(f"{name} is larger than {MAX_STRUCTURE_BYTES >> 20} MiB. {_EXPORT_AGAIN}")
    problems = ProblemList()
    document = without_passports(parse_json(data, name, problems))
    objects = _block_objects(document, name, problems)
    courses = [key for key, details in objects.items() if details.get("category") == "course"]
    if len(courses) != 1:
        what = f"{len(courses)} course blocks; {'the last one counts' if courses else 'so no block has a place'}"
        problems.add(name, what, _EXPORT_AGAIN)
    root = courses[-1] if courses else None
    order = reading_order(root, {key: _children(key, objects[key], name, problems) for key in objects})
    for what, references in (("a cycle", order.cycles), ("a second use", order.repeated)):
        for parent, child in references:
            problems.add(name, f"{what}: {parent} lists {child}, left out there", "Remove one of the references")
    blocks = tuple(
        StructureBlock(
            block_id=key,
            block_type=objects[key].get("category"),
            parent=parent,
            index=place if place <= order.reachable else 0,
            details=objects[key],
            metadata=_metadata(key, objects[key], name, problems),
        )
        for place, (key, parent) in enumerate(order.parents.items(), start=1)
    )
    return CourseStructure(
        document=document,
        blocks=blocks,
        course=blocks[0] if courses else None,
        missing=tuple(order.missing),
        problems=problems.as_tuple(),
    )


def _block_objects(document: object, name: str, problems: ProblemList) -> dict[str, dict[str, Any]]:
    """The blocks of the document by usage key."""
    if not isinstance(document, dict):
        kind = "null" if document is None else type(document).__name__
        raise CourseStructureError(f"{name} is no course structure but a JSON {kind}. {_EXPORT_AGAIN}")
    if not document:
        raise CourseStructureError(f"{name} is an empty object: a structure without blocks. {_EXPORT_AGAIN}")
    if "blocks" in document and {"root", "course_id"} & document.keys():
        what = "has the shape of the course blocks API (root, blocks), not of dump_course_structure"
        raise CourseStructureError(f"{name} {what}, a map of usage keys. {_EXPORT_AGAIN}")
    objects = {key: details for key, details in document.items() if isinstance(details, dict)}
    if not any("category" in details for details in objects.values()):
        shown = ", ".join(sorted(document)[:5])[:200]
        raise CourseStructureError(f"{name} is no course structure: no entry has a category ({shown}). {_EXPORT_AGAIN}")
    for key, details in document.items():
        if key not in objects:
            problems.add(name, f"{key} is no object; it is no block", _EXPORT_AGAIN)
        elif not isinstance(details.get("category"), str):
            problems.add(name, f"{key} has no category", _EXPORT_AGAIN)
    return objects


def _children(key: str, details: Mapping[str, Any], name: str, problems: ProblemList) -> list[str]:
    listed = details.get("children", [])
    children = [child for child in listed if isinstance(child, str)] if isinstance(listed, list) else []
    if children != listed:
        problems.add(name, f"the children of {key} are no list of usage keys", _EXPORT_AGAIN)
    return children


def _metadata(key: str, details: Mapping[str, Any], name: str, problems: ProblemList) -> Mapping[str, Any]:
    metadata = details.get("metadata", {})
    if isinstance(metadata, dict):
        return metadata
    problems.add(name, f"the metadata of {key} is no object", _EXPORT_AGAIN)
    return {}
