"""The readings of one line or record. Everything here is about bytes, and nothing is kept from call to call.

Lines come without their LF, and in files with CR LF line ends with their CR. Records come without their line end.
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.lib.tables.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MALFORMED: Final = 0
OPEN: Final = -1

_INSIDE = rb'[^"]*+(?:""[^"]*+)*+'
"""What may stand between the quotes of a wrapped field."""

_WRAPPED = b'"' + _INSIDE + b'"'
_BARE = rb'[^"\t]*+'


def _patterns(*, crlf: bool) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """How a record may start on a line, and go on on the next one. The last group matched tells that it is open."""
    last = _WRAPPED + (rb"\r\Z|" if crlf else rb"\Z|") + _BARE + (rb"(?<=\r)\Z" if crlf else rb"\Z")
    fields = b'(?:(?:%b|%b)\\t)*+(?:%b|(?P<open>"%b\\Z))' % (_WRAPPED, _BARE, last, _INSIDE)
    end = rb"\r\Z" if crlf else rb"\Z"
    return re.compile(fields), re.compile(b'%b(?:(?P<still>\\Z)|"(?:%b|\\t%b))' % (_INSIDE, end, fields))


_START, _RESUME = zip(_patterns(crlf=False), _patterns(crlf=True), strict=True)

_QUOTED_FIELD: Final = re.compile(b"(?:\\A|\\t)(%b|%b)" % (_WRAPPED, _BARE))
_ESCAPED_FIELD: Final = re.compile(rb"(?:\A|\t)([^\\\t]*+(?:\\.[^\\\t]*+)*+)", re.DOTALL)
_OTHER_PAIR: Final = re.compile(rb"\\(?![nrt0\t\n\x00])")
_PAIR: Final = re.compile(rb"\\([\\nrt0\t\n\x00])")
_UNDONE: Final = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0"}
_SPECIAL: Final = re.compile(rb'[\t"\r\n]')
_NEEDS_QUOTES: Final = re.compile(rb'""|[\t\r\n]')
_NEEDS_QUOTES_IN_ONE_COLUMN: Final = re.compile(rb'""|[\t\r]')


def quoted_span(lines: Sequence[bytes], start: int, *, crlf: bool) -> int:
    """How many lines the record that starts at `lines[start]` has in RFC 4180.

    Returns:
        The number; `MALFORMED` if its quotes are wrong; `OPEN` if a field is still open after the last line.
    """
    match = _START[crlf].match(lines[start])
    if match is None:
        return MALFORMED
    if match.lastgroup is None:
        return 1
    for count, line in enumerate(islice(lines, start + 1, None), start=2):
        match = _RESUME[crlf].match(line)
        if match is None:
            return MALFORMED
        if match.lastgroup is None:
            return count
    return OPEN


class Record(NamedTuple):
    """One record, read in one way.

    Attributes:
        lines: How many lines it has.
        raw: Its bytes without its line end.
        fields: As many as there are columns, as they stand in the file.
        reason: Why it does not fit; None if it does.
    """

    lines: int
    raw: bytes
    fields: list[bytes]
    reason: Reason | None


def read_plain(lines: Sequence[bytes], start: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]`: the line."""
    return _record(1, lines[start], tabs, crlf=crlf, split=lambda raw: raw.split(b"\t"))


