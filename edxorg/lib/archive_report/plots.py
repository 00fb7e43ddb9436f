"""Plots as inline SVG: bars alone, so that texts stand beside them in the page's own size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def over_time(values: Sequence[int], title: str, *, is_part: bool) -> str:
    """A column for each value, the last one marked; in another way if it is the value of a part of an archive."""
    highest, step = max(*values, 1), 100 / max(len(values), 12)
    heights = [40 * value / highest for value in values]
    kinds = [*[""] * (len(values) - 1), f' class="{"part" if is_part else "now"}"']
    columns = "".join(
        f'<rect x="{place * step:.2f}" y="{40 - height:.2f}" width="{step * 0.8:.2f}" height="{height:.2f}"{kind}/>'
        for place, (height, kind) in enumerate(zip(heights, kinds, strict=True))
    )
    return f'<svg role="img" aria-label="{title}" viewBox="0 0 100 40" preserveAspectRatio="none">{columns}</svg>'


def bar(value: int, before: int | None) -> str:
    """Return a bar for a value, and a mark where it was before, at a scale that fits both."""
    scale = 100 / max(value, before or 0, 1)
    mark = (
        ""
        if before is None
        else f'<rect class="before" x="{max(before * scale - 1, 0):.2f}" y="0" width="1" height="10"/>'
    )
    return (
        '<svg aria-hidden="true" class="bar" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect class="now" x="0" y="2" width="{value * scale:.2f}" height="6"/>{mark}</svg>'
    )
