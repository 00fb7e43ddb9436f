"""What the tests of the normalizer share: a log's rows and rejects as plain values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from edxorg.lib.tracking_log import NormalizedLog

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
