"""Archives made by hand, and what landed of them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.testing.openpgp_keys import GnuPG

TABLE = b"id\tname\n1\tAda\n2\tGrace\n"
POST = b'{"_id": "p1", "_type": "Comment"}\n'
ARCHIVE = "mitx-2024-01-31.tar.gz"


def table_name(table: str = "auth_user", course: str = "MITx-6.00x-2012_Fall", site: str = "prod") -> str:
    return f"{course}-{table}-{site}-analytics.sql"


def tar_bytes(members: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def write_archive(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(tar_bytes(members), compresslevel=1, mtime=0))
    return path


def write_zip(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def encrypted(
    members: list[tuple[str, bytes]], gnupg: GnuPG, recipient: str = "ada@example.org"
) -> list[tuple[str, bytes]]:
    """The members as edX ships them: each one a message of its own."""
    return [(f"{name}.gpg", gnupg.message(content, recipient)) for name, content in members]


def members_of(path: Path) -> list[tuple[str, bytes]]:
    """The files in a `tar.gz`, in order."""
    with tarfile.open(path) as tar:
        return [(info.name, file.read()) for info in tar if (file := tar.extractfile(info))]


def landed(landing_zone: Path) -> dict[str, bytes]:
    """Object keys and contents; hidden files, files in hidden folders, and reports of archives are left out."""
    return {
        key: path.read_bytes()
        for path in sorted(landing_zone.rglob("*"))
        if path.is_file() and not is_hidden(key := path.relative_to(landing_zone).as_posix())
    }


def is_hidden(key: str) -> bool:
    return "/." in f"/{key}" or key.startswith("edxorg/reports/")


def times(landing_zone: Path) -> dict[str, int]:
    """When each object was last written, in nanoseconds."""
    return {
        key: path.stat().st_mtime_ns
        for path in sorted(landing_zone.rglob("*"))
        if path.is_file() and not is_hidden(key := path.relative_to(landing_zone).as_posix())
    }


def age(path: Path, hours: float) -> None:
    """Have a file written these hours ago."""
    written = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    os.utime(path, (written, written))
