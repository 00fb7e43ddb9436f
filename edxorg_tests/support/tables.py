"""What the tests of the table converter share: conversions as plain values, and the writers of the known dialects."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edxorg.lib.tables import ConvertedTable, CourseColumns, TableOptions, TableReport, convert_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ol_orchestrate.lib.spool import Spool

csv.field_size_limit(sys.maxsize)

COURSE = CourseColumns("MITx-6.00x-2012_Fall", "MITx", "6.00x", "2012_Fall", "edxorg_prod")
ADDED = ("MITx-6.00x-2012_Fall", "MITx", "6.00x", "2012_Fall", "edxorg_prod")


@dataclass(frozen=True)
class Converted:
    """A conversion, read and closed."""

    output: bytes | None
    rejects: list[dict[str, Any]]
    oversized: list[bytes]
    report: TableReport
    problem: str | None

    @property
    def rows(self) -> list[list[str]]:
        """The table's own values."""
        return [row[: len(self.report.columns)] for row in self.records[1:]]

    @property
    def hashes(self) -> list[str]:
        return [row[-1] for row in self.records[1:]]

    @property
    def records(self) -> list[list[str]]:
        """What Python's `csv` reads, the header included."""
        text = io.StringIO((self.output or b"").decode(), newline="")
        return list(csv.reader(text, delimiter="\t", strict=True))

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(reject["line"], reject["reason"]) for reject in self.rejects]


def convert(data: bytes | Iterable[bytes], **options: Any) -> Converted:  # noqa: ANN401 - those of `TableOptions`
    blocks = [data] if isinstance(data, bytes) else data
    table = convert_table(blocks, course=COURSE, options=TableOptions(**options))
    try:
        return _read(table)
    finally:
        table.close()


def _read(table: ConvertedTable) -> Converted:
    output = None if table.rows is None else _content(table.rows)
    rejects = [] if table.rejects is None else [json.loads(line) for line in _content(table.rejects).splitlines()]
    if output is not None and len(output) < 1 << 20:  # reading a million rows takes seconds
        records = csv.reader(io.StringIO(output.decode(), newline=""), delimiter="\t", strict=True)
        assert output.decode() == "".join("\t".join(map(_as_written, record)) + "\n" for record in records)
    report = table.report
    assert report.records_in == report.rows_out + report.rejected.total()
    assert report.rejected == Counter(reject["reason"] for reject in rejects)
    return Converted(output, rejects, [_content(spool) for spool in table.oversized], report, table.problem)


def _as_written(value: str) -> str:
    """A field is in quotes only if it must be."""
    doubled = value.replace('"', '""')
    return f'"{doubled}"' if set(value) & set('\t"\r\n') else value


def _content(spool: Spool) -> bytes:
    return spool.reader().read()


def raw(reject: dict[str, Any]) -> bytes:
    """The bytes of a rejected record."""
    if "raw" in reject:
        return str(reject["raw"]).encode()
    return base64.b64decode(reject["raw_base64"])


def split(data: bytes, *places: int) -> list[bytes]:
    """The same bytes in blocks."""
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


Value = str | None
"""None is SQL's NULL."""

Table = list[list[Value]]


def exporter(rows: Sequence[Sequence[Value]]) -> bytes:
    """`mysql_query.py` of edx-analytics-exporter: four escapes, no quotes."""
    return _lines(rows, exporter_value)


def exporter_value(value: Value) -> str:
    if value is None:
        return "NULL"
    for character, pair in (("\\", "\\\\"), ("\r", "\\r"), ("\t", "\\t"), ("\n", "\\n"), ("\0", "")):
        value = value.replace(character, pair)
    return value


def mysql_batch(rows: Sequence[Sequence[Value]]) -> bytes:
    """`mysql --batch`, as before November 2015: a NUL is escaped, a CR is not."""
    return _lines(rows, mysql_batch_value)


def mysql_batch_value(value: Value) -> str:
    if value is None:
        return "NULL"
    for character, pair in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\0", "\\0")):
        value = value.replace(character, pair)
    return value


def mysqlpipe(rows: Sequence[Sequence[Value]]) -> bytes:
    """`csv_util.py` of edx-analytics-pipeline: a backslash before the raw character."""
    return _lines(rows, mysqlpipe_value)


def mysqlpipe_value(value: Value) -> str:
    if value is None:
        return "NULL"
    for character in "\\\t\n":
        value = value.replace(character, "\\" + character)
    return value


def csv_minimal(rows: Sequence[Sequence[Value]]) -> bytes:
    """Python's `csv` with LF line ends, as newer production files look."""
    return _csv(rows, csv.QUOTE_MINIMAL)


def csv_all(rows: Sequence[Sequence[Value]]) -> bytes:
    return _csv(rows, csv.QUOTE_ALL)


def csv_value(value: Value) -> str:
    return "NULL" if value is None else value


def _lines(rows: Sequence[Sequence[Value]], write: Callable[[Value], str]) -> bytes:
    return "".join("\t".join(map(write, row)) + "\n" for row in rows).encode()


def _csv(rows: Sequence[Sequence[Value]], quoting: int) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=quoting)  # type: ignore[arg-type] # an int in 3.11
    writer.writerows([csv_value(value) for value in row] for row in rows)
    return text.getvalue().encode()
