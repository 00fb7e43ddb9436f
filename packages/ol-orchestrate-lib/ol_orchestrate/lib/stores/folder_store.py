"""A folder of this machine as an object store."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, BinaryIO, ClassVar
from uuid import uuid4

from typing_extensions import override

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    PipelineError,
    ServiceError,
    SourceChangedError,
    SourceGoneError,
)
from ol_orchestrate.lib.private_folders import make_private
from ol_orchestrate.lib.stores.base import ObjectStore, StoredObject, checked_key, join_url, split_url
from ol_orchestrate.lib.stores.reading import SourceInfo, VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fsspec import AbstractFileSystem

BLOCK = 1 << 20

UNFINISHED = ".unfinished"
"""Hidden folder at the root of a store where objects are written before they are renamed to their keys.

Only its owner can read it. The process that writes a file in it locks the file, so a file without a lock was left by a
process that died.
"""

_unfinished: set[str] = set()
"""The unfinished files of this process."""

_opening = threading.RLock()
"""Held while an unfinished file is opened; reentrant, as a signal can arrive meanwhile."""

GRACE = 2.0
"""The longest time in seconds from the creation of an unfinished file to its lock."""


class FolderStore(ObjectStore):
    """Files below a folder; a key is a relative path.

    An object is written under a hidden name, flushed to the disk, and renamed. Its metadata is in a hidden file beside
    it with the size and the time of the object, so that it never counts for another version. New folders and files are
    for this user alone; an existing folder keeps its mode.

    Args:
        url: A URL `file:///folder`; the folder need not exist.
    """

    writes_at_once: ClassVar[int] = 4
    upload_check = "fsync"

    def __init__(self, url: str) -> None:
        self.url = join_url(url)
        self._root = Path(split_url(url)[2])
        self._aside = f"{self._root}/{UNFINISHED}"
        self._swept = False

    @override
    def find(self, key: str, *, with_metadata: bool = False) -> StoredObject | None:
        path = self._root / checked_key(key)
        with self._errors(key):
            status = _status(path)
        if status is None:
            return None
        metadata = _stored_metadata(path, status) if with_metadata else {}
        return _stored_object(key, status, metadata)

    @override
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Hidden files are no objects."""
        start = self._root / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                if not name.startswith(".") and key.startswith(prefix):
                    with suppress(FileNotFoundError):
                        yield _stored_object(key, path.stat(), {})

    @override
    def list_folder(self, folder: str) -> Sequence[StoredObject]:
        found = []
        with (
            self._errors(folder),
            suppress(FileNotFoundError),
            os.scandir(f"{self._root}/{checked_key(folder)}") as files,
        ):
            for each in files:
                with suppress(FileNotFoundError):
                    if not each.name.startswith(".") and each.is_file():
                        found.append(_stored_object(f"{folder}/{each.name}", each.stat(), {}))
        return found

    @override
    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        path = self._root / checked_key(key)
        with self._errors(key):
            status = self._replace(path, content)
            if metadata is not None:
                # A crash before this leaves an object without a version, which the next run writes again.
                described = {"size": status.st_size, "modified": status.st_mtime_ns, "metadata": dict(metadata)}
                self._replace(_metadata_path(path), json.dumps(described).encode())

    @override
    def delete(self, key: str) -> None:
        path = self._root / checked_key(key)
        with self._errors(key):
            if _status(path) is None:
                return
            path.unlink(missing_ok=True)
            _metadata_path(path).unlink(missing_ok=True)
            _flush_folder(path.parent)

    @override
    def read(self, key: str) -> VerifiedReader:
        """A folder has no checksums; size and time of change must stay the same."""
        path = self._root / checked_key(key)
        with self._errors(key):
            status = _status(path)
        if status is None:
            raise self.missing(key)
        info = SourceInfo(join_url(self.url, key), status.st_size, _version(status), _modified(status), checksum=None)

        def fetch(position: int) -> Iterator[bytes]:
            with self._errors(key), self._open(path, key) as file:
                file.seek(position)
                while block := file.read(BLOCK):
                    yield block
                now = _status(path)
                if now is None or _version(now) != info.version:
                    raise SourceChangedError(f"{info.url}: the file changed while it was read. Run again")

        return VerifiedReader(info, fetch)

    @override
    def filesystem(self) -> AbstractFileSystem:
        from obstore.fsspec import FsspecStore  # noqa: PLC0415 - slow to import, and seldom needed

        return FsspecStore("file")

    def _open(self, path: Path, key: str) -> BinaryIO:
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise SourceGoneError(
                f"{join_url(self.url, key)}: the file was deleted while it was read. Put it there, and run again"
            ) from None

    def _replace(self, path: Path, content: BinaryIO | bytes) -> os.stat_result:
        """Write a file under a hidden name, flush it, and rename it."""
        if not self._swept:
            self._prepare_unfinished_folder()
        name = f"{self._aside}/{uuid4().hex}"
        try:
            with self._new_file(name) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    shutil.copyfileobj(content, file, BLOCK)
                file.flush()
                os.fsync(file.fileno())
                _drop_cached_pages(file)
                _move(name, path)
                _flush_folder(path.parent)
                return os.fstat(file.fileno())
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            _unfinished.discard(name)

    def _new_file(self, name: str) -> BinaryIO:
        with _opening:
            _unfinished.add(name)
            try:
                return open(name, "xb", opener=_private)
            except FileNotFoundError:
                # The folder was emptied meanwhile.
                self._prepare_unfinished_folder()
                return open(name, "xb", opener=_private)

    def _prepare_unfinished_folder(self) -> None:
        """Make the folder of unfinished files, and delete those of dead processes."""
        make_private(Path(self._aside))
        self._sweep_unfinished()
        self._swept = True

    @override
    def abort_old_uploads(self, folder: str = "") -> None:
        """Delete the unfinished files of dead processes, which a run that has nothing to write would leave."""
        with suppress(OSError):
            self._sweep_unfinished()

    def _sweep_unfinished(self) -> None:
        for left in Path(self._aside).iterdir():
            _sweep(left)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except PipelineError:
            raise
        except OSError as error:
            raise _translated(join_url(self.url, key), error) from error


