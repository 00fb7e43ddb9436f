"""Reads all records of a chunk of the dialect *escaped* at once.

In `courseware_studentmodule` every other line can be the middle of a record. Reading those one by one takes several
times as long as splitting a chunk at the LFs that end records, once bytes that only look like escapes are replaced.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.lib.tables.grammar import NO_MARK, QuoteCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.tables.grammar import EscapePairs

_RECORD_END: Final = re.compile(rb"\n(?<!\\\n)")
_QUOTE: Final = ord('"')


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
