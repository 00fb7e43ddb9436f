"""Text of others in Markdown, as a renderer shows it."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ol_orchestrate.lib import markdown

LINKS_OF_GITHUB = re.compile(r"(?i)(https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+\.[-\w]+")
"""The texts that renderers of GitHub's Markdown make links of, once they have decoded them."""


class Cells(HTMLParser):
    """The texts of a table's body, and all tags."""

    def __init__(self, rendered: str) -> None:
        super().__init__(convert_charrefs=True)
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(rendered)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.tags.add(tag)
        self._inside = tag == "td"
        if self._inside:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "td"


def rendered(text: str) -> Cells:
    source = markdown.table({"member": str, "bytes": int}, [(text, 12345)])
    return Cells(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source))


HOSTILE = [
    "`code`",
    "a|b",
    "a\\|b",
    "ends in \\",
    "<script>alert(1)</script>",
    "<b>",
    "&lt;b&gt; &#124;",
    "[click](https://evil.example)",
    "![pixel](//evil.example/x.png)",
    "**bold** _it_ ~~gone~~ # not a heading",
    "- 1. > +",
    "__init__ _x_ a_b_ _c a__b",
    "MITx-1.00x-2024-auth_user-prod-analytics.sql.failed",
    "Zürich 東京 😀",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_with_markup_is_shown_as_it_is(text: str) -> None:
    shown = rendered(text)
    assert [cell.replace("\u2060", "") for cell in shown.cells] == [text, "12,345"]
    assert shown.tags == {"table", "thead", "tbody", "tr", "th", "td"}


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_stays_within_its_cell(text: str) -> None:
    shown = rendered(text)
    assert len(shown.cells) == 2
    assert shown.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert all(character.isprintable() for character in shown.cells[0].replace("\u2060", ""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("a\tb\x00\x1b[31m\x7f", r"a\tb\x00\x1b[31m\x7f"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("lone \ud800", r"lone \ud800"),
    ],
)
def test_an_invisible_character_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert rendered(text).cells[0] == shown


@pytest.mark.parametrize(
    "text", ["https://evil.example/x", "see HTTP://evil.example", "www.evil.example", "a learner@mit.example b"]
)
def test_an_address_does_not_become_a_link(text: str) -> None:
    assert LINKS_OF_GITHUB.search(text)
    decoded = html.unescape(markdown.escaped(text))
    assert not LINKS_OF_GITHUB.search(decoded)
    assert decoded.replace("\u2060", "") == text


@pytest.mark.parametrize("name", ["MITx-1.00x-2024-auth_user-prod-analytics.sql.failed", "course/html/a b.xml:2:1 (x)"])
def test_names_without_markup_can_be_searched_for(name: str) -> None:
    assert markdown.escaped(name) == name


def test_a_long_text_is_cut() -> None:
    assert markdown.escaped("x" * 1_000_000) == "x" * markdown.LONGEST_CELL + "…"


def test_rows_that_are_left_out_are_counted() -> None:
    shown = Cells(MarkdownIt("commonmark").enable("table").render(markdown.table({"a": str, "b": int}, [], total=1234)))
    assert shown.cells == ["and 1,234 more", ""]
