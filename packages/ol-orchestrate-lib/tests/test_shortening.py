"""Lists that are too long to be shown."""

from __future__ import annotations

import pytest

from ol_orchestrate.lib.shortening import first_and_more


@pytest.mark.parametrize(
    ("items", "total", "shown"),
    [
        ("", None, []),
        ("ab", None, ["a", "b"]),
        ("abc", None, ["a", "b", "and 1 more"]),
        ("abc", 1234, ["a", "b", "and 1,232 more"]),
        ("a", 3, ["a", "and 2 more"]),
        ("ab", 2, ["a", "b"]),
    ],
)
def test_a_list_over_its_limit_ends_with_the_number_of_the_others(
    items: str, total: int | None, shown: list[str]
) -> None:
    assert first_and_more(items, 2, total=total) == shown
