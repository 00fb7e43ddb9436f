"""A budget of memory for uploads, shared by the worker processes of a run, which each write many objects at once."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 5 << 20
"""Bytes of one part of a large upload, the fewest that S3 accepts; the unit of the budget."""


class UploadBudget:
    """The parts of uploads that may be in memory at a time, shared by a process and its children.

    Each free part is a byte in a pipe, which its holder takes out. A child that inherits the pipe's descriptors can
    unpickle the budget. A killed child does not return its parts, but its run ends with it.

    Args:
        parts: The number of parts of `PART` bytes.
    """

    def __init__(self, parts: int) -> None:
        self.descriptors = os.pipe()
        os.write(self.descriptors[1], bytes(parts))

    @contextmanager
    def take(self, most: int = 1) -> Iterator[int]:
        """Wait for a part, and hold as many as are free then, up to `most`, until the block ends."""
        # A read waits for the first byte only, so no holder of a part waits.
        held = len(os.read(self.descriptors[0], most))
        try:
            yield held
        finally:
            os.write(self.descriptors[1], bytes(held))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
