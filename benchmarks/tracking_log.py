"""How fast a day of tracking events is normalised, and in how much memory."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from benchmarks.measure import Measurement, measured
from edxorg.lib.tracking_log import LogReport, normalize_log
from edxorg.lib.workers import WorkerPool
from edxorg.samples.tracking_log import SampleLogSummary, write_sample_log
from ol_orchestrate.lib.archives import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 20
_SEED = 1


def run(events: int) -> None:
    """Print a table for a sample log with this many events (600,000 for a whole day)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mitx-edx-events-2024-05-06.log.gz"
        sample = write_sample_log(path, events=events, seed=_SEED)
        unpacking = _unpack(path)
        loading = _load_and_dump(path)
        normalising, report = _normalize(path)
    print(
        f"tracking log: {sample.events:,} events, {sample.bytes_unpacked / 1e6:,.0f} MB, "
        f"{sample.bytes_compressed / 1e6:,.0f} MB compressed"
    )
    print(f"{'':36} {'seconds':>8} {'CPU s':>8} {'MB/s':>8} {'peak MB':>8} {'load':>6}")
    _print_row("unpacking only", unpacking, sample)
    _print_row("orjson loads and dumps, one process", loading, sample)
    _print_row("normalising", normalising, sample)
    print(
        f"normalising takes {normalising.seconds / loading.seconds:.2f} times as long as loading and dumping "
        f"(at most 2), {normalising.seconds / unpacking.seconds:.1f} times as long as unpacking; "
        f"{report.exact_path_lines / max(report.lines_out, 1):.2%} of the lines took the exact path"
    )


def _print_row(name: str, measurement: Measurement, sample: SampleLogSummary) -> None:
    print(
        f"{name:36} {measurement.seconds:8.2f} {measurement.cpu_seconds:8.2f} "
        f"{sample.bytes_unpacked / 1e6 / measurement.seconds:8.1f} {measurement.peak_bytes / 1e6:8.0f} "
        f"{measurement.load:6.1f}"
    )


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
