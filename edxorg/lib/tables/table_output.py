"""Writes the two files that land: rows and rejects."""

from __future__ import annotations

import codecs
from base64 import b64encode
from binascii import hexlify
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson

from edxorg.lib.rejects import reject_line
from edxorg.lib.tables.table_model import COLUMNS_ADDED, LARGE_ROW, CourseColumns, RejectReason, RowHash
from edxorg.lib.tables.table_records import needs_quotes, written
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RECORD_HEAD: Final = 64 << 10
"""Bytes of an oversized record that its line in the rejects shows."""

MAX_OVERSIZED: Final = 64
"""Oversized records of one table that are kept whole. Each has an open file until it lands."""

_SLICE: Final = 192 << 10
"""Bytes of a record that are checked or escaped at a time. A multiple of 3, for base64."""

_Decoder: Final = codecs.getincrementaldecoder("utf-8")

_TOGETHER: Final = 4096
"""Rows. The columns that are added make short ones many times as long, so not too many are joined at a time."""


class RowWriter:
    """Writes rows with the columns that are added, and a header before the first."""

    def __init__(self, columns: tuple[str, ...], course: CourseColumns, row_hash: RowHash) -> None:
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
            records: The original bytes of the rows.
            rows: Their fields as they are written, with TABs between.
        """
        for start in range(0, len(rows), _TOGETHER):
            self._write_together(records[start : start + _TOGETHER], rows[start : start + _TOGETHER])

    def _write_together(self, records: Sequence[bytes], rows: Sequence[bytes]) -> None:
        # Short rows take most of their time here: one call to hex for all, one join, and no loop over both.
        hashed = map(_without_tabs, records) if self._concatenated else records
        digests = b"".join([sha256(record).digest() for record in hashed])
        parts = [b"", self._added, b"", b"\n"] * len(rows)
        parts[0::4] = rows
        parts[2::4] = hexlify(digests, b"\n", -32).split(b"\n")
        self._begin().write(b"".join(parts))
        self.rows += len(rows)

    def write_big(self, record: bytes, values: Sequence[bytes]) -> None:
        """Write one row, in slices."""
        spool = self._begin()
        before = spool.size
        for index, value in enumerate(values):
            spool.write(b"\t" if index else b"")
            if len(value) < _SLICE:
                spool.write(written(value))
                continue
            quote = b'"' if needs_quotes(value) else b""
            spool.write(quote)
            for start in range(0, len(value), _SLICE):
                spool.write(value[start : start + _SLICE].replace(b'"', b'""'))
            spool.write(quote)
        hashed = _without_tabs(record) if self._concatenated else record
        spool.write(self._added + sha256(hashed).hexdigest().encode() + b"\n")
        self.rows += 1
        self.large_rows += spool.size - before > LARGE_ROW

    def _begin(self) -> Spool:
        if self.spool is None:
            self.spool = Spool()
            self.spool.write(self._header)
        return self.spool


def _without_tabs(record: bytes) -> bytes:
    return record.replace(b"\t", b"")


class RejectLog:
    """Writes records that are set aside, one JSON object a line, and apart from them those too long for a line.

    Attributes:
        counts: The records, by reason.
        spool: The log; None while it is empty.
        oversized: Whole records, each an object of its own.
        lost: Oversized records beyond `MAX_OVERSIZED`, of which only the start is in the log.
    """

    def __init__(self) -> None:
        self.counts: Counter[RejectReason] = Counter()
        self.spool: Spool | None = None
        self.oversized: list[Spool] = []
        self.lost = 0

    def add(self, reason: RejectReason, records: Iterable[tuple[int, bytes]]) -> None:
        """Set records aside.

        Args:
            reason: The reason.
            records: The first line of each, counted from 1, which is the header, and its bytes without line end.
        """
        value = reason.value
        texts = bytearray()  # a list would keep orjson's buffers, 4 KB for each text
        for line, record in records:
            if len(record) > _SLICE:
                self._begin().write(bytes(texts))
                texts.clear()
                self._write(line, reason, record, b"")
                continue
            self.counts[reason] += 1
            texts += reject_line(line, value, record)
            if len(texts) > _SLICE:
                self._begin().write(bytes(texts))
                texts.clear()
        self._begin().write(bytes(texts))

    def add_oversized(self, line: int, record: Spool) -> None:
        """Set a record aside as an object of its own; the log gets its start and its name."""
        head = record.reader().read(RECORD_HEAD)
        if record.size > RECORD_HEAD and is_utf8(head, whole=False):
            # The cut may go through a character, whose first bytes would make a text of good UTF-8 look bad.
            head = _Decoder().decode(head).encode()
        about = {"length": record.size, "sha256": record.sha256, "record": f"{record.sha256}.record"}
        self._write(line, RejectReason.OVERSIZED, head, b"," + orjson.dumps(about)[1:-1])
        if len(self.oversized) < MAX_OVERSIZED:
            self.oversized.append(record)
        else:
            self.lost += 1
            record.close()

    def _begin(self) -> Spool:
        if self.spool is None:
            self.spool = Spool()
        return self.spool

    def _write(self, line: int, reason: RejectReason, record: bytes, more: bytes) -> None:
        """Write one record in slices, since JSON may take six times its bytes."""
        spool = self._begin()
        self.counts[reason] += 1
        text = is_utf8(record)
        start = b'{"line":%d,"reason":"%b","%b":"' % (line, reason.encode(), b"raw" if text else b"raw_base64")
        end = b'"' + more + b"}\n"
        escape = _JsonText() if text else b64encode
        spool.write(start)
        for place in range(0, len(record), _SLICE):
            spool.write(escape(record[place : place + _SLICE]))
        spool.write(end)


class _JsonText:
    """Escapes a text for JSON, slice by slice; a slice may end inside a character."""

    def __init__(self) -> None:
        self._decoder = _Decoder()

    def __call__(self, data: bytes) -> bytes:
        return orjson.dumps(self._decoder.decode(data))[1:-1]


def is_utf8(data: bytes, *, whole: bool = True) -> bool:
    """Return True if bytes are UTF-8; with `whole`, the last character must be complete.

    The text of a long record would take up to four times its bytes, so it is never decoded.
    """
    if data.isascii():
        return True
    decoder = _Decoder()
    try:
        for start in range(0, len(data), _SLICE):
            decoder.decode(data[start : start + _SLICE])
        decoder.decode(b"", whole)
    except UnicodeDecodeError:
        return False
    return True
