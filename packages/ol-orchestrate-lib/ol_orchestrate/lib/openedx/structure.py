"""Reads a course structure, the JSON of edx-platform's command `dump_course_structure`.

A structure is one object: `{usage key: {"category": …, "children": [usage keys], "metadata": {…}}}`. Usage keys have
the form `block-v1:…+type@…+block@…`, in older courses `i4x://org/number/category/name`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx.passports import without_passports
from ol_orchestrate.lib.openedx.problems import Problem, ProblemList
from ol_orchestrate.lib.openedx.reading_order import Reference, reading_order
from ol_orchestrate.lib.openedx.safe_json import object_pieces, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_STRUCTURE_BYTES = 16 << 20
"""Bytes of one structure document. Parsed, it takes several times its size; the largest courses have some MB."""

MAX_STRUCTURE_VALUES = 1_500_000
"""Values and names in one document. Structures of real courses have some 70,000 per MB."""

MAX_JOINED_BYTES = 96 << 20
"""Bytes of the names that joining the keys of nested objects makes; in real courses, three times the document."""

_EXPORT_AGAIN = "Export the structure again with dump_course_structure"


class CourseStructureError(BadInputError):
    """A document that is no course structure."""


@dataclass(frozen=True, slots=True)
class StructureBlock:
    """A block of a structure.

    Attributes:
        block_id: The usage key.
        block_type: The `category`; `None` if it is missing.
        parent: The first block in reading order that lists it; `None` for the course block.
        index: The position in reading order, from 1; 0 for an orphan.
        details: The block's object in the document.
        metadata: The settings, from `details`.
    """

    block_id: str
    block_type: str | None
    parent: str | None
    index: int
    details: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def content_hash(self) -> str:
        """The `content_hash` of `details`."""
        return content_hash(self.details)


@dataclass(frozen=True, slots=True)
class CourseStructure:
    """A structure document without LTI passports.

    Attributes:
        document: The whole document, with its keys in the order of the file.
        blocks: The blocks in reading order, then the orphans in the order of the file.
        course: The course block; `None` if the document has none.
        missing: References to blocks that the document lacks, which is usual for content of libraries.
        problems: Parts in an unexpected form.
    """

    document: Mapping[str, Any]
    blocks: tuple[StructureBlock, ...]
    course: StructureBlock | None
    missing: tuple[Reference[str], ...]
    problems: tuple[Problem, ...]

    @property
    def content_hash(self) -> str:
        """The `content_hash` of `document`."""
        return content_hash(self.document)

    def flattened(self) -> Iterator[tuple[str, Any]]:
        """Yield the members of the document with the keys of nested objects joined; of equal names, only the last."""
        names = sorted(self.document)
        if any(_any_begins(names, f"{name}_") for name in names):  # two blocks may give the same name
            yield from dict(_joined(self.document)).items()
        else:
            for name, value in self.document.items():
                yield from dict(_joined({name: value})).items()


def _any_begins(names: list[str], beginning: str) -> bool:
    place = bisect_left(names, beginning)
    return place < len(names) and names[place].startswith(beginning)


def _joined(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join the keys of nested objects with `__`; lists are values, and an empty object has no member."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _joined(value, f"{prefix}{key}__")
        else:
            yield f"{prefix}{key}", value


def content_hash(document: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the document as Python's `json.dumps` writes it with its default separators.

    The keys have the order of the file. LTI passports are removed before, since a hash of a short secret would help to
    guess it, and a changed secret is no changed content. A document without passports has the hash of the original.
    """
    digest = hashlib.sha256()
    for piece in object_pieces(document.items(), json.dumps):
        digest.update(piece.encode())
    return digest.hexdigest()


def read_course_structure(source: BinaryIO, *, name: str = "the course structure") -> CourseStructure:
    """Read a structure document.

    Args:
        source: The JSON, UTF-8.
        name: The name of the document in errors and problems, for example its object key.

    Raises:
        BrokenDocumentError: It is no JSON, or has more values than `MAX_STRUCTURE_VALUES`.
        CourseStructureError: It is larger than `MAX_STRUCTURE_BYTES`, no map of blocks, or its keys would take more
            than `MAX_JOINED_BYTES` if joined.
    """
    data = source.read(MAX_STRUCTURE_BYTES + 1)
    if len(data) > MAX_STRUCTURE_BYTES:
        raise CourseStructureError(f"{name} is larger than {MAX_STRUCTURE_BYTES >> 20} MiB. {_EXPORT_AGAIN}")
    problems = ProblemList()
    document = without_passports(parse_json(data, name, problems, max_values=MAX_STRUCTURE_VALUES))
    del data
    objects = _block_objects(document, name, problems)
    _refuse_long_names(document, name)
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


def _refuse_long_names(document: Mapping[str, Any], name: str) -> None:
    size = 0
    for joined, _ in _joined(document):
        size += sys.getsizeof(joined)
        if size > MAX_JOINED_BYTES:
            what = f"its keys, joined to names of columns, take more than {MAX_JOINED_BYTES >> 20} MiB"
            raise CourseStructureError(f"{name}: {what}. {_EXPORT_AGAIN}")


def _block_objects(document: object, name: str, problems: ProblemList) -> dict[str, dict[str, Any]]:
    """Return the blocks of the document by usage key."""
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
