"""The links of all pages lead to files and headings that are there."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from markdown_it import MarkdownIt

from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")])
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Page(NamedTuple):
    """The links and the anchors of a page."""

    links: list[str]
    anchors: set[str]


@cache
def read(path: Path) -> Page:
    tokens = MARKDOWN.parse(path.read_text(encoding="utf-8"))
    headings = [tokens[number + 1].content for number, token in enumerate(tokens) if token.type == "heading_open"]
    return Page(list(links_in(tokens)), set(anchors_of(headings)))


def links_in(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        for name in ("href", "src"):
            if link := token.attrGet(name):
                yield str(link)
        yield from links_in(token.children or [])


def anchors_of(headings: list[str]) -> Iterator[str]:
    """As GitHub makes them."""
    seen: Counter[str] = Counter()
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


def is_broken(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return not target.exists() or (bool(anchor) and anchor not in read(target).anchors)


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    within = [link for link in read(page).links if not re.match(r"[a-z]+:", link)]
    assert [link for link in within if is_broken(page, link)] == []


@pytest.mark.parametrize(
    "page", [each for each in PAGES if each.is_relative_to(ROOT / "docs")], ids=lambda each: each.stem
)
def test_a_page_is_reached_by_a_link_from_another(page: Path) -> None:
    others = [(other, link) for other in PAGES if other != page for link in read(other).links]
    assert any((other.parent / link.partition("#")[0]).resolve() == page for other, link in others)


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("docs/tables.md", False),
        ("docs/tables.md#three-dialects", False),
        ("docs/lineage.png", False),
        ("docs/tables.md#four-dialects", True),
        ("docs/no-such-page.md", True),
        ("#try-it", False),
        ("#no-such-heading", True),
    ],
)
def test_a_link_without_its_file_or_heading_counts_as_broken(link: str, broken: bool) -> None:  # noqa: FBT001
    assert is_broken(ROOT / "README.md", link) is broken


def test_the_architecture_names_code_that_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    roots = (ROOT / "edxorg", ROOT / "packages/ol-orchestrate-lib", ROOT / "edxorg/lib/tracking_log")
    files = {
        name: [root / name for root in roots if (root / name).is_file()] for name in re.findall(r"`([\w/]+\.py)`", text)
    }
    assert [name for name, found in files.items() if not found] == []
    named = re.findall(r"`(?:\w+\.)?(\w+)`\s\(`([\w/]+\.py)`\)", text)
    assert named
    assert [(name, file) for name, file in named if not re.search(rf"\b{name}\b", files[file][0].read_text())] == []
