"""Puts the blocks of a course together: chooses one definition for each, and links parents and children."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ol_orchestrate.lib.openedx.blocks import NOT_BLOCKS, Block, BlockKey, Child, Definition, definition_in
from ol_orchestrate.lib.openedx.export_files import MAX_DOCUMENTS_BYTES
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, CourseExportError, ProblemList
from ol_orchestrate.lib.openedx.reading_order import Reference, reading_order
from ol_orchestrate.lib.openedx.safe_xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MAX_BLOCKS = 200_000
"""Blocks of one course; the largest have some ten thousand."""


def read_definitions(
    files: dict[str, bytes], key_of: Callable[[str], BlockKey | None], problems: ProblemList
) -> dict[BlockKey, Definition]:
    """Read all files that hold blocks, in the order of their paths.

    Args:
        files: The XML files by path; emptied by this function, since their content would be in memory twice.
        key_of: Returns the block in the file at a path, or `None` for a file without a block.
        problems: Receives broken files, and blocks with two files.

    Raises:
        CourseExportError: There are more than `MAX_BLOCKS` blocks, or their XML is too large, as each block also holds
            that of its inline blocks.
    """
    definitions: dict[BlockKey, Definition] = {}
    count = held = 0
    for path in sorted(files):
        data = files.pop(path)
        if (key := key_of(path)) is None:
            continue
        if key in definitions:
            what = f"a second file of {key}; the one in {definitions[key].block.path} is used"
            problems.add(path, what, "Give one of them another url_name, or remove it")
            continue
        try:
            root = parse_xml(data, path)
        except BrokenDocumentError as error:
            problems.append(error.problem)
            continue
        definitions[key] = definition_in(root, key, path)
        for definition in definitions[key].with_inline():
            count += 1
            held += len(definition.block.raw_xml)
        if count > MAX_BLOCKS or held > MAX_DOCUMENTS_BYTES:
            limits = f"{MAX_BLOCKS:,} blocks or {MAX_DOCUMENTS_BYTES >> 20} MiB of XML, inline blocks counted again"
            raise CourseExportError(f"{path}: with it the course has more than {limits}. Split the course")
    return definitions


def link_blocks(
    course: Definition, files: Mapping[BlockKey, Definition], problems: ProblemList
) -> tuple[tuple[Block, ...], tuple[Reference[BlockKey], ...]]:
    """Put the blocks into reading order, and give each its parent.

    If a block has several definitions, the first in reading order is used, inline or in a file.

    Args:
        course: The definition of the course block.
        files: The definitions in files of their own.
        problems: Receives unused definitions, repeated references, and cycles.

    Returns:
        All blocks, depth first from the course and then the orphans; and the references to missing blocks.
    """
    tree = _Tree(files, problems)
    tree.add([Child(course.block.key, course)])
    tree.add(_unreferenced(files, tree))
    tree.add(Child(key) for key in files if key.block_type not in NOT_BLOCKS)
    for key, definition in files.items():
        used = tree.used.get(key, definition).block
        if used is not definition.block:
            what = f"not used: {key} is defined inline in {used.path}"
            problems.add(definition.block.path, what, "Remove one of the two definitions")
    order = reading_order(course.block.key, tree.references())
    for what, references in (("a cycle: the block is part of", order.cycles), ("a second use of", order.repeated)):
        for parent, child in references:
            tree.report(tree.used[parent].block.path, f"{what} {child}")
    linked = (
        replace(tree.used[key].block, parent=parent, children=tuple(child.key for child in tree.children[key]))
        for key, parent in order.parents.items()
    )
    return tuple(linked), tuple(order.missing)


def _unreferenced(files: Mapping[BlockKey, Definition], tree: _Tree) -> Iterator[Child]:
    """Yield the definitions that no other one mentions: the tops of the trees of orphans."""
    rest = [definition for key, definition in files.items() if key not in tree.used and key not in tree.groups]
    if rest:
        everywhere = (inner for definition in files.values() for inner in definition.with_inline())
        mentioned = {child.key for definition in everywhere for child in definition.children}
        for definition in rest:
            key = definition.block.key
            if key.block_type in NOT_BLOCKS:
                yield from tree.spliced([Child(key)], definition.block.path)
            elif key not in mentioned:
                yield Child(key)


class _Tree:
    """The definitions in use, found depth first from the course block and from the tops of the trees of orphans.

    Attributes:
        used: The definition in use of each block, in reading order.
        children: The children of each block, those in files of groups included.
        groups: The files of groups whose blocks have a parent.
    """

    def __init__(self, files: Mapping[BlockKey, Definition], problems: ProblemList) -> None:
        self._files = files
        self._problems = problems
        self.used: dict[BlockKey, Definition] = {}
        self.children: dict[BlockKey, list[Child]] = {}
        self.groups: set[BlockKey] = set()

    def add(self, starts: Iterable[Child]) -> None:
        """Add these blocks and all blocks below them, depth first."""
        for start in starts:
            pending = [start]
            while pending:
                key, inline = pending.pop()
                definition = inline or self._files.get(key)
                if definition is None or key in self.used:
                    continue
                self.used[key] = definition
                self.children[key] = self.spliced(definition.children, definition.block.path)
                pending += reversed(self.children[key])

    def spliced(self, children: list[Child], path: str) -> list[Child]:
        """Replace each pointer to a file of groups by the blocks in that file."""
        found: list[Child] = []
        pending = children[::-1]
        while pending:
            child = pending.pop()
            group = self._files.get(child.key) if child.key.block_type in NOT_BLOCKS else None
            if group is None:
                found.append(child)
            elif child.key in self.groups:
                self.report(path, f"a second use of {child.key}")
            else:
                self.groups.add(child.key)
                pending += reversed(group.children)
        return found

    def references(self) -> dict[BlockKey, list[BlockKey]]:
        """Return the children of each block, without those whose definition in use is elsewhere."""
        return {
            parent: [child.key for child in children if self._is_used(self.used[parent].block.path, child)]
            for parent, children in self.children.items()
        }

    def _is_used(self, path: str, child: Child) -> bool:
        used = self.used.get(child.key)
        if used is None or used is (child.inline or self._files.get(child.key)):
            return True
        if child.inline is None or child.inline.block.raw_xml == used.block.raw_xml:
            self.report(path, f"a second use of {child.key}")
        else:
            what = f"another definition of {child.key}; the first one in reading order, in {used.block.path}, is used"
            self._problems.add(path, what, "Give one of them another url_name, or remove it")
        return False

    def report(self, path: str, what: str) -> None:
        """Report a reference that is left out."""
        self._problems.add(path, f"{what}; left out here", "Remove one of the references")
