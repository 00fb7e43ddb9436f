"""One budget of memory for the uploads of a run, whose worker processes each write many objects at a time."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 5 << 20
"""Bytes of one part of a large upload, the fewest that S3 takes; what the budget is counted in."""


class UploadBudget:
    """The parts of uploads that may be in memory at a time, shared by a process and its children.

    Each part is a byte in a pipe: who holds a part has taken its byte out. A child that is given the pipe's descriptors
    can unpickle the budget. A child that is killed keeps its parts, and ends its run with it.
    """

    def __init__(self, parts: int) -> None:
        """A budget of so many parts of `PART` bytes."""
        self.descriptors = os.pipe()
        os.write(self.descriptors[1], bytes(parts))

    @contextmanager
    def take(self, most: int = 1) -> Iterator[int]:
        """Wait for a part, and hold as many as are free then, up to `most`, until the block ends."""
        # A read waits for the first byte only, so nobody waits who holds something.
        held = len(os.read(self.descriptors[0], most))
        try:
            yield held
        finally:
            os.write(self.descriptors[1], bytes(held))

    def __enter__(self) -> Self:
        """The budget itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipe."""
        for descriptor in self.descriptors:
            os.close(descriptor)
