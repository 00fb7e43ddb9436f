"""Limits of the XML and JSON documents of a course, at the limit and beyond."""

from __future__ import annotations

import io
import tarfile

import pytest

from ol_orchestrate.lib.openedx import read_course
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, ProblemList
from ol_orchestrate.lib.openedx.safe_json import MAX_JSON_DEPTH, parse_json
from ol_orchestrate.lib.openedx.safe_xml import MAX_ATTRIBUTES, parse_xml


def test_an_inline_block_ends_where_its_element_ends() -> None:
    buffer = io.BytesIO()
    vertical = b"<vertical><html>one</html> between <html>two</html></vertical>"
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in (
            ("c/course.xml", b'<course url_name="r" org="o" course="n"/>'),
            ("c/course/r.xml", b"<course/>"),
            ("c/vertical/v.xml", vertical),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    blocks = read_course(buffer, name="x.xml.tar.gz").blocks
    assert {bytes(block.raw_xml) for block in blocks} >= {b"<html>one</html>", b"<html>two</html>"}


def nested(levels: int, inside: bytes) -> bytes:
    return b"[" * levels + inside + b"]" * levels


@pytest.mark.parametrize("inside", [b"", b"1"])
def test_json_may_be_nested_to_the_limit_and_no_deeper(inside: bytes) -> None:
    assert parse_json(nested(MAX_JSON_DEPTH, inside), "x.json", ProblemList(), max_values=1_000)
    with pytest.raises(BrokenDocumentError, match="nested deeper than 100 levels"):
        parse_json(nested(MAX_JSON_DEPTH + 1, inside), "x.json", ProblemList(), max_values=1_000)


@pytest.mark.parametrize(("data", "line"), [(b'{"a": "\xff"}', 1), (b'\n{"a": "\xff"}', 2), (b'{\n"a":\n"\xff"}', 3)])
def test_bytes_that_are_no_utf_8_are_told_by_their_line(data: bytes, line: int) -> None:
    with pytest.raises(BrokenDocumentError) as caught:
        parse_json(data, "x.json", ProblemList(), max_values=1_000)
    assert caught.value.problem.line == line


@pytest.mark.parametrize("padding", [b"", b"==="])
def test_an_element_may_have_attributes_to_the_limit_and_no_more(padding: bytes) -> None:
    def document(count: int) -> bytes:
        return b"<p " + b" ".join(b"a%d=''" % number for number in range(count)) + b">" + padding + b"</p>"

    assert len(parse_xml(document(MAX_ATTRIBUTES), "x.xml").attrib) == MAX_ATTRIBUTES
    with pytest.raises(BrokenDocumentError, match="more than 1000 attributes"):
        parse_xml(document(MAX_ATTRIBUTES + 1), "x.xml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_a_document_is_read_in_its_encoding_whatever_it_declares(encoding: str) -> None:
    text = '<?xml version="1.0"\n encoding="UTF-16"?>\n<p>é</p>'
    assert parse_xml(text.encode(encoding), "x.xml").text == "é"
