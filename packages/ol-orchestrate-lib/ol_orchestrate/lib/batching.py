"""Batches of items, for what is done to many at once."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`, each taken from `items` when it is needed."""
    # Python 3.12 has this as `itertools.batched`.
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
