"""Reads records of the dialect *escaped*: a line at a time, or all of a chunk at once.

In `courseware_studentmodule` every other line can be the middle of a record. Reading those one by one takes several
times as long as splitting a chunk at the LFs that end records, once bytes that only look like escapes are replaced.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.lib.tables.line_sorting import NO_MARK, QuoteCounts
from edxorg.lib.tables.table_model import Dialect, RejectReason
from edxorg.lib.tables.table_records import Record, fitted_record

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPED_FIELD: Final = re.compile(rb"(?:\A|\t)([^\\\t]*+(?:\\.[^\\\t]*+)*+)", re.DOTALL)
_OTHER_PAIR: Final = re.compile(rb"\\(?![nrt0\t\n\x00])")
# Patterns that start with one literal byte are searched for with `memchr`: twenty times as fast as those with two.
# This starts at a run of backslashes: a doubled one before a TAB or LF, an escaped LF before a quote, an escaped
# TAB, or a pair that no exporter writes.
_UNUSUAL: Final = re.compile(rb"""\\(?<!\\\\)(?:\\\\)*+(?:\\[\t\n]|\n"|[^\\nrt0\n\x00])""")
_DOUBLED: Final = re.compile(rb"\\(?=\\).")
_ESCAPED_TAB: Final = re.compile(rb"\\\t")
_ESCAPED_LF: Final = re.compile(rb"\\(?=\n)")
_QUOTE_BEHIND: Final = re.compile(rb'\\(?=[\t\n]")')
_PAIRS: Final = (
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
    (b"\\0", b"\0"),
    (b"\\\t", b"\t"),
    (b"\\\n", b"\n"),
    (b"\\\0", b"\0"),
)
_RECORD_END: Final = re.compile(rb"\n(?<!\\\n)")
_QUOTE: Final = ord('"')


def read_escaped(lines: Sequence[bytes], start: int, tabs: int, *, crlf: bool) -> Record:
    """Read the record at `lines[start]` with the lines after it, as long as their LFs are escaped."""
    end = start + 1
    while end < len(lines) and ends_escaped(lines[end - 1]):
        end += 1
    raw = b"\n".join(lines[start:end])
    found = raw.replace(b"\\\\", b"").replace(b"\\\t", b"").count(b"\t") if b"\\\t" in raw else raw.count(b"\t")
    record = fitted_record(end - start, raw, Dialect.ESCAPED, found, tabs, crlf=crlf)
    if record.reason is None and has_other_pair(record.raw):
        return record._replace(reason=RejectReason.ESCAPES)
    return record


def escaped_fields(record: bytes) -> list[bytes]:
    """Return the fields of a record that fits *escaped*, as they stand in the file."""
    return _ESCAPED_FIELD.findall(record) if b"\\\t" in record else record.split(b"\t")


def decode(value: bytes) -> bytes:
    """Undo backslash pairs, left to right, in a file for which `has_other_pair` is false. `NULL` becomes empty."""
    if value == b"NULL":
        return b""
    if b"\\" not in value:
        return value
    # No UTF-8 has this byte. While it stands for a second backslash, every backslash starts a pair.
    value = value.replace(b"\\\\", b"\\\xff")
    for pair, character in _PAIRS:
        value = value.replace(pair, character)
    return value.replace(b"\\\xff", b"\\")


def has_other_pair(data: bytes) -> bool:
    r"""Return True if a backslash stands before anything but `\ n r t 0`, TAB, LF or NUL."""
    return b"\\" in data and _OTHER_PAIR.search(data.replace(b"\\\\", b"")) is not None


class EscapePairs(NamedTuple):
    """The backslashes in some lines.

    Attributes:
        text: The lines with `__` for each doubled backslash, and `""` for each escaped TAB, if any of them matter: a LF
            is then escaped if and only if a backslash stands before it.
        separators: True if a TAB or LF is escaped anywhere.
        tabs: True if a TAB is escaped anywhere.
        quotes: True if a double quote follows an escaped TAB or LF.
        others: The result of `has_other_pair`.
    """

    text: bytes
    separators: bool = False
    tabs: bool = False
    quotes: bool = False
    others: bool = False


