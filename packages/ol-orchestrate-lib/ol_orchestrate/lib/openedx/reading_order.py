"""The order in which a learner meets the blocks of a course: depth first, children as listed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Reference(NamedTuple, Generic[K]):
    """An entry in a block's list of children."""

    parent: K
    child: K


class ReadingOrder(NamedTuple, Generic[K]):
    """The tree of a course's blocks.

    Attributes:
        parents: The parent of each block, `None` for the top of a tree. The course's blocks come first in reading
            order, then the orphans, each tree of them from its top. A block with several parents has the first.
        reachable: The number of blocks in the course's own tree, which come first.
        missing: References to blocks that do not exist.
        repeated: References to a block that has a parent already.
        cycles: References to a block that contains the parent.
    """

    parents: dict[K, K | None]
    reachable: int
    missing: list[Reference[K]]
    repeated: list[Reference[K]]
    cycles: list[Reference[K]]


def reading_order(course: K | None, children: Mapping[K, Sequence[K]]) -> ReadingOrder[K]:
    """Sort blocks depth first; any depth and any cycle is allowed, as each reference is followed once.

    Args:
        course: The course block; `None` if there is none.
        children: The children of each existing block.
    """
    order: ReadingOrder[K] = ReadingOrder({}, 0, [], [], [])
    if course is not None:
        _follow(course, children, order)
    reachable = len(order.parents)
    referred_to = {child for listed in children.values() for child in listed}
    for top in (*(key for key in children if key not in referred_to), *children):
        if top not in order.parents:
            _follow(top, children, order)
    return order._replace(reachable=reachable)


def _follow(start: K, children: Mapping[K, Sequence[K]], order: ReadingOrder[K]) -> None:
    order.parents[start] = None
    path = [(start, iter(children[start]))]
    on_path = {start}
    while path:
        parent, references = path[-1]
        child = _next_new(parent, references, children, order, on_path)
        if child is None:
            on_path.remove(parent)
            path.pop()
        else:
            order.parents[child] = parent
            on_path.add(child)
            path.append((child, iter(children[child])))


def _next_new(
    parent: K, references: Iterator[K], children: Mapping[K, Sequence[K]], order: ReadingOrder[K], on_path: set[K]
) -> K | None:
    for child in references:
        if child not in children:
            order.missing.append(Reference(parent, child))
        elif child in on_path:
            order.cycles.append(Reference(parent, child))
        elif child in order.parents:
            order.repeated.append(Reference(parent, child))
        else:
            return child
    return None
