"""The records of a piece as *escaped* has them, all at a time.

In `courseware_studentmodule` every other line can be the middle of a record. Reading those one by one takes four times
as long as blotting out all pairs of a piece and splitting what is left.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.lib.tables.grammar import Marks

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_MARK: Final = bytes(set(range(256)) - set(b'\t\n\r"'))
"""All bytes but those that can have a meaning."""

_QUOTE: Final = ord('"')


class EscapedRecords(NamedTuple):
    """Records, in their order.

    Attributes:
        starts: The first line of each.
        raw: Their bytes without the LF at their end.
        special: Those with double quotes or escaped characters in one field, which does not start with a quote: their
            places, and where the field starts and ends.
        others: The places of those that have to be looked at one by one.
        misfits: How many lines are in records with another number of fields.
    """

    starts: Sequence[int]
    raw: list[bytes]
    special: list[tuple[int, int, int]]
    others: list[int]
    misfits: int


def escaped_records(data: bytes, blotted: bytes, tabs: int) -> EscapedRecords | None:
    """Read whole lines, with LF line ends, in which a backslash makes a TAB or LF a part of the value.

    Args:
        data: Lines in which each backslash is in one of the pairs of *escaped*.
        blotted: See `Pairs.blotted`: the quotes in it are all that makes a field be written in quotes, but for CRs.
        tabs: How many TABs a record has that end a field.

    Returns:
        The records; `None` if the last one is not over.
    """
    texts = blotted.split(b"\n")
    if texts.pop():
        return None
    ends = list(accumulate([len(text) + 1 for text in texts], initial=0))
    raw = [data[start : end - 1] for start, end in pairwise(ends)]
    lines = [1 + record.count(b"\n") for record in raw]
    starts = list(accumulate(lines, initial=0))
    marks = blotted.translate(None, NO_MARK).split(b"\n")
    special, others, misfits = [], [], 0
    plain = b"\t" * tabs
    quotes = Marks(tabs)
    for place, (mark, text) in enumerate(zip(marks, texts, strict=False)):
        if mark == plain:
            continue
        if quotes[mark] > 0:
            first = text.find(b'"')
            start = text.rfind(b"\t", 0, first) + 1
            if raw[place][start] != _QUOTE:
                end = text.find(b"\t", first)
                special.append((place, start, end if end >= 0 else len(text)))
                continue
        others.append(place)
        if mark.count(b"\t") != tabs:
            misfits += lines[place]
    return EscapedRecords(starts, raw, special, others, misfits)
