"""Measures time and memory of normalizing a day of tracking events."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from benchmarks.measure import Measurement, measured
from edxorg.lib.tracking_log import LogReport, normalize_log
from edxorg.lib.workers import WorkerPool
from edxorg.samples.sample_log import write_sample_log
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 20
_SEED = 1

_TURNS = 3
"""A single run may fall into a slow minute of a shared machine, and its reference into a quick one."""


def run(events: int) -> None:
    """Measure by turns, and print a table for a sample log with this many events (600,000 for a whole day)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mitx-edx-events-2024-05-06.log.gz"
        sample = write_sample_log(path, events=events, seed=_SEED)
        turns = [(_unpack(path), _load_and_dump(path), *_normalize(path)) for _ in range(_TURNS)]
    unpacking, loading, normalizing, reports = zip(*turns, strict=True)
    megabytes = sample.bytes_unpacked / 1e6
    print(
        f"tracking log: {sample.events:,} events, {megabytes:,.0f} MB, {sample.bytes_compressed / 1e6:,.0f} MB "
        f"compressed; medians of {_TURNS} runs by turns"
    )
    columns = ("seconds", "CPU s", "MB/s", "x orjson", "peak MB", "load")
    table = Table(
        "",
        *(Column(heading, justify="right", no_wrap=True) for heading in columns),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    works = {"unpacking": unpacking, "orjson": loading, "normalizing": normalizing}
    for name, runs in works.items():
        seconds = [each.seconds for each in runs]
        table.add_row(
            name,
            _median_and_range(seconds),
            f"{median(each.cpu_seconds for each in runs):.1f}",
            f"{megabytes / median(seconds):.0f}",
            _median_and_range(
                [each.seconds / reference.seconds for each, reference in zip(runs, loading, strict=True)]
            ),
            f"{max(each.peak_bytes for each in runs) / 1e6:.0f}",
            f"{max(each.load for each in runs):.1f}",
        )
    Console().print(table)
    exact = reports[0].exact_path_lines / max(reports[0].lines_out, 1)
    print("orjson loads and dumps each line in one process. To reach: 9 s, 2 x orjson, 512 MB.")
    print(f"{exact:.2%} of the lines took the exact path.")


def _median_and_range(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _unpack(path: Path) -> Measurement:
    with measured() as measurement:
        for _ in gunzip(_blocks(path)):
            pass
    return measurement


def _load_and_dump(path: Path) -> Measurement:
    with measured() as measurement:
        rest = b""
        for piece in gunzip(_blocks(path)):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                with suppress(orjson.JSONDecodeError):
                    orjson.dumps(orjson.loads(line))
    return measurement


def _normalize(path: Path) -> tuple[Measurement, LogReport]:
    with measured() as measurement, WorkerPool(object) as pool:
        log = normalize_log(_blocks(path), name=path.name, pool=pool, progress=lambda _: None)
    log.close()
    return measurement, log.report
