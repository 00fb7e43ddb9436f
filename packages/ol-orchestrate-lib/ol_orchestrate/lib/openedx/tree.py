"""Puts the blocks of a course together: which definition of each counts, and how they hang together."""

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
        files: XML files by path; emptied on the way, since their content would be in memory twice.
        key_of: The block that the file at a path is named after, or None for a file that is no block.
        problems: Learns of broken files, and of blocks that have two files.

    Raises:
        CourseExportError: More than `MAX_BLOCKS` blocks, or so much XML inside each other that it grows too large.
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
            raise CourseExportError(f"{path}: with it the course has more than {limits}. It is not read")
    return definitions


def link_blocks(
    course: Definition, files: Mapping[BlockKey, Definition], problems: ProblemList
) -> tuple[tuple[Block, ...], tuple[Reference[BlockKey], ...]]:
    """Put the blocks into reading order, and give each its parent.

    Of several definitions of one block the first in reading order counts, be it inline or in a file.

    Args:
        course: Where the course begins.
        files: The definitions in files of their own.
        problems: Learns of definitions that are not used, of blocks that are used twice, and of cycles.

    Returns:
        All blocks: depth first from the course, then those that it does not lead to; and the references to blocks
        that are not there.
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
    """What no other definition mentions, which is where the parts begin to which the course does not lead."""
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
    """The definitions that count, found by reading on from where the course and its loose parts begin.

    Attributes:
        used: The definition of each block that counts, in reading order.
        children: The children of each block, those in files of groups included.
        groups: Files of groups whose blocks have found their place.
    """

    def __init__(self, files: Mapping[BlockKey, Definition], problems: ProblemList) -> None:
        self._files = files
        self._problems = problems
        self.used: dict[BlockKey, Definition] = {}
        self.children: dict[BlockKey, list[Child]] = {}
        self.groups: set[BlockKey] = set()

    def add(self, starts: Iterable[Child]) -> None:
        """Read on from each of these, depth first."""
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
        """The same children, with those in a file of groups in the place of the pointer to it."""
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
        """For each block, the children to which it leads: not to blocks whose definition is elsewhere."""
        return {
            parent: [child.key for child in children if self._leads(self.used[parent].block.path, child)]
            for parent, children in self.children.items()
        }

    def _leads(self, path: str, child: Child) -> bool:
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
        """Tell of a reference that leads nowhere new."""
        self._problems.add(path, f"{what}; left out here", "Remove one of the references")
