"""Finds the blocks in the XML files of a course, and links them into a tree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from ol_orchestrate.lib.openedx.archive import MAX_DOCUMENTS_BYTES
from ol_orchestrate.lib.openedx.passports import NAME as PASSPORTS
from ol_orchestrate.lib.openedx.passports import strip_passports
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, CourseExportError, ProblemList
from ol_orchestrate.lib.openedx.reading_order import Reference, reading_order
from ol_orchestrate.lib.openedx.safe_xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BLOCKS = 200_000
"""Blocks of one course; the largest have some ten thousand."""

_CONTAINERS = frozenset(
    {
        "chapter",
        "conditional",
        "course",
        "itembank",
        "library",
        "library_content",
        "problemset",
        "randomize",
        "sequential",
        "split_test",
        "vertical",
        "videosequence",
        "wrapper",
    }
)
"""Types whose child elements are blocks. In others (a problem, an unknown XBlock) a child is one if it says so."""

_SETTINGS_OF_CONTAINERS = frozenset({PASSPORTS, "grading", "meta", "metadata", "show", "textbook", "wiki"})
"""Child elements of containers that describe the container."""


class BlockKey(NamedTuple):
    """What identifies a block within its course: the tag and `url_name` of a pointer, which give its file too."""

    block_type: str
    block_id: str

    def __str__(self) -> str:
        """As a pointer to it."""
        return f'<{self.block_type} url_name="{self.block_id}"/>'


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a course.

    Attributes:
        key: Type and id. A file's block is named by its path; the id of an inline block without `url_name` is made
            of its parent's id, its type, and its place among the siblings without one.
        parent: The block that leads to it first in reading order; None for the course and for orphans.
        children: In order, whether they are there or not.
        path: The file that it stands in, with the archive's root folder.
        attributes: Of its element, text as in the XML.
        raw_xml: Its element with all that is inside, UTF-8. Where an html block has its page in another file
            (`filename`), that page is a static asset, `html/{filename}.html`, and not here.
        duration: Of a video, seconds as text.
    """

    key: BlockKey
    parent: BlockKey | None
    children: tuple[BlockKey, ...]
    path: str
    attributes: Mapping[str, str]
    raw_xml: bytes
    duration: str | None


class _Found(NamedTuple):
    block: Block
    empty: bool
    """Nothing inside, so that a file of the same key is what is meant."""


def read_blocks(
    files: dict[str, bytes], key_of: Callable[[str], BlockKey | None], problems: ProblemList
) -> dict[BlockKey, Block]:
    """Read all files that hold blocks, without their parents yet.

    Args:
        files: XML files by path; emptied on the way, since their content would be in memory twice.
        key_of: The block that the file at a path is named after, or None for a file that is no block.
        problems: Learns of broken files, and of blocks that are defined twice.

    Raises:
        CourseExportError: More than `MAX_BLOCKS` blocks, or so much XML inside each other that it grows too large.
    """
    blocks: dict[BlockKey, Block] = {}
    inline: list[_Found] = []
    held = 0
    for path in sorted(files):
        data = files.pop(path)
        if (key := key_of(path)) is None:
            continue
        if key in blocks:
            _report_second(key, path, blocks, problems)
            continue
        try:
            root = parse_xml(data, path)
        except BrokenDocumentError as error:
            problems.append(error.problem)
            continue
        for found in blocks_in(root, key, path):
            if found.block.key == key and key not in blocks:
                blocks[key] = found.block
            else:
                inline.append(found)
            held += len(found.block.raw_xml)
            if len(blocks) + len(inline) > MAX_BLOCKS or held > MAX_DOCUMENTS_BYTES:
                limits = f"{MAX_BLOCKS:,} blocks or {MAX_DOCUMENTS_BYTES >> 20} MiB of XML, inline blocks counted again"
                raise CourseExportError(f"{path}: with it the course has more than {limits}. It is not read")
    for block, empty in inline:
        if blocks.setdefault(block.key, block) is not block and not empty:
            _report_second(block.key, block.path, blocks, problems)
    return blocks


def _report_second(key: BlockKey, path: str, blocks: Mapping[BlockKey, Block], problems: ProblemList) -> None:
    what = f"a second {key}; the one in {blocks[key].path} is used"
    problems.add(path, what, "Give one of them another url_name, or remove it")


def blocks_in(root: etree._Element, key: BlockKey, path: str) -> Iterator[_Found]:
    """The block that an element is, then those inline in it, at any depth.

    Args:
        root: A whole file's root; LTI passports are removed from it.
        key: What the root is called.
        path: The file, for the blocks.
    """
    raw = _serialise(root)
    if PASSPORTS.encode() in raw:
        strip_passports(root)
        raw = _serialise(root)
    pending = [(root, key)]
    while pending:
        element, key = pending.pop()
        children: list[BlockKey] = []
        inline: list[tuple[etree._Element, BlockKey]] = []
        nameless = 0
        for child in element:
            if not _is_block(child, key.block_type):
                continue
            block_type = etree.QName(child).localname if child.tag[0] == "{" else child.tag
            block_id = child.get("url_name")
            if not block_id:
                nameless += 1
                block_id = f"{key.block_id}_{block_type}_{nameless}"
            child_key = BlockKey(block_type, block_id)
            children.append(child_key)
            if not _is_pointer(child):
                inline.append((child, child_key))
        pending += reversed(inline)
        asset = element.find("video_asset") if key.block_type == "video" else None
        yield _Found(
            Block(
                key=key,
                parent=None,
                children=tuple(children),
                path=path,
                attributes=dict(element.items()),
                raw_xml=raw if element is root else _serialise(element),
                duration=None if asset is None else asset.get("duration"),
            ),
            empty=not len(element) and not (element.text or "").strip(),
        )


def _is_block(element: etree._Element, parent_type: str) -> bool:
    if not isinstance(element.tag, str):  # a comment or a processing instruction
        return False
    family = element.get("xblock-family")
    if family is not None:
        return not family.startswith("xblock_asides")
    if element.get("url_name"):
        return True
    return parent_type in _CONTAINERS and element.tag not in _SETTINGS_OF_CONTAINERS


def _is_pointer(element: etree._Element) -> bool:
    """Whether the platform would look for the block in a file of its own."""
    return element.keys() == ["url_name"] and not len(element) and not (element.text or "").strip()


def _serialise(element: etree._Element) -> bytes:
    return bytes(etree.tostring(element, encoding="utf-8", with_tail=False))


def link_blocks(
    blocks: Mapping[BlockKey, Block], course: BlockKey, problems: ProblemList
) -> tuple[tuple[Block, ...], tuple[Reference[BlockKey], ...]]:
    """Put the blocks into reading order, and give each its parent.

    Returns:
        All blocks: depth first from the course, then those that it does not lead to; and the references to blocks
        that are not there.
    """
    order = reading_order(course, {key: block.children for key, block in blocks.items()})
    for what, references in (("a cycle: the block is part of", order.cycles), ("a second use of", order.repeated)):
        for parent, child in references:
            problems.add(blocks[parent].path, f"{what} {child}; left out here", "Remove one of the references")
    linked = (replace(blocks[key], parent=parent) for key, parent in order.parents.items())
    return tuple(linked), tuple(order.missing)
