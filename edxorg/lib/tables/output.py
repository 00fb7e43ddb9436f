"""The two files that land: rows, and what was set aside."""

from __future__ import annotations

import codecs
from base64 import b64encode
from binascii import hexlify
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson

from edxorg.lib.spool import Spool
from edxorg.lib.tables.grammar import written
from edxorg.lib.tables.model import COLUMNS_ADDED, LARGE_ROW, CourseColumns, Reason, RowHash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.tables.model import TableReport

RECORD_HEAD: Final = 64 << 10
"""Bytes of an oversized record that its line in the rejects shows."""

_SLICE: Final = 192 << 10
"""Bytes of a record that are checked or escaped at a time. A multiple of 3, for base64."""

_BIG: Final = 1 << 20
"""Bytes of a row from which on it is written by itself, not joined with others first."""


class RowWriter:
    """Rows, with the columns that are added and a header before the first."""

    def __init__(self, columns: tuple[str, ...], course: CourseColumns, row_hash: RowHash) -> None:
        """Nothing is written yet."""
        values = (course.key, course.organization, course.number, course.run, course.source_platform)
        self._header = "\t".join([*columns, *COLUMNS_ADDED]).encode() + b"\n"
        self._added = b"\t" + b"\t".join(written(value.encode()) for value in values) + b"\t"
        self._concatenated = row_hash is RowHash.CONCATENATED
        self.spool: Spool | None = None
        self.rows = 0
        self.large_rows = 0

    def write(self, records: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Write rows.

        Args:
            records: Their original bytes.
            rows: Their fields as they are written, with TABs between.
        """
        if not rows:
            return
        if self.spool is None:
            self.spool = Spool()
            self.spool.write(self._header)
        if self._concatenated:
            records = [record.replace(b"\t", b"") for record in records]
        # For short rows this is where the time goes: one call to hex for all, one join, and no loop over both.
        digests = b"".join([sha256(record).digest() for record in records])
        hashes = hexlify(digests, b"\n", -32) + b"\n"
        ends = [hashes[start : start + 65] for start in range(0, len(hashes), 65)]
        longest = max(map(len, rows))
        if longest < _BIG:
            parts = [b""] * (3 * len(rows))
            parts[0::3] = rows
            parts[1::3] = [self._added] * len(rows)
            parts[2::3] = ends
            self.spool.write(b"".join(parts))
        else:
            for row, end in zip(rows, ends, strict=True):
                for start in range(0, len(row), _BIG):
                    self.spool.write(memoryview(row)[start : start + _BIG])
                self.spool.write(self._added + end)
                self.large_rows += len(row) + len(self._added) + len(end) > LARGE_ROW
        self.rows += len(rows)


class RejectLog:
    """Records that were set aside, one JSON object a line, and those too long for a line."""

    def __init__(self, report: TableReport) -> None:
        """Nothing is written yet. What is set aside is counted in `report`."""
        self._report = report
        self.spool: Spool | None = None
        self.oversized: list[Spool] = []

    def add(self, line: int, reason: Reason, record: bytes) -> None:
        """Set a record aside.

        Args:
            line: The first of its lines, counted from 1, which is the header.
            reason: Why.
            record: Its bytes without line end.
        """
        self._write(line, reason, record, b"")

    def add_oversized(self, line: int, record: Spool) -> None:
        """Set a record aside that is an object of its own; the log gets its start, and tells its name."""
        head = record.reader().read(RECORD_HEAD)
        if record.size > RECORD_HEAD and is_utf8(head, whole=False):
            # The cut may go through a character, whose first bytes would make a text of good UTF-8 look bad.
            head = codecs.getincrementaldecoder("utf-8")().decode(head).encode()
        about = {"length": record.size, "sha256": record.sha256, "record": f"{record.sha256}.record"}
        self._write(line, Reason.OVERSIZED, head, b"," + orjson.dumps(about)[1:-1])
        self.oversized.append(record)

    def _write(self, line: int, reason: Reason, record: bytes, more: bytes) -> None:
        if self.spool is None:
            self.spool = Spool()
        self._report.rejected[reason] += 1
        write = self.spool.write
        write(b'{"line":%d,"reason":"%b",' % (line, reason.encode()))
        # In slices, since JSON may take six times the bytes of a record.
        slices = (record[start : start + _SLICE] for start in range(0, len(record), _SLICE))
        if is_utf8(record):
            write(b'"raw":"')
            decoder = codecs.getincrementaldecoder("utf-8")()
            for each in slices:
                write(orjson.dumps(decoder.decode(each))[1:-1])
        else:
            write(b'"raw_base64":"')
            for each in slices:
                write(b64encode(each))
        write(b'"' + more + b"}\n")


def is_utf8(data: bytes, *, whole: bool = True) -> bool:
    """Whether bytes are UTF-8; `whole` says that the last character must be complete.

    A text of a long record would take up to four times its bytes, so it is never made.
    """
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _SLICE):
            decoder.decode(data[start : start + _SLICE])
        decoder.decode(b"", whole)
    except UnicodeDecodeError:
        return False
    return True
