"""A stream on disk, for a format that cannot be read forward.

The file has no name and is for this user alone: no other process can open it, and it ends with this process, even a
killed one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import NoRoomError
from ol_orchestrate.lib.stores.reading import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ol_orchestrate.lib.stores.reading import SourceInfo

LEFT_FREE = 512 << 20
"""Bytes of the disk that a copy leaves to others."""

_BLOCK = 1 << 20


@contextmanager
def copied_to_disk(blocks: Iterable[bytes], info: SourceInfo) -> Iterator[VerifiedReader]:
    """Write all blocks to a temporary file, and give a reader of it; the file is gone with the block.

    Args:
        blocks: The content; an error at its end comes before anything can be read.
        info: Describes what it comes from, and is about as large.

    Raises:
        NoRoomError: The folder for temporary files is too full.
    """
    folder = tempfile.gettempdir()
    _check_room(folder, info, info.size)
    with tempfile.TemporaryFile() as file:
        size = 0
        try:
            for block in blocks:
                _check_room(folder, info, len(block))
                file.write(block)
                size += len(block)
            file.flush()
        except OSError as error:
            raise _no_room(folder, info, str(error.strerror)) from None
        descriptor = file.fileno()

        def fetch(position: int) -> Iterator[bytes]:
            while block := os.pread(descriptor, _BLOCK, position):
                position += len(block)
                yield block

        yield VerifiedReader(replace(info, size=size, checksum=None), fetch)


def _check_room(folder: str, info: SourceInfo, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + LEFT_FREE:
        left = f"{LEFT_FREE >> 20:,} MB are left to others"
        raise _no_room(folder, info, f"{free >> 20:,} MB are free, and {left}")


def _no_room(folder: str, info: SourceInfo, problem: str) -> NoRoomError:
    return NoRoomError(
        f"{info.url}: its content of about {info.size >> 20:,} MB cannot be written to {folder}, where it would be for "
        f"the time of the run ({problem}): make room there, or let TMPDIR name another folder"
    )
