"""Records as they are read from lines, and values as they are written.

Lines come without their LF, and in files with CR LF line ends with their CR. Records come without their line end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.lib.tables.table_model import Dialect, RejectReason

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPECIAL: Final = re.compile(rb'[\t"\r\n]')
_SPECIAL_BUT_TAB: Final = re.compile(rb'["\r\n]')


class Record(NamedTuple):
    """A record, read in one dialect.

    Attributes:
        lines: Number of its lines.
        raw: Its bytes without its line end.
        dialect: PLAIN, ESCAPED or QUOTED.
        tabs: Number of TABs that end a field.
        reason: The reason why it does not fit; None if it does.
    """

    lines: int
    raw: bytes
    dialect: Dialect
    tabs: int
    reason: RejectReason | None


def fitted_record(lines: int, raw: bytes, dialect: Dialect, found: int, tabs: int, *, crlf: bool) -> Record:
    """Return a record, with the reason why it does not fit if `found` is not `tabs` or it lacks the CR at its end."""
    reason = None
    if found != tabs:
        reason = RejectReason.TOO_FEW_FIELDS if found < tabs else RejectReason.TOO_MANY_FIELDS
    elif crlf and not raw.endswith(b"\r"):
        reason = RejectReason.LINE_END
    return Record(lines, raw.removesuffix(b"\r") if crlf else raw, dialect, found, reason)


def read_plain(lines: Sequence[bytes], start: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]`, which is the line."""
    raw = lines[start]
    return fitted_record(1, raw, Dialect.PLAIN, raw.count(b"\t"), tabs, crlf=crlf)


def may_hold_json(line: bytes) -> bool:
    """Return True if a field may be JSON in quotes, which is unwrapped in all dialects."""
    return b'"{' in line or b'"[' in line


def unwrap_json(field: bytes) -> bytes:
    r"""Return the value of a field in the other dialects: JSON in quotes, with doubled quotes inside, is unwrapped.

    No exporter of plain or escaped tables writes that; it comes from a column that was CSV before it was dumped.
    """
    if not (field.startswith(b'"') and field[1:2] + field[-2:] in {b'{}"', b'[]"'}):
        return field
    inner = field[1:-1]
    quotes = inner.count(b'"')
    return inner.replace(b'""', b'"') if quotes and quotes == 2 * inner.count(b'""') else field


def needs_quotes(value: bytes) -> bool:
    """Return True if a value must be in quotes: it has a TAB, a double quote, a CR or a LF."""
    return _SPECIAL.search(value) is not None


def written(value: bytes) -> bytes:
    """Write a value as a field of the output: in quotes, with inner ones doubled, only if it must be."""
    if not needs_quotes(value):
        return value
    return b'"' + value.replace(b'"', b'""') + b'"'


def row_text(values: Sequence[bytes]) -> bytes:
    """Write values as a row of the output, with TABs between."""
    joined = b"\t".join(values)
    if joined.count(b"\t") == len(values) - 1 and _SPECIAL_BUT_TAB.search(joined) is None:
        return joined
    return b"\t".join([written(value) for value in values])
