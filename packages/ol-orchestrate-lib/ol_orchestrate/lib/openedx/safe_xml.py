"""A parser of untrusted XML: no DTD, no entities, nothing fetched, and bounded; its errors name the place."""

from __future__ import annotations

import codecs
import re

from lxml import etree  # type: ignore[import-untyped]

from ol_orchestrate.lib.openedx.passports import NAME as PASSPORTS
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, Problem

MAX_MARKUP = 100_000
"""Most `<` in one document, and most `=`. A parsed element with an attribute takes 600 bytes even for a short text, so
a small file could fill the memory; the largest course files have some thousands."""

MAX_ATTRIBUTES = 1_000
"""Attributes of one element. Reading them all takes time that grows with the square of their number; a block has some
dozen."""

_ASCII_BASED = frozenset({"iso8859-1", "iso8859-15", "cp1252"})
"""Supported encodings besides UTF-8 and UTF-16, by Python's names; ASCII text has the same bytes in them."""

_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")
_DOCTYPE = re.compile(rb"\A(?:\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_REMEDY = "Mend the file in the course, or export the course again"


def parse_xml(data: bytes, path: str) -> etree._Element:
    """Read an XML document and return its root element; comments and CDATA sections stay.

    Args:
        data: The whole document; the caller bounds its size.
        path: The name of the document in errors.

    Raises:
        BrokenDocumentError: It is not well-formed (an unrendered template, for example), has a DTD or an unsupported
            encoding, passes a limit above, or holds a text or a nesting beyond libxml2's limits (10 MB, 256 levels).
    """
    data = _in_utf8(data, path)
    if _DOCTYPE.match(data):
        raise _broken(path, "a DTD is refused, as it can read files and fill the memory", remedy="Remove <!DOCTYPE")
    if data.count(b"<") > MAX_MARKUP or data.count(b"=") > MAX_MARKUP:
        raise _broken(path, f"more than {MAX_MARKUP} tags or attributes", remedy="Split the file")
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        line, column = error.position
        what = "broken XML"
        if PASSPORTS.encode() not in data:  # the message quotes names, which may be parts of an unescaped secret
            said = (error.msg or "no document").partition(", line ")[0]  # the place has columns of its own
            what += f": {said.strip()}"  # some of the messages end with a line end
        problem = Problem(path, what, _REMEDY, line or None, column or None)
        raise BrokenDocumentError(problem) from None
    many = data.count(b"=") > MAX_ATTRIBUTES
    if many and any(len(element.attrib) > MAX_ATTRIBUTES for element in root.iter(etree.Element)):
        raise _broken(path, f"an element with more than {MAX_ATTRIBUTES} attributes")
    return root


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",  # whatever the document declares
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        strip_cdata=False,
    )


def _in_utf8(data: bytes, path: str) -> bytes:
    """Return the document in UTF-8, without a byte order mark.

    The declared encoding counts only if the document is not UTF-8, since the platform reads every file as UTF-8.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not data.startswith(codecs.BOM_UTF32_LE):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            raise _broken(path, "broken XML: it begins as UTF-16 and is not") from None
        return re.sub(r"\A\s*<\?xml.*?\?>", "", text, flags=re.DOTALL).encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if data[:4].count(0) or not data.lstrip().startswith(b"<"):
        raise _broken(path, "broken XML: it does not begin with a tag")
    declared = _ENCODING.match(data)
    if declared is None or (codec := _codec_name(declared[1])) == "utf-8" or _is_utf8(data):
        return data
    if codec not in _ASCII_BASED:
        raise _broken(path, f"the encoding {declared[1].decode('ascii', 'replace')!r} is not read", remedy="Use UTF-8")
    try:
        return data.decode(codec).encode()
    except UnicodeDecodeError:
        raise _broken(path, f"broken XML: it is neither UTF-8 nor {codec}") from None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _codec_name(declared: bytes) -> str:
    try:
        return codecs.lookup(declared.decode("ascii")).name
    except (LookupError, ValueError):
        return ""


def _broken(path: str, what: str, *, remedy: str = _REMEDY) -> BrokenDocumentError:
    return BrokenDocumentError(Problem(path, what, remedy))
