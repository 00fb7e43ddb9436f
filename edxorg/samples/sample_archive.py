"""A weekly package of the members that `edxorg.samples.package` makes: as MIT keeps it, a `tar.gz`, or as edX ships it.

The content of the tar is the same on every machine for the same university. The gzip around it depends on the version
of the compression library.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast

from isal import igzip

from edxorg.samples.encryption import Recipient
from edxorg.samples.hazards import STRUCK_TABLES
from edxorg.samples.package import ArchiveTruth, Package, PackageMember
from edxorg.samples.sample_olx import MODIFIED
from edxorg.samples.university import FIRST_DAY, University
from edxorg.samples.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

ROWS_PER_COURSE: Final = 16_400
"""Rows of all tables of a course of middling size, as in MITx's own packages."""

_ROWS_PER_LEARNER: Final = 37
"""Rows in all courses that a learner is enrolled in."""

_BYTES_PER_ROW: Final = 300
_BYTES_PER_COURSE: Final = 172_000
"""Bytes of a course without rows: its XML, its structure, and the tar headers of its tables."""

_FEWEST_COURSES: Final = 10
_DAYS: Final = 28

ARCHIVE_DAY: Final = FIRST_DAY + timedelta(days=_DAYS)
"""The day of a package that is given none."""

_COMPRESSION: Final = 1
_LARGE: Final = 1 << 31
"""Bytes from which a member of a zip needs the fields for large sizes, encrypted or not."""


class SampleScale(NamedTuple):
    """The size of a sample: arguments of `write_sample_archive`."""

    courses: int
    rows_per_course: int


def scale_for(bytes_unpacked: int) -> SampleScale:
    """Return the number and size of courses that make an archive of about so many bytes before compression.

    Small archives have at least ten small courses, so that most oddities are in them; the smallest takes 1.8 MB.
    """
    middling = _BYTES_PER_COURSE + ROWS_PER_COURSE * _BYTES_PER_ROW
    courses = max(_FEWEST_COURSES, round(bytes_unpacked / middling))
    rows = (bytes_unpacked / courses - _BYTES_PER_COURSE) / _BYTES_PER_ROW
    return SampleScale(courses, max(1, round(rows)))


def write_sample_archive(
    out: Path,
    *,
    courses: int,
    seed: int,
    rows_per_course: int = ROWS_PER_COURSE,
    huge_table_bytes: int = 0,
    organization: str = "MITx",
    day: date = ARCHIVE_DAY,
    progress: Callable[[ArchiveTruth], None] | None = None,
) -> ArchiveTruth:
    """Write the last package of a university of four weeks, with broken rows and stray members.

    With 120 courses of the usual size it has 5,222 members, about 2 million rows and 600 MB, 100 MB compressed.

    Args:
        out: The file; there only when it is complete, and replaced if it exists. A `.zip` becomes a zip.
        courses: The number of courses, at least 1.
        seed: The seed of the university.
        rows_per_course: Rows of a course's tables, on average.
        huge_table_bytes: If more than nothing, `courseware_studentmodule` of the first course repeats its rows until
            it has at least this size.
        organization: The first part of course keys.
        day: The day of the package.
        progress: Called after each piece, with the truth so far.

    Raises:
        OSError: The file cannot be written.
    """
    package = _sample_package(
        courses=courses,
        seed=seed,
        rows_per_course=rows_per_course,
        huge_table_bytes=huge_table_bytes,
        organization=organization,
        day=day,
    )
    return write_archive(out, package, progress=progress)


