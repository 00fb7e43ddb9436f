"""Reads records of RFC 4180, strictly, as in the dialect *quoted*."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.table_model import Dialect, RejectReason
from edxorg.lib.tables.table_records import Record, fitted_record

if TYPE_CHECKING:
    from collections.abc import Sequence

MALFORMED: Final = 0
OPEN: Final = -1

_INSIDE = rb'[^"]*+(?:""[^"]*+)*+'
"""The pattern of the bytes between the quotes of a quoted field."""

_WRAPPED = b'"' + _INSIDE + b'"'
_BARE = rb'[^"\t]*+'


def _patterns(*, crlf: bool) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return the patterns of a record's first line and of its other lines. Their last group matches an open field."""
    last = _WRAPPED + (rb"\r\Z|" if crlf else rb"\Z|") + _BARE + (rb"(?<=\r)\Z" if crlf else rb"\Z")
    fields = b'(?:(?:%b|%b)\\t)*+(?:%b|(?P<open>"%b\\Z))' % (_WRAPPED, _BARE, last, _INSIDE)
    end = rb"\r\Z" if crlf else rb"\Z"
    return re.compile(fields), re.compile(b'%b(?:(?P<still>\\Z)|"(?:%b|\\t%b))' % (_INSIDE, end, fields))


_START, _RESUME = zip(_patterns(crlf=False), _patterns(crlf=True), strict=True)

_REGULAR_FIELD: Final = rb'(?:"[^"\t\r]*+(?:""[^"\t\r]*+)*+"|[^"\t\r]*+)'
_REGULAR: Final = re.compile(rb"%b(?:\t%b)*+\Z" % (_REGULAR_FIELD, _REGULAR_FIELD))
_DOUBLED_INSIDE: Final = re.compile(rb'""[^\t]')
_NEEDLESS: Final = re.compile(rb'(?<![^\t])"([^"\t]*+)"(?![^\t])')
_QUOTED_FIELD: Final = re.compile(b"(?:\\A|\\t)(%b|%b)" % (_WRAPPED, _BARE))
_NEEDS_QUOTES: Final = re.compile(rb'""|[\t\r\n]')
_NEEDS_QUOTES_IN_ONE_COLUMN: Final = re.compile(rb'""|[\t\r]')


def quoted_span(lines: Sequence[bytes], start: int, *, crlf: bool) -> int:
    """Count the lines of the RFC 4180 record that starts at `lines[start]`.

    Returns:
        The number; `MALFORMED` if its quotes are wrong; `OPEN` if a field is still open after the last line.
    """
    match = _START[crlf].match(lines[start])
    if match is None:
        return MALFORMED
    if match.lastgroup is None:
        return 1
    # `islice` would go through all lines before the first one, each time.
    for count in range(2, len(lines) - start + 1):
        match = _RESUME[crlf].match(lines[start + count - 1])
        if match is None:
            return MALFORMED
        if match.lastgroup is None:
            return count
    return OPEN


def read_quoted(lines: Sequence[bytes], start: int, span: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]`, which has `quoted_span` lines; with wrong quotes it is the line."""
    if span <= 0:
        raw = lines[start].removesuffix(b"\r") if crlf else lines[start]
        return Record(
            1, raw, Dialect.QUOTED, raw.count(b"\t"), RejectReason.QUOTES if b'"' in raw else RejectReason.LINE_END
        )
    raw = b"\n".join(lines[start : start + span])
    found = raw.count(b"\t")
    if b'"' in raw:
        # One more than there should be is enough to know, and a hostile line may have millions.
        found = sum(1 for _ in islice(_QUOTED_FIELD.finditer(raw), tabs + 2)) - 1
    return fitted_record(span, raw, Dialect.QUOTED, found, tabs, crlf=crlf)


def quoted_fields(record: bytes) -> list[bytes]:
    """Return the fields of a record that fits *quoted*, as they stand in the file."""
    return _QUOTED_FIELD.findall(record) if b'"' in record else record.split(b"\t")


def unwrap_quoted(field: bytes) -> bytes:
    """Return the value of a field in *quoted*."""
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def is_regular(line: bytes, tabs: int) -> bool:
    """Return True if a line is a record of RFC 4180 with the right number of fields, without a TAB, CR or LF in one."""
    return line.count(b"\t") == tabs and _REGULAR.match(line) is not None


def regular_shows_quoting(line: bytes) -> bool:
    """`shows_quoting` for a regular line."""
    return b'""' in line and _DOUBLED_INSIDE.search(line) is not None


def regular_row(line: bytes) -> bytes:
    """Return a regular line as it is written if it is read as *quoted*."""
    return _NEEDLESS.sub(rb"\1", line) if b'""' in line else line.replace(b'"', b"")


def shows_quoting(record: Record, *, crlf: bool) -> bool:
    """Return True if a record that fits *quoted* has a quoted field with something inside that needs the quotes.

    In a table of one column a LF inside proves nothing: its lines may as well be plain records.
    """
    found = quoted_fields(record.raw)
    needs = _NEEDS_QUOTES if crlf or len(found) > 1 else _NEEDS_QUOTES_IN_ONE_COLUMN
    return any(field.startswith(b'"') and needs.search(field, 1, len(field) - 1) for field in found)
