"""What the tests of the normalizer share: a log's rows and rejects as plain values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from edxorg.lib.tracking_log import NormalizedLog
from edxorg.lib.tracking_log.fast_path import read_quickly

Normalize = Callable[..., NormalizedLog]
"""The fixture of that name: takes lines, or `packed` bytes that arrive in pieces of `block`."""

MIB = 1 << 20


def rows(log: NormalizedLog) -> list[dict[str, str | None]]:
    assert log.problem is None
    assert log.output is not None
    return [json.loads(line) for line in gzip.decompress(log.output.reader().read()).splitlines()]


def rejects(log: NormalizedLog) -> list[dict[str, Any]]:
    if log.rejects is None:
        return []
    return [json.loads(line) for line in gzip.decompress(log.rejects.reader().read()).splitlines()]


def reasons(log: NormalizedLog) -> list[tuple[int, str]]:
    return [(reject["line"], reject["reason"]) for reject in rejects(log)]


def read_each(lines: list[str]) -> list[tuple[tuple[str, ...], list[bytes]] | None]:
    """The keys and values of lines that are read together; None for those that must be read exactly."""
    found: list[tuple[tuple[str, ...], list[bytes]] | None] = [None] * len(lines)
    for events in read_quickly([line.encode() + b"\n" for line in lines]):
        for event in events.one_by_one():
            (place,) = event.places
            assert found[place] is None
            found[place] = event.keys, [bytes(value) for (value,) in event.columns]
    return found
