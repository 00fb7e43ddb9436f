"""Long lists for readers: the first items, and the number of the others."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN = 50
"""Items that logs and the Dagster UI show of a list."""


def first_and_more(items: Collection[object], limit: int = SHOWN, *, total: int | None = None) -> list[str]:
    """The first items; where there are more, a last one says how many.

    Args:
        items: The list, or as much of it as was kept.
        limit: The number of items to show.
        total: The number of items in the whole list, where `items` is only its beginning.
    """
    shown = [str(item) for item in islice(items, limit)]
    more = (len(items) if total is None else total) - len(shown)
    return [*shown, and_more(more)] if more > 0 else shown


def and_more(number: int) -> str:
    """The words for items that are not shown."""
    return f"and {number:,} more"