def discard_unfinished() -> None:
    """Delete the unfinished files of this process, and block other threads from beginning new ones.

    A process calls this if it is about to end without waiting for its threads.
    """
    _opening.acquire()
    for name in list(_unfinished):
        Path(name).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _translated(url: str, error: OSError) -> PipelineError:
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return AccessRefusedError(f"{url}: no permission ({error.strerror}). Let this user read and write the folder")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ServiceError(f"{url}: the disk is full ({error.strerror}). Make room and run again")
    return ServiceError(f"{url}: {error.strerror or error}. Run again; if it stays so, check the disk")


def _drop_cached_pages(file: BinaryIO) -> None:
    """Tell the system to keep no copy of the file in memory.

    This process does not read it again, and a thousand objects would displace files that others read. Writing also
    takes half the time, since the same pages are used again.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _move(name: str, path: Path) -> None:
    try:
        os.replace(name, path)  # noqa: PTH105 - a path object for each of many small files
    except FileNotFoundError:
        make_private(path.parent)
        os.replace(name, path)  # noqa: PTH105


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Delete an unfinished file, unless its writer lives."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        # A file this young may have a writer that has not locked it yet.
        if time.time() - os.fstat(file.fileno()).st_mtime < GRACE:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        path.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; `None` if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if S_ISREG(status.st_mode) else None


def _metadata_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.metadata")


def _stored_metadata(path: Path, status: os.stat_result) -> dict[str, str]:
    try:
        described = json.loads(_metadata_path(path).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if (described["size"], described["modified"]) != (status.st_size, status.st_mtime_ns):
        return {}
    metadata: dict[str, str] = described["metadata"]
    return metadata


def _stored_object(key: str, status: os.stat_result, metadata: dict[str, str]) -> StoredObject:
    return StoredObject(key, status.st_size, _modified(status), _version(status), metadata)


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
