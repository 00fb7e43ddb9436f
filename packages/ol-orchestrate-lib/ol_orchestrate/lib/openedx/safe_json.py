"""JSON from outside: bounded in size and depth, and with an error that says where it is broken."""

from __future__ import annotations

import json
import math
from typing import Any

from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, Problem

MAX_JSON_DEPTH = 100
"""Nested objects and lists. Course settings stay below 10; where Python's own reader breaks depends on its version."""


class _NotANumberError(ValueError):
    """NaN or an infinity, which Python's reader takes and JSON has not."""


def parse_json(data: bytes, path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON document in UTF-8, with or without a byte order mark.

    Args:
        data: The whole document; whoever read it has bounded its size.
        path: What to call it in an error.

    Raises:
        BrokenDocumentError: It is no JSON, not UTF-8, holds a number that JSON has not (NaN, an infinity), or is
            nested deeper than `MAX_JSON_DEPTH`.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite)
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
    return value


_REMEDY = "Export the course again, or mend the file"


def _too_deep(path: str) -> Problem:
    return Problem(path, f"JSON nested deeper than {MAX_JSON_DEPTH} levels", _REMEDY)


def _refuse_constant(name: str) -> float:
    message = f"{name} is no JSON number"
    raise _NotANumberError(message)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        message = "a number is too large for a 64-bit float"
        raise _NotANumberError(message)
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
