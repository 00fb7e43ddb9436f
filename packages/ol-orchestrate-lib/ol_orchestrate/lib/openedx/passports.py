r"""Removes `lti_passports` from everything that is made from a course.

An LTI passport is a string `id:key:secret`, which lets its bearer act as the course towards the tool. Courses keep
theirs under the name `lti_passports`: as an attribute of the course's XML, as a value of a policy, in the metadata of
a structure, and sometimes again as JSON or XML text inside another value.
"""

from __future__ import annotations

import json
import operator
import re
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

from ol_orchestrate.lib.openedx.safe_json import too_deep

NAME = "lti_passports"

_QUOTE = r"""(?:["']|&(?:quot|apos|\#\w+);|\\+["'])"""
_STRING = (
    r'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|\'(?:[^\'\\]|\\(?:.|\Z))*+(?:\'|\Z)|&quot;.*?(?:&quot;|\Z)|\\".*?(?:\\"|\Z)'
)
_ASSIGNMENT = re.compile(
    rf"{NAME}{_QUOTE}*+\s*+[:=]\s*+(?:\[(?:{_STRING}|[^\]\"'&\\]|[&\\])*+(?:\]|\Z)|{_STRING})", re.DOTALL
)
_PART = r"""[^\s:"'<>\[\](){},;&=\\]"""
_PASSPORT = re.compile(
    rf"(?<!{_PART})(?![\dTZ:.+\-]{{5,40}}+(?![^\s\"'<>,;)\]])){_PART}{{1,256}}+:(?!//){_PART}{{1,256}}+:[^\s\"'<>]++"
)
"""Text in the form of a passport, quoted or not, that is neither a time nor a URL."""

_ASSIGNMENT_OR_PASSPORT = re.compile(
    rf"{NAME}{_QUOTE}*+\s*+[:=]\s*+(?:{_QUOTE}|\[)|(?<={_PART}):(?!//|\d\d:\d\d){_PART}{{1,256}}+:\S".encode()
)
_WIDE_NAME = NAME.encode("utf-16-le")[:-1]
_LONGEST_BEGINNING = 512
"""Bytes at the end of a chunk that are searched again with the next one, as they may begin a passport."""


def without_passports(value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same kind out
    """Return a JSON value without the secrets, at any depth; the given value is not changed.

    Keys keep their order, so a value without secrets serializes as before. Parts without secrets are shared, not
    copied, to save memory.
    """
    if isinstance(value, dict):
        members = {key: without_passports(inner) for key, inner in value.items() if key != NAME}
        same = len(members) == len(value) and all(map(operator.is_, members.values(), value.values()))
        return value if same else members
    if isinstance(value, list):
        items = [without_passports(inner) for inner in value]
        return value if all(map(operator.is_, items, value)) else items
    return text_without_passports(value) if isinstance(value, str) else value


def text_without_passports(text: str) -> str:
    """Return a text without the secrets: in JSON by name, in other text by assignment to the name or by their form.

    A text that only mentions the name, such as a page about LTI, stays unchanged.
    """
    if NAME not in text:
        return text
    try:
        document = json.loads(text)
        if isinstance(document, (dict, list)) and not too_deep(document):
            text = json.dumps(without_passports(document))
    except (ValueError, RecursionError):
        pass  # no JSON, or so deep that it can only be handled as text
    return _cut(text) if NAME in text else text


def _cut(text: str) -> str:
    return _PASSPORT.sub("(left out)", _ASSIGNMENT.sub(f"{NAME} (left out)", text))


class PassportScan:
    """Searches the chunks of a file for passports after their name, for files that are not parsed."""

    def __init__(self) -> None:
        self.found = False
        self._named = False
        self._end = b""

    def feed(self, chunk: bytes) -> None:
        """Search the next chunk, and the border to the one before."""
        if self.found:
            return
        seen = self._end + chunk
        self._named = self._named or NAME.encode() in seen
        self.found = _WIDE_NAME in seen or (self._named and _ASSIGNMENT_OR_PASSPORT.search(seen) is not None)
        self._end = seen[-_LONGEST_BEGINNING:]


def strip_passports(root: etree._Element) -> None:
    """Remove the secrets from an XML tree: attributes, elements, and parts of texts, values and comments."""
    for node in list(root.iter()):  # a list, since clearing an element would end the iteration
        if isinstance(node.tag, str) and etree.QName(node).localname == NAME:
            node.clear(keep_tail=True)
            continue
        for name, value in node.items():
            if etree.QName(name).localname == NAME:
                del node.attrib[name]
            elif NAME in value:
                node.set(name, text_without_passports(value))
    texts = [(node, place) for node in root.iter() for place in ("text", "tail") if getattr(node, place)]
    if any(NAME in getattr(node, place) for node, place in texts):
        # A page that names them may have them in another element.
        for node, place in texts:
            text = getattr(node, place)
            if (cut := text_without_passports(text) if NAME in text else _cut(text)) != text:
                setattr(node, place, cut)  # only if it differs, as this turns a CDATA section into text
