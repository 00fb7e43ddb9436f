"""Measures the time until tables and logs of nothing but line ends, quotes or bad lines end."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from benchmarks.measure import Measurement, measured
from edxorg.lib.tables import CourseColumns, convert_table
from edxorg.lib.tracking_log import normalize_log
from edxorg.lib.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 20
_HEADER = b"id\ttext\tlast\n"
_COURSE = CourseColumns("edX-DemoX-2026", "edX", "DemoX", "2026", "edxorg_prod")

_TABLES = {
    "line ends": (_HEADER, b"\n"),
    "CR LF line ends": (_HEADER, b"\r\n"),
    "CRs": (_HEADER, b"\r"),
    "NUL bytes": (_HEADER, b"\0"),
    "one letter": (_HEADER, b"x"),
    "lines of one letter": (_HEADER, b"x\n"),
    "backslashes": (_HEADER, b"\\"),
    "lines of a backslash": (_HEADER, b"\\\n"),
    "TABs": (_HEADER, b"\t"),
    "lines of a TAB": (_HEADER, b"\t\n"),
    "quotes": (_HEADER, b'"'),
    "lines of a quote": (_HEADER, b'"\n'),
    "rows with an open quote": (_HEADER, b'1\t"a""b\n'),
    "good rows with an open quote": (b"id\ttext\n", b'1\t"a""b\n'),
    "good rows of one letter": (b"id\n", b"x\n"),
    "one endless quoted field": (_HEADER + b'1\t"', b"yz\n"),
    "bytes that are no UTF-8": (_HEADER, b"\xff\n"),
}
_LOGS = {
    "blank lines": b"\n",
    "NUL bytes": b"\0",
    "CRs": b"\r",
    "one letter": b"x",
    "lines of one letter": b"x\n",
    "lines of an open object": b"{\n",
    "lines of an empty object": b"{}\n",
    "lines with a key twice": b'{"a":1,"a":1}\n',
    "bytes that are no UTF-8": b"\xff\n",
}


def run(megabytes: int) -> None:
    """Measure each kind with this many megabytes of unpacked input, and print a table."""
    columns = ("seconds", "CPU s", "MB/s", "peak MB", "load")
    table = Table("", *(Column(heading, justify="right", no_wrap=True) for heading in columns), box=SIMPLE_HEAD)
    size = megabytes * 1_000_000
    for name, (start, unit) in _TABLES.items():
        _add(table, f"table: {name}", megabytes, _convert(start, unit, size))
    for name, unit in _LOGS.items():
        _add(table, f"log: {name}", megabytes, _normalize(unit, size))
    Console().print(table)
    print("To reach: 10 MB/s each.")


def _add(table: Table, name: str, megabytes: int, found: Measurement) -> None:
    figures = (found.seconds, found.cpu_seconds, megabytes / found.seconds, found.peak_bytes / 1e6, found.load)
    table.add_row(name, *(f"{figure:.1f}" for figure in figures))


def _blocks(start: bytes, unit: bytes, size: int) -> Iterator[bytes]:
    block = unit * (_BLOCK_BYTES // len(unit))
    yield start
    for _ in range(size // len(block)):
        yield block


def _convert(start: bytes, unit: bytes, size: int) -> Measurement:
    blocks = _blocks(start, unit, size)
    with measured() as measurement:
        table = convert_table(blocks, course=_COURSE)
        for _ in blocks:  # a member is read to its end
            pass
    table.close()
    return measurement


def _normalize(unit: bytes, size: int) -> Measurement:
    compressor = zlib.compressobj(1, wbits=31)
    packed = [*map(compressor.compress, _blocks(b"", unit, size)), compressor.flush()]
    with measured() as measurement, WorkerPool(object) as pool:
        log = normalize_log(packed, name="hostile.log.gz", pool=pool, progress=lambda _: None)
    log.close()
    return measurement
