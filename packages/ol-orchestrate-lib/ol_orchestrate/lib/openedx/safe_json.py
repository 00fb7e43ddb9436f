"""JSON from outside: bounded in values and depth, and with an error that says where it is broken."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ol_orchestrate.lib.openedx.problems import ProblemList

MAX_JSON_DEPTH = 100
"""Nested objects and lists. Course settings stay below 10; where Python's own reader breaks depends on its version."""

_MEMBERS_AT_A_TIME = 200

_BEFORE_VALUES = (b",", b":", b"[", b"{")
"""One of these stands before each value and each name of a member; those inside text are counted as well."""


def parse_json(data: bytes, path: str, problems: ProblemList, *, max_values: int) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON document in UTF-8, with or without a byte order mark.

    NaN and infinities, which Python writes and JSON has not, are read as null, and listed.

    Args:
        data: The whole document; whoever read it has bounded its size.
        path: What to call it in an error or a problem.
        problems: Learns of numbers that are read as null.
        max_values: Values and names of members that it may hold. A parsed one takes about 100 bytes, however short
            its text, so a small document could fill the memory.

    Raises:
        BrokenDocumentError: It is no JSON, not UTF-8, nested deeper than `MAX_JSON_DEPTH`, or may hold too many values.
    """
    if sum(map(data.count, _BEFORE_VALUES)) > max_values:
        what = f"it may hold more than {max_values:,} values (brackets, commas and colons)"
        raise BrokenDocumentError(Problem(path, what, "Remove what is not needed, and export it again"))
    no_numbers = _NoNumbers()
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=no_numbers.constant, parse_float=no_numbers.float)
    except json.JSONDecodeError as error:
        problem = Problem(path, f"broken JSON: {error.msg}", _REMEDY, error.lineno, error.colno)
        raise BrokenDocumentError(problem) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"broken JSON: byte {error.start} is no UTF-8"
        raise BrokenDocumentError(Problem(path, what, _REMEDY, line)) from None
    except RecursionError:
        raise BrokenDocumentError(_too_deep(path)) from None
    except ValueError as error:
        raise BrokenDocumentError(Problem(path, f"broken JSON: {error}", _REMEDY)) from None
    if too_deep(value):
        raise BrokenDocumentError(_too_deep(path))
    if no_numbers.count:
        what = f"numbers that JSON has not, NaN or infinities, are read as null; there are {no_numbers.count:,}"
        problems.add(path, what, "Put null or a number in their place")
    return value


_REMEDY = "Export the course again, or mend the file"


def _too_deep(path: str) -> Problem:
    return Problem(path, f"JSON nested deeper than {MAX_JSON_DEPTH} levels", _REMEDY)


class _NoNumbers:
    """Counts the numbers of a document that are none in JSON."""

    def __init__(self) -> None:
        self.count = 0

    def constant(self, _: str) -> None:
        """NaN, or an infinity by name."""
        self.count += 1

    def float(self, text: str) -> float | None:
        """A number with a fraction or an exponent; beyond what 64 bits hold it would be an infinity."""
        value = float(text)
        if math.isinf(value):
            self.count += 1
            return None
        return value


def too_deep(value: object) -> bool:
    """Whether containers are nested deeper than `MAX_JSON_DEPTH`; found level by level, which costs no stack."""
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [
            inner
            for node in level
            if isinstance(node, (dict, list))
            for inner in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return any(isinstance(node, (dict, list)) for node in level)


def object_pieces(members: Iterable[tuple[str, Any]], encode: Callable[[Any], str]) -> Iterator[str]:
    """The text of a JSON object, some members at a time, so that few are in memory as text.

    Args:
        members: Names, no two alike, and values.
        encode: Writes any value as JSON, with default separators.
    """
    yield "{"
    remaining = iter(members)
    separator = ""
    while some := dict(islice(remaining, _MEMBERS_AT_A_TIME)):
        yield separator + encode(some)[1:-1]
        separator = ", "
    yield "}"
