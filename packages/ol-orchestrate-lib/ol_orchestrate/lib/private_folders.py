"""Folders for data of learners: only this user can read them, and one process at a time changes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import AccessRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_private(folder: Path) -> None:
    """Make a folder and its missing parents for this user alone; an existing folder keeps its mode.

    Raises:
        OSError: The folder cannot be made.
    """
    if not folder.parent.is_dir():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for a folder's lock, and hold it for the block; the kernel releases it for a killed process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class PrivateFolder:
    """A folder that only this user can read, and that this process has locked until `close`.

    The next process that makes one deletes all folders without a lock, which killed processes have left behind.

    Args:
        prefix: The beginning of the folder's name.
        parent: The folder to make it in; the system's folder for temporary files if not given.

    Raises:
        AccessRefusedError: Another user could read the files in it.
    """

    def __init__(self, prefix: str, parent: str | None = None) -> None:
        base = _private_base(Path(parent or tempfile.gettempdir()))
        # A folder must not be seen before it is locked.
        with locked(base):
            _sweep(base)
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
            self._descriptor = _lock(self.path)

    def close(self) -> None:
        """Delete the folder."""
        # A later process sweeps what cannot be deleted now, as the lock is released here.
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def _private_base(parent: Path) -> Path:
    """Make the folder that holds the folders of all runs of this user.

    Raises:
        AccessRefusedError: Another user made it first, as in `/tmp`, or can read it.
    """
    base = parent / f"ol-orchestrate-results-{os.getuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = base.lstat()
    if base.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise AccessRefusedError(f"{base} is a link or open to other users, who could read files in it: delete it")
    return base


def _lock(folder: Path) -> int:
    """Lock a folder until the returned descriptor is closed; the kernel closes it for a killed process.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sweep(base: Path) -> None:
    """Delete the folders whose process has died."""
    for folder in base.iterdir():
        with suppress(OSError):
            descriptor = _lock(folder)
            try:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
