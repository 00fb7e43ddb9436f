"""A reproducible `.tar.gz` of a course's files that are not XML (pages, handouts, code), and its manifest."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import tarfile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self, TypedDict

from ol_orchestrate.lib.openedx.passports import PassportScan
from ol_orchestrate.lib.openedx.problems import CourseExportError, ProblemList
from ol_orchestrate.lib.record_spool import RecordSpool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_STATIC_BYTES = 8 << 30
"""Bytes of all static assets of a course, unpacked; the temporary folder needs this much space."""

NOT_CONTENT = frozenset({"assets", "drafts", "static"})
"""Folders of an export without blocks and without the files of blocks."""

_NOT_ASSETS = NOT_CONTENT | {"policies"}


class ManifestFile(TypedDict):
    """A file of the bundle."""

    path: str
    mime_type: str
    size_bytes: int
    sha256: str


class Manifest(TypedDict):
    """The list of the files in a bundle of static assets, in the order of their paths."""

    data_version: str
    file_count: int
    files: list[ManifestFile]


class _Spooled(NamedTuple):
    number: int
    size: int
    sha256: str


class StaticAssets:
    """Collects the static assets of one course in an unnamed temporary file, and writes the bundle.

    The bundle cannot be written at once: its paths begin at the course's root folder, which an archive may reveal only
    at its end, and they are sorted, so that the bytes do not depend on the order of the archive. Give it to
    `read_course`, then call `write_archive` and `manifest`. A context manager.
    """

    def __init__(self) -> None:
        self._spool = RecordSpool()
        self._bytes = 0
        self._collected: dict[str, _Spooled] = {}
        self._secret: set[str] = set()
        self._files: dict[str, _Spooled] = {}

    def collect(self, path: str, chunks: Iterable[bytes]) -> None:
        """Store a file of the archive; it replaces an earlier one with the same path.

        Raises:
            CourseExportError: All files together are larger than `MAX_STATIC_BYTES`.
            OSError: The temporary folder is full.
        """
        digest = hashlib.sha256()
        scan = PassportScan()

        def read() -> Iterator[bytes]:
            for chunk in chunks:
                self._bytes += len(chunk)
                if self._bytes > MAX_STATIC_BYTES:
                    limit = f"{MAX_STATIC_BYTES >> 30} GiB"
                    raise CourseExportError(
                        f"{path}: the static files are larger than {limit} together. Leave some out"
                    )
                digest.update(chunk)
                scan.feed(chunk)
                yield chunk

        number = self._spool.append(read())
        self._collected[path] = _Spooled(number, self._spool.size_of(number), digest.hexdigest())
        (self._secret.add if scan.found else self._secret.discard)(path)

    def select(self, root: str, problems: ProblemList) -> None:
        """Select the files below the course's root folder, without settings, drafts and secrets.

        Args:
            root: The root folder with a slash at its end, or `""`.
            problems: Receives files that are left out because they hold LTI passports.
        """
        for path in sorted(self._collected):
            relative = path.removeprefix(root)
            if not path.startswith(root) or relative.partition("/")[0] in _NOT_ASSETS:
                continue
            if path in self._secret:
                problems.add(path, "it holds LTI passports, which are secret, and was left out", "Remove them from it")
            else:
                self._files[relative] = self._collected[path]

    @property
    def data_version(self) -> str:
        """The hex SHA-256 of the files' list in the form of `sha256sum`."""
        listing = "".join(f"{file.sha256}  {path}\n" for path, file in self._files.items())
        return hashlib.sha256(listing.encode()).hexdigest()

    def manifest(self) -> Manifest:
        """Return the manifest, with paths below the root folder."""
        # Python's own tables, not those of the machine, so that the types are the same on every machine.
        types = mimetypes.MimeTypes()
        for suffix, mime_type in _MORE_TYPES.items():
            types.add_type(mime_type, suffix)
        return {
            "data_version": self.data_version,
            "file_count": len(self._files),
            "files": [
                {
                    "path": path,
                    "mime_type": types.guess_type(path)[0] or "application/octet-stream",
                    "size_bytes": file.size,
                    "sha256": file.sha256,
                }
                for path, file in self._files.items()
            ],
        }

    def write_archive(self, out: BinaryIO) -> None:
        """Write the bundle: a `.tar.gz` in the order of paths, without times or owners.

        Args:
            out: The file to append the bundle to; it need not be seekable, and stays open.
        """
        with (
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path, file in self._files.items():
                header = tarfile.TarInfo(path)
                header.size = file.size
                tar.addfile(header, self._spool.open(file.number))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()


_MORE_TYPES = {
    ".md": "text/markdown",
    ".sjson": "application/json",
    ".srt": "application/x-subrip",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""Types that courses use and that Python's tables lack in some versions."""
