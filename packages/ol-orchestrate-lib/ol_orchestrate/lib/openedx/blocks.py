"""Blocks of a course, and the definitions of blocks in one XML document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from ol_orchestrate.lib.openedx.passports import NAME as PASSPORTS
from ol_orchestrate.lib.openedx.passports import strip_passports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOT_BLOCKS = frozenset({"abtest", "default", "group", "section"})
"""Types of elements and files that only group blocks: their child elements are children of the block above."""

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
"""Types whose child elements are blocks. In others (a problem, an unknown XBlock), only marked children are blocks."""

_SETTINGS_OF_CONTAINERS = frozenset({PASSPORTS, "grading", "meta", "metadata", "show", "textbook", "wiki"})
"""Child elements of containers that describe the container."""

_MARKED_BLOCKS = etree.XPath(".//*[@url_name or @xblock-family]", smart_strings=False)


class BlockKey(NamedTuple):
    """The identity of a block within its course: the tag and `url_name` of a pointer, which also name its file."""

    block_type: str
    block_id: str

    def __str__(self) -> str:
        """Return the pointer to the block."""
        return f'<{self.block_type} url_name="{self.block_id}"/>'


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a course.

    Attributes:
        key: The type and the id. The path of a file gives both; the id of an inline block without `url_name` is made
            from its parent's id, its type, and its position among the siblings without one.
        parent: The first block in reading order that lists it; `None` for the course and for orphans.
        children: The listed children in order, missing ones included.
        path: The path of the file that contains it, with the archive's root folder.
        attributes: The attributes of its element, as in the XML.
        raw_xml: Its element with all content, UTF-8. The page of an html block can be in another file (`filename`);
            that page is a static asset, `html/{filename}.html`, and not here.
        duration: The length of a video, seconds as text.
    """

    key: BlockKey
    parent: BlockKey | None
    children: tuple[BlockKey, ...]
    path: str
    attributes: Mapping[str, str]
    raw_xml: bytes
    duration: str | None


class Definition(NamedTuple):
    """A definition of a block; a course can hold several.

    Attributes:
        block: The block, without a parent.
        children: The children in order: pointers and inline blocks.
    """

    block: Block
    children: list[Child]

    def with_inline(self) -> Iterator[Definition]:
        """Yield this definition, then those inline in it, at any depth, in reading order."""
        pending = [self]
        while pending:
            definition = pending.pop()
            yield definition
            pending += [child.inline for child in reversed(definition.children) if child.inline]


class Child(NamedTuple):
    """A child in a definition.

    Attributes:
        inline: The child's own definition; `None` for a pointer.
    """

    key: BlockKey
    inline: Definition | None = None


def is_pointer(element: etree._Element) -> bool:
    """True if an element only names a block, so that the platform looks for the block's own file."""
    names = {"url_name", "org", "course"} if element.tag == "course" else {"url_name"}
    return names.issuperset(element.keys()) and not len(element) and not (element.text or "").strip()


def definition_in(root: etree._Element, key: BlockKey, path: str) -> Definition:
    """Return the definition of the block in a file, with the inline ones.

    Args:
        root: The root element of the file; LTI passports are removed from it.
        key: The key of the root's block.
        path: The path of the file.
    """
    raw = _serialized(root)
    if PASSPORTS.encode() in raw:
        strip_passports(root)
        raw = _serialized(root)
    top = _definition(root, key, path, raw)
    pending = [(root, top)]
    while pending:
        element, parent = pending.pop()
        nameless = 0
        for child in _child_blocks(element, parent.block.key.block_type):
            block_type = etree.QName(child).localname if child.tag[0] == "{" else child.tag
            block_id = child.get("url_name")
            if block_id and is_pointer(child):
                parent.children.append(Child(BlockKey(block_type, block_id)))
                continue
            if not block_id:
                nameless += 1
                block_id = f"{parent.block.key.block_id}_{block_type}_{nameless}"
            child_key = BlockKey(block_type, block_id)
            inline = _definition(child, child_key, path, _serialized(child))
            parent.children.append(Child(child_key, inline))
            pending.append((child, inline))
    return top


def _definition(element: etree._Element, key: BlockKey, path: str, raw: bytes) -> Definition:
    asset = element.find("video_asset") if key.block_type == "video" else None
    duration = None if asset is None else asset.get("duration")
    return Definition(Block(key, None, (), path, dict(element.items()), raw, duration), [])


def _child_blocks(element: etree._Element, block_type: str) -> Iterator[etree._Element]:
    """Yield the elements of a block's children, in order, even from below elements that are no blocks."""
    holds_blocks = block_type in _CONTAINERS or block_type in NOT_BLOCKS
    if not holds_blocks and not (len(element) and _MARKED_BLOCKS(element)):
        return  # most leaves end here, which saves a look at each of their elements
    pending = [(child, holds_blocks) for child in reversed(element)]
    while pending:
        child, holds_blocks = pending.pop()
        if not isinstance(child.tag, str) or child.get("xblock-family", "").startswith("xblock_asides"):
            continue  # a comment, a processing instruction, or notes about the block
        if _is_block(child, in_container=holds_blocks):
            yield child
        else:
            holds_blocks = holds_blocks and child.tag in NOT_BLOCKS
            pending += [(inner, holds_blocks) for inner in reversed(child)]


def _is_block(element: etree._Element, *, in_container: bool) -> bool:
    if in_container and element.tag in NOT_BLOCKS:
        return bool(element.get("url_name")) and is_pointer(element)  # a pointer to the file with its blocks
    if element.get("xblock-family") is not None or element.get("url_name"):
        return True
    return in_container and element.tag not in _SETTINGS_OF_CONTAINERS


def _serialized(element: etree._Element) -> bytes:
    return bytes(etree.tostring(element, encoding="utf-8", with_tail=False))
