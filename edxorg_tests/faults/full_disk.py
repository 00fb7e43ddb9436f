"""A disk without room, for one folder: a small file system in memory, or else a limit of this process for any file."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class FullDisk:
    """A folder with room for so many bytes; a context manager, which gives the room back when `make_room` is called.

    Only root can mount. For others, no file can be larger than that, which fails in the same way, with another reason.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._is_mounted = False

    def __enter__(self) -> Self:
        self._is_mounted = _mount("size", self._size, self._folder)
        if not self._is_mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, resource.RLIM_INFINITY))
        return self

    def make_room(self) -> None:
        """Let the folder have as much as it wants."""
        if self._is_mounted:
            assert _mount("remount,size", 64 << 20, self._folder)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def __exit__(self, *_: object) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)  # noqa: S603, S607


def _mount(option: str, size: int, folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"{option}={size}", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
