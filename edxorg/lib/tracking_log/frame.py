"""Writes lines of JSON that differ only in their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

JSONText: TypeAlias = bytes | msgspec.Raw
"""The text of a value: bytes of its own, or a part of the line that it was found in."""


class Frame:
    """The text around the values of a line."""

    def __init__(self, around: Sequence[bytes]) -> None:
        """Take the n + 1 texts before, between and behind the n values of a line, without a LF."""
        first, *between = around
        self._first, self._last = first, around[-1] + b"\n"
        self._pieces = [piece for text in [self._last + first, *between] for piece in (text, b"")][:-2]

    def lines(self, columns: Sequence[Sequence[JSONText]]) -> bytes:
        """Return the lines that have these values, each with its LF.

        Args:
            columns: For each value of the frame, its texts in all lines; a frame without values makes one line.
        """
        if not columns:
            return self._last
        # One join of all pieces takes a third of the time that a join for each line takes.
        pieces: list[JSONText] = [*self._pieces * len(columns[0]), self._last]
        pieces[0] = self._first
        for number, column in enumerate(columns):
            pieces[2 * number + 1 :: len(self._pieces)] = column
        return b"".join(pieces)