def _sample_package(
    *,
    courses: int,
    seed: int,
    rows_per_course: int,
    organization: str,
    day: date,
    huge_table_bytes: int = 0,
) -> Package:
    university = University(
        seed=seed,
        organization=organization,
        courses=courses,
        learners=max(1, courses * rows_per_course // _ROWS_PER_LEARNER),
        first_day=day - timedelta(days=_DAYS),
        days=_DAYS,
        hazards=frozenset({*STRUCK_TABLES.values(), "apple-double"}),
    )
    return Package(university, university.archive_days[-1], huge_table_bytes=huge_table_bytes)


def write_sample_package(
    out: Path,
    *,
    courses: int,
    seed: int,
    rows_per_course: int = ROWS_PER_COURSE,
    organization: str = "MITx",
    day: date = ARCHIVE_DAY,
    key_file: Path | None = None,
) -> ArchiveTruth:
    """Write the same package as edX ships it: a zip, whose members are encrypted.

    Args:
        out: The file; there only when it is complete, and replaced if it exists.
        key_file: The public key to encrypt for; without it nothing is encrypted. Encrypted members have other bytes
            each time.

    Raises:
        OSError: The file cannot be written.
        EncryptionError: The key cannot be used.
    """
    package = _sample_package(
        courses=courses, seed=seed, rows_per_course=rows_per_course, organization=organization, day=day
    )
    return _write_zip(out, package, key_file=key_file)


def _write_zip(
    out: Path,
    package: Package,
    *,
    key_file: Path | None = None,
    progress: Callable[[ArchiveTruth], None] | None = None,
) -> ArchiveTruth:
    with whole_file(out) as partial:
        with ExitStack() as stack:
            recipient = stack.enter_context(Recipient(key_file)) if key_file else None
            archive = stack.enter_context(zipfile.ZipFile(partial, "w"))
            for member in stack.enter_context(closing(package.members())):
                _add_to_zip(archive, member, recipient)
                package.truth.bytes_unpacked += member.size
                if progress is not None:
                    progress(package.truth)
        package.truth.bytes_compressed = partial.stat().st_size
    return package.truth


def _add_to_zip(archive: zipfile.ZipFile, member: PackageMember, recipient: Recipient | None) -> None:
    info = zipfile.ZipInfo(member.name, (2024, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    if recipient is not None:
        # Encrypted bytes cannot be compressed any more.
        info.filename, info.compress_type = f"{member.name}.gpg", zipfile.ZIP_STORED
    with archive.open(info, "w", force_zip64=member.size > _LARGE) as file:
        if recipient is None:
            file.writelines(member.pieces)
            return
        with recipient.encrypt(member.pieces) as message:
            shutil.copyfileobj(message, file)


def archive_name(university: University, day: date) -> str:
    """The name of a package: as MIT keeps it, or for another organization as edX ships it, `delftx-2024-01-24.zip`."""
    organization = university.organization.lower()
    return f"{organization}-{day}.{'tar.gz' if organization == 'mitx' else 'zip'}"


def write_archive(
    out: Path, package: Package, *, progress: Callable[[ArchiveTruth], None] | None = None
) -> ArchiveTruth:
    """Write a package as zip if it is named so, else as `tar.gz`; nothing of it is held in memory whole.

    Args:
        out: The file; there only when it is complete, and replaced if it exists.
        package: The package.
        progress: Called after each piece, with the truth so far.

    Raises:
        OSError: The file cannot be written.
    """
    if out.suffix == ".zip":
        return _write_zip(out, package, progress=progress)
    with whole_file(out) as partial, partial.open("wb") as file:
        with cast(
            "BinaryIO",
            igzip.IGzipFile(filename="", fileobj=file, mode="wb", compresslevel=_COMPRESSION, mtime=0),  # type: ignore[no-untyped-call]
        ) as packed:
            tar = _Tar(packed, package.truth, progress)
            with closing(package.members()) as members:
                for member in members:
                    tar.add(member)
            tar.end()
        package.truth.bytes_compressed = file.tell()
    return package.truth


class _Tar:
    """Writes the members one after the other."""

    def __init__(self, packed: BinaryIO, truth: ArchiveTruth, progress: Callable[[ArchiveTruth], None] | None) -> None:
        self._packed, self._truth, self._progress = packed, truth, progress

    def add(self, member: PackageMember) -> None:
        """Write a member."""
        header = tarfile.TarInfo(member.name)
        header.size, header.mtime, header.mode = member.size, MODIFIED, 0o644
        self._write(header.tobuf(tarfile.GNU_FORMAT, "utf-8"))
        for piece in member.pieces:
            self._write(piece)
        self._write(bytes(-member.size % tarfile.BLOCKSIZE))

    def end(self) -> None:
        """Write the end mark of a tar, which is a whole number of records long."""
        end = 2 * tarfile.BLOCKSIZE
        self._write(bytes(end + -(self._truth.bytes_unpacked + end) % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._packed.write(data)
        self._truth.bytes_unpacked += len(data)
        if self._progress is not None:
            self._progress(self._truth)
