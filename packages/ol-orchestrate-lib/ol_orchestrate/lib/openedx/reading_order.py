"""The order in which a learner meets the blocks of a course: depth first, children as listed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Reference(NamedTuple, Generic[K]):
    """That one block lists another among its children."""

    parent: K
    child: K


class ReadingOrder(NamedTuple, Generic[K]):
    """How the blocks of a course hang together.

    Attributes:
        parents: All blocks, in reading order from the course block; then those that it does not lead to, each tree
            of them from its top. The value is the block that leads there first, None at the start of each tree.
        reachable: So many of the first ones are led to by the course block, itself included.
        missing: References to blocks that are not there.
        repeated: References to a block that had its place already.
        cycles: References to a block that the parent is itself a part of.
    """

    parents: dict[K, K | None]
    reachable: int
    missing: list[Reference[K]]
    repeated: list[Reference[K]]
    cycles: list[Reference[K]]


def reading_order(course: K | None, children: Mapping[K, Sequence[K]]) -> ReadingOrder[K]:
    """Follow every reference once, so that any depth and any cycle is fine.

    Args:
        course: Where to begin; None if there is no course block.
        children: All blocks that are there, each with its references.
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
