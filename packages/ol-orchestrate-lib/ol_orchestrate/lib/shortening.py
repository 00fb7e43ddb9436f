"""Long lists shortened for a reader: the first items, and the number of the others."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN = 50
"""Items that logs and the Dagster UI show of a list."""


def first_and_more(items: Collection[object], limit: int = SHOWN, *, total: int | None = None) -> list[str]:
    """Return the first items as text; if there are more, a last item says how many.

    Args:
        items: The whole list, or its beginning.
        limit: The number of items to show.
        total: The number of items in the whole list, if `items` is only its beginning.
    """
    shown = [str(item) for item in islice(items, limit)]
    more = (len(items) if total is None else total) - len(shown)
    return [*shown, and_more(more)] if more > 0 else shown


def and_more(number: int) -> str:
    """Say that more items follow, and how many."""
    return f"and {number:,} more"


def counted(number: int, noun: str) -> str:
    """Return a number and a noun with a regular plural: `1 archive`, `2,000 archives`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
