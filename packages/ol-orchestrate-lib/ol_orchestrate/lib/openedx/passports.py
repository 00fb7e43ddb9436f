r"""Takes `lti_passports` out of everything that is made from a course.

An LTI passport is a string `id:key:secret`; with it anybody can act as the course towards the tool. Courses keep
theirs under the name `lti_passports`: as an attribute of the course's XML, as a value of a policy, in the metadata of
a structure, and at times once more as JSON or XML text inside another value.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

NAME = "lti_passports"

_STRING = (
    r'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|\'(?:[^\'\\]|\\(?:.|\Z))*+(?:\'|\Z)|&quot;.*?(?:&quot;|\Z)|\\".*?(?:\\"|\Z)'
)
_ASSIGNMENT = re.compile(
    rf"""{NAME}(?:["']|&quot;|&\#34;|\\+")?\s*+[:=]\s*+
    (?:\[(?:{_STRING}|[^\]"'&\\]|[&\\])*+(?:\]|\Z)|{_STRING})""",
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT_START = re.compile(rb"lti_passports(?:[\"']|&quot;|&#34;|\\+\")?\s*+[:=]\s*+(?:[\"'\[]|&quot;|&#34;|\\)")
_LONGEST_START = 256
"""Bytes of an assignment, from the name to its first quote, that are looked for across two chunks of a file."""


def without_passports(value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same kind out
    """A JSON value without the secrets, at any depth; the value itself stays as it is.

    Keys keep their order, so that a value that never had any serialises as before.
    """
    if isinstance(value, dict):
        return {key: without_passports(inner) for key, inner in value.items() if key != NAME}
    if isinstance(value, list):
        return [without_passports(inner) for inner in value]
    if isinstance(value, str) and NAME in value:
        return text_without_passports(value)
    return value


def text_without_passports(text: str) -> str:
    """Text without the secrets: JSON is read as such, in other text the assigned value is cut out.

    Text that only mentions the name, as a page that explains LTI does, stays as it is.
    """
    if NAME not in text:
        return text
    try:
        document = json.loads(text)
        if isinstance(document, (dict, list)):
            return json.dumps(without_passports(document))
    except (ValueError, RecursionError):
        pass  # no JSON, or so deep that it can only be handled as text
    return _ASSIGNMENT.sub(f"{NAME} (left out)", text)


class PassportScan:
    """Tells whether the chunks of a file hold an assignment of passports; for files that are not taken apart."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self.found = False
        self._end = b""

    def feed(self, chunk: bytes) -> None:
        """Look at the next chunk, and across the border to the one before."""
        if not self.found:
            self.found = _ASSIGNMENT_START.search(self._end + chunk) is not None
            self._end = chunk[-_LONGEST_START:]


def strip_passports(root: etree._Element) -> None:
    """Remove the secrets from an XML tree: attributes, elements, and what stands in text, values and comments."""
    for node in list(root.iter()):  # a list, since clearing an element would end the iteration
        if node.tail and NAME in node.tail:
            node.tail = text_without_passports(node.tail)
        if isinstance(node.tag, str) and etree.QName(node).localname == NAME:
            node.clear(keep_tail=True)
            continue
        if node.text and NAME in node.text:
            node.text = text_without_passports(node.text)
        for name, value in node.items():
            if etree.QName(name).localname == NAME:
                del node.attrib[name]
            elif NAME in value:
                node.set(name, text_without_passports(value))
