"""Packages as edX ships them: the same members in clear and encrypted, and one large member, beside GnuPG and unzip."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.measure import measured
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.samples.archive import write_sample_archive, write_sample_package
from edxorg.samples.encryption import Recipient, make_keys
from ol_orchestrate.lib.openpgp import KeyRing, PrivateKeys
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROW = b"%d\t%d\tan answer of some words, as learners write them\t2024-01-31 12:00:00\n"


def run(courses: int, megabytes: int) -> None:
    """Make the packages, and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        make_keys(folder / "private", folder / "public")
        keys = PrivateKeys((folder / "private").read_bytes())
        files = {
            name: folder / name for name in ("a.tar.gz", "clear.zip", "encrypted.zip", "large.zip", "large-clear.zip")
        }
        write_sample_archive(files["a.tar.gz"], courses=courses, seed=0)
        write_sample_package(files["clear.zip"], courses=courses, seed=0)
        sample = write_sample_package(files["encrypted.zip"], courses=courses, seed=0, key_file=folder / "public")
        _write_large(files["large.zip"], megabytes << 20, folder / "public")
        _write_large(files["large-clear.zip"], megabytes << 20, None)
        print(f"{sample.members:,} members, {sample.bytes_unpacked / 1e6:,.0f} MB, and one member of {megabytes:,} MB")
        works: list[tuple[str, Callable[[], object]]] = [
            ("tar.gz", partial(_ingest, files["a.tar.gz"], keys)),
            ("zip", partial(_ingest, files["clear.zip"], keys)),
            ("unzip -p alone", partial(_unzip, files["clear.zip"])),
            ("encrypted zip", partial(_ingest, files["encrypted.zip"], keys)),
            (
                "unzip -p and gpg --decrypt alone, one member after the other",
                partial(_decrypt, files["encrypted.zip"], keys),
            ),
            ("one large member in clear", partial(_ingest, files["large-clear.zip"], keys)),
            ("one large member", partial(_ingest, files["large.zip"], keys)),
            ("unzip -p and gpg --decrypt alone", partial(_decrypt, files["large.zip"], keys)),
        ]
        table = Table("work", "seconds", "CPU s", "peak MB", "load")
        for name, work in works:
            with measured() as result:
                work()
            figures = (result.seconds, result.cpu_seconds, result.peak_bytes / 1e6, result.load)
            table.add_row(name, *(f"{figure:.1f}" for figure in figures))
        Console(width=100).print(table)


def _write_large(path: Path, size: int, key_file: Path | None) -> None:
    rows = b"".join(_ROW % (number, number * 7919) for number in range(10_000))

    def pieces() -> Iterator[bytes]:
        yield b"id\tstudent_id\tstate\tcreated\n"
        for _ in range(size // len(rows)):
            yield rows

    info = zipfile.ZipInfo("MITx-6.00x-2012_Fall-courseware_studentmodule-prod-analytics.sql")
    info.compress_type = zipfile.ZIP_DEFLATED
    with ExitStack() as stack:
        content = pieces()
        if key_file is not None:
            info.filename, info.compress_type = f"{info.filename}.gpg", zipfile.ZIP_STORED
            recipient = stack.enter_context(Recipient(key_file))
            content = iter(stack.enter_context(recipient.encrypt(content)))
        archive = stack.enter_context(zipfile.ZipFile(path, "w", compresslevel=1))
        stack.enter_context(archive.open(info, "w", force_zip64=True)).writelines(content)


def _ingest(archive: Path, keys: PrivateKeys) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as lake, PendingRecords() as to_record:
        source = open_store(f"file://{archive.parent}").read(archive.name)
        options = IngestOptions(f"file://{lake}")
        ingested = ingest_archive(source, options, NothingRecorded(), to_record, keys=lambda: keys)
    if ingested.problem or ingested.report.failed:
        raise RuntimeError(f"{archive.name}: {ingested.problem or ingested.report.listed}")


def _unzip(archive: Path) -> None:
    subprocess.run(["unzip", "-p", str(archive)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607


def _decrypt(archive: Path, keys: PrivateKeys) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    with KeyRing(keys) as ring:
        command = ["gpg", "--homedir", ring.decryptor.home, "--batch", "--quiet", "--decrypt"]
        for name in names:
            unzip = ["unzip", "-p", str(archive), name.replace("[", "[[]")]
            with subprocess.Popen(unzip, stdout=subprocess.PIPE) as member:  # noqa: S603
                subprocess.run(  # noqa: S603
                    command, stdin=member.stdout, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
