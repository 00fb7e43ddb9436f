"""Worker processes, and logs normalized by them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.tracking_log import NormalizedLog, normalize_log
from edxorg.lib.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg_tests.support.tracking_logs import Normalize


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(object, workers=2) as running:
        yield running


@pytest.fixture
def normalize(pool: WorkerPool) -> Iterator[Normalize]:
    """Normalize a log given by its lines or its compressed bytes."""
    opened: list[NormalizedLog] = []

    def run(*log: bytes, packed: bytes | None = None, block: int = 1 << 16) -> NormalizedLog:
        data = gzip.compress(b"".join(line + b"\n" for line in log), 1) if packed is None else packed
        blocks = (data[start : start + block] for start in range(0, len(data), block))
        opened.append(
            normalize_log(blocks, name="mitx-edx-events-2024-05-06.log.gz", pool=pool, progress=lambda _: None)
        )
        return opened[-1]

    yield run
    for log in opened:
        log.close()
