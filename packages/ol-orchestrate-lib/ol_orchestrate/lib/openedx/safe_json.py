"""A parser of untrusted JSON, bounded in values and depth; its errors name the place."""

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
"""Levels of nested objects and lists. Course settings stay below 10; Python's own limit depends on its version."""

_MEMBERS_AT_A_TIME = 200

_BEFORE_VALUES = (b",", b":", b"[", b"{")
"""Marks of which one precedes each value and each name of a member; those inside text are counted as well."""


def parse_json(data: bytes, path: str, problems: ProblemList, *, max_values: int) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON document in UTF-8, with or without a byte order mark.

    NaN and infinities, which Python writes and JSON lacks, are read as null, and reported.

    Args:
        data: The whole document; the caller bounds its size.
        path: The name of the document in errors and problems.
        problems: Receives numbers that are read as null.
        max_values: The limit of values and names of members, together. A parsed one takes about 100 bytes even for a
            short text, so a small document could fill the memory.

    Raises:
        BrokenDocumentError: It is no JSON or no UTF-8, nests deeper than `MAX_JSON_DEPTH`, or has too many values.
    """
    if sum(map(data.count, _BEFORE_VALUES)) > max_values:
        what = f"it may hold more than {max_values:,} values (brackets, commas and colons)"
        raise BrokenDocumentError(Problem(path, what, "Remove what is not needed, and export it again"))
    not_finite = _NotFinite()
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=not_finite.constant, parse_float=not_finite.float)
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
    if not_finite.count:
        what = f"NaN and infinities, which JSON lacks, are read as null; there are {not_finite.count:,}"
        problems.add(path, what, "Put null or a number in their place")
    return value


_REMEDY = "Export the course again, or mend the file"


def _too_deep(path: str) -> Problem:
    return Problem(path, f"JSON nested deeper than {MAX_JSON_DEPTH} levels", _REMEDY)


class _NotFinite:
    """Reads NaN and infinities as null, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def constant(self, _: str) -> None:
        """Count NaN or an infinity, by name."""
        self.count += 1

    def float(self, text: str) -> float | None:
        """Read a number with a fraction or an exponent; beyond the range of 64 bits it would be an infinity."""
        value = float(text)
        if math.isinf(value):
            self.count += 1
            return None
        return value


def too_deep(value: object) -> bool:
    """True if containers are nested deeper than `MAX_JSON_DEPTH`; checked by level, without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
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
    """Yield the text of a JSON object, some members at a time, so that few are in memory as text.

    Args:
        members: Pairs of a name and a value, with unique names.
        encode: Writes any value as JSON, with default separators.
    """
    yield "{"
    remaining = iter(members)
    separator = ""
    while some := dict(islice(remaining, _MEMBERS_AT_A_TIME)):
        yield separator + encode(some)[1:-1]
        separator = ", "
    yield "}"