def read_escaped(lines: Sequence[bytes], start: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]`: with the lines after it, as long as their LFs are escaped."""
    end = start + 1
    while end < len(lines) and ends_escaped(lines[end - 1]):
        end += 1
    record = _record(end - start, b"\n".join(lines[start:end]), tabs, crlf=crlf, split=_escaped_fields)
    if record.reason is None and has_other_pair(record.raw):
        return record._replace(reason=Reason.ESCAPES)
    return record


def read_quoted(lines: Sequence[bytes], start: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]`: up to the line end outside quotes. With wrong quotes, the line is read."""
    count = quoted_span(lines, start, crlf=crlf)
    if count > 0:
        return _record(count, b"\n".join(lines[start : start + count]), tabs, crlf=crlf, split=_quoted_fields)
    line = lines[start]
    return Record(1, line.removesuffix(b"\r") if crlf else line, [], Reason.QUOTES if b'"' in line else Reason.LINE_END)


def _record(count: int, raw: bytes, tabs: int, *, crlf: bool, split: Callable[[bytes], list[bytes]]) -> Record:
    ended = not crlf or raw.endswith(b"\r")
    if crlf:
        raw = raw.removesuffix(b"\r")
    fields = split(raw)
    if len(fields) - 1 < tabs:
        return Record(count, raw, fields, Reason.TOO_FEW_FIELDS)
    if len(fields) - 1 > tabs:
        return Record(count, raw, fields, Reason.TOO_MANY_FIELDS)
    return Record(count, raw, fields, None if ended else Reason.LINE_END)


def _quoted_fields(record: bytes) -> list[bytes]:
    return _QUOTED_FIELD.findall(record) if b'"' in record else record.split(b"\t")


def _escaped_fields(record: bytes) -> list[bytes]:
    return _ESCAPED_FIELD.findall(record) if b"\\\t" in record else record.split(b"\t")


def shows_quoting(record: Record, *, crlf: bool) -> bool:
    """Whether a record that fits *quoted* has a wrapped field with something inside that needs the quotes.

    In a table of one column a LF inside shows nothing: its lines may as well be records that are plain.
    """
    needs = _NEEDS_QUOTES if crlf or len(record.fields) > 1 else _NEEDS_QUOTES_IN_ONE_COLUMN
    return any(field.startswith(b'"') and needs.search(field, 1, len(field) - 1) for field in record.fields)


def separators(record: bytes, *, escaped: bool) -> int:
    """TABs that end a field."""
    if escaped and b"\\\t" in record:
        record = record.replace(b"\\\\", b"").replace(b"\\\t", b"")
    return record.count(b"\t")


def has_other_pair(data: bytes) -> bool:
    r"""Whether a backslash stands before anything but `\ n r t 0`, TAB, LF or NUL."""
    return b"\\" in data and _OTHER_PAIR.search(data.replace(b"\\\\", b"")) is not None


def ends_escaped(line: bytes) -> bool:
    """Whether the LF after this line follows an odd number of backslashes."""
    return line.endswith(b"\\") and bool((len(line) - len(line.rstrip(b"\\"))) & 1)


class Shape(Enum):
    """What the quotes of a line look like that has as many TABs as the header."""

    BARE = "a quote inside a field that does not start with one"
    JSON = 'one field like "{…}" or "[…]", with quotes inside, all of them doubled'
    WRAPPED = "one other field in quotes, with doubled quotes or a CR inside"
    NEEDLESS = "one field in quotes, with nothing inside that needs them"
    OTHER = "anything else"


def shape_of(line: bytes) -> tuple[Shape, int, int]:
    """Look at a line with the right number of TABs and a quote.

    Returns:
        The shape, and where the field with the quotes starts and ends, unless the shape is OTHER.
    """
    first = line.find(b'"')
    last = line.rfind(b'"')
    if line.find(b"\t", first, last) >= 0:
        return Shape.OTHER, 0, 0
    start = line.rfind(b"\t", 0, first) + 1
    end = line.find(b"\t", last)
    if end < 0:
        end = len(line)
    if first != start:
        return Shape.BARE, start, end
    if last != end - 1 or last == first:
        return Shape.OTHER, 0, 0
    quotes = line.count(b'"', start, end) - 2
    if not quotes:
        return (Shape.WRAPPED if line.find(b"\r", start, end) >= 0 else Shape.NEEDLESS), start, end
    if quotes != 2 * line.count(b'""', start + 1, last):
        return Shape.OTHER, 0, 0
    brackets = line[start + 1 : start + 2] + line[last - 1 : last]
    return (Shape.JSON if brackets in {b"{}", b"[]"} else Shape.WRAPPED), start, end


def unwrap_quoted(field: bytes) -> bytes:
    """The value of a field in *quoted*."""
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def unwrap_json(field: bytes) -> bytes:
    r"""The value of a field in the other readings: JSON in quotes, with doubled quotes inside, is unwrapped.

    No exporter of plain or escaped tables writes that; it comes from a column that was CSV before it was dumped.
    """
    if not (field.startswith(b'"') and field[1:2] + field[-2:] in {b'{}"', b'[]"'}):
        return field
    inner = field[1:-1]
    quotes = inner.count(b'"')
    return inner.replace(b'""', b'"') if quotes and quotes == 2 * inner.count(b'""') else field


def decode(value: bytes) -> bytes:
    """Undo backslash pairs in one pass, left to right. `NULL` becomes empty."""
    if value == b"NULL":
        return b""
    if b"\\" not in value:
        return value
    return _PAIR.sub(lambda match: _UNDONE.get(match[1], match[1]), value)


def written(value: bytes) -> bytes:
    """A value as a field of the output: in quotes, with inner ones doubled, only if it must be."""
    if _SPECIAL.search(value) is None:
        return value
    return b'"' + value.replace(b'"', b'""') + b'"'