def find_pairs(data: bytes) -> EscapePairs:
    """Find all backslashes in some lines; most often there are none, or only escaped LFs matter."""
    if b"\\" not in data:
        return EscapePairs(data)
    if _UNUSUAL.search(data) is None:
        return EscapePairs(data, separators=_ESCAPED_LF.search(data) is not None)
    text = _DOUBLED.sub(b"__", data)
    quotes = _QUOTE_BEHIND.search(text) is not None
    others = _OTHER_PAIR.search(text) is not None
    text, tabs = _ESCAPED_TAB.subn(b'""', text)
    return EscapePairs(text, tabs > 0 or _ESCAPED_LF.search(text) is not None, tabs > 0, quotes, others)


def ends_escaped(line: bytes) -> bool:
    """Return True if the LF after this line follows an odd number of backslashes."""
    return line.endswith(b"\\") and bool((len(line) - len(line.rstrip(b"\\"))) & 1)


class LooseLines(NamedTuple):
    """Counts, in the other dialects, of lines without a field that starts with a quote.

    Attributes:
        quoted: Number of lines with a quote, which RFC 4180 cannot read.
        misfits: Number of lines that do not fit *plain*.
    """

    quoted: int
    misfits: int


class EscapedRecords(NamedTuple):
    """Records, in their order.

    Attributes:
        starts: The first line of each, and at the end the number of lines.
        raw: Their bytes without the LF at their end.
        rows: Their fields as they are written, with TABs between.
        others: The places of records that have to be read one by one, and are no rows yet.
        unfit: The number of TABs that end a field in each record with another number of fields, by its place.
        misfits: Number of lines of these records.
        loose: Counts of the lines, if no field of a line starts with a quote.
    """

    starts: Sequence[int]
    raw: list[bytes]
    rows: list[bytes]
    others: list[int]
    unfit: dict[int, int]
    misfits: int
    loose: LooseLines | None


def escaped_records(data: bytes, pairs: EscapePairs, tabs: int) -> EscapedRecords | None:
    """Read whole lines, with LF line ends, in which a backslash makes a TAB or LF a part of the value.

    Args:
        data: Lines in which each backslash is in one of the pairs of *escaped*.
        pairs: The backslashes that were found in them.
        tabs: Number of TABs in a record that end a field.

    Returns:
        The records; `None` if the last one is not over.
    """
    texts = _RECORD_END.split(pairs.text)
    if texts.pop():
        return None
    raw = texts
    if pairs.text is not data:
        ends = accumulate([len(text) + 1 for text in texts], initial=0)
        raw = [data[start : end - 1] for start, end in pairwise(ends)]
    marks = [text.translate(None, NO_MARK) for text in texts]
    lines = [1 + mark.count(b"\n") for mark in marks]
    rows: list[bytes] = []
    others: list[int] = []
    unfit: dict[int, int] = {}
    plain = b"\t" * tabs
    specials = QuoteCounts(tabs)
    for record, text, mark in zip(raw, texts, marks, strict=True):
        if mark != plain:
            if specials[mark] > 0:
                special = text.find(b'"')
                if special < 0:
                    special = text.find(b"\n")
                start = text.rfind(b"\t", 0, special) + 1
                if record[start] != _QUOTE:
                    end = text.find(b"\t", special)
                    if end < 0:
                        end = len(text)
                    doubled = record[start:end].replace(b'"', b'""')
                    rows.append(b'"'.join((record[:start], doubled, record[end:])))
                    continue
            if (found := mark.count(b"\t")) == tabs:
                others.append(len(rows))
            else:
                unfit[len(rows)] = found
        rows.append(record)
    misfits = sum(lines[place] for place in unfit)
    loose = (
        None
        if others or unfit or pairs.quotes
        else _loose_lines(raw, lines, len(raw) - marks.count(plain), tabs, pairs)
    )
    return EscapedRecords(list(accumulate(lines, initial=0)), raw, rows, others, unfit, misfits, loose)


def _loose_lines(raw: list[bytes], lines: list[int], special: int, tabs: int, pairs: EscapePairs) -> LooseLines:
    """Count the lines of records that have the right number of fields, and quotes in one at the most."""
    unlike = raw
    quoted = 0
    if not pairs.tabs:
        # A record on one line is the same line in *plain*, and special for its quotes only.
        unlike = [record for record, count in zip(raw, lines, strict=True) if count > 1]
        quoted = special - len(unlike)
    marks = b"\n".join([*unlike, b""]).translate(None, NO_MARK)
    quoted += marks.translate(None, b"\t").count(b'"\n')
    tabs_of_lines = marks.translate(None, b'"').split(b"\n")[:-1]
    return LooseLines(quoted, len(tabs_of_lines) - tabs_of_lines.count(b"\t" * tabs))
