"""Packages as edX ships them: the same members in clear and encrypted, and one large member, beside GnuPG and unzip."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import measured
from benchmarks.range_server import range_server
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.samples.encryption import Recipient, make_keys
from edxorg.samples.sample_archive import write_sample_archive, write_sample_package
from ol_orchestrate.lib.openpgp import KeyRing, PrivateKeys
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.range_server import Server

_STATE = b'{"attempts": 2, "seed": 1, "done": true, "student_answers": {"i4x-MITx-6_00x-problem-%d_2_1": "choice_%d"}, \
"correct_map": {"i4x-MITx-6_00x-problem-%d_2_1": {"correctness": "correct", "npoints": null, "msg": "", "hint": ""}}}'
_ROW = b"%d\tproblem\tblock-v1:MITx+6.00x+2012_Fall+type@problem+block@%d\t%d\t" + _STATE + b"\t2024-01-31 12:00:00\n"
"""A row of some 400 bytes, as a learner's answer to a problem takes."""


def run(courses: int, megabytes: int) -> None:
    """Make the packages, and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, ExitStack() as stack:
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
        server = stack.enter_context(range_server(_served(folder)))
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
            ("edxorg ingest of it in clear, from S3", partial(_ingest_from_s3, server, files["large-clear.zip"])),
            ("edxorg ingest of it, from S3", partial(_ingest_from_s3, server, files["large.zip"])),
            ("unzip -p alone, of it in clear", partial(_unzip, files["large-clear.zip"])),
            ("unzip -p and gpg --decrypt alone", partial(_decrypt, files["large.zip"], keys)),
        ]
        print(f"{'work':62} {'seconds':>8} {'CPU s':>8} {'peak MB':>8} {'load':>5}")
        for name, work in works:
            with measured(beside=server.process) as result:
                work()
            figures = (
                f"{result.seconds:8.1f} {result.cpu_seconds:8.1f} {result.peak_bytes / 1e6:8.0f} {result.load:5.1f}"
            )
            print(f"{name:62} {figures}", flush=True)


def _write_large(path: Path, size: int, key_file: Path | None) -> None:
    rows = b"".join(_ROW % (n, n * 7919, n * 31, n * 13, n % 7, n * 13) for n in range(10_000))

    def pieces() -> Iterator[bytes]:
        yield b"id\tmodule_type\tmodule_id\tstudent_id\tstate\tcreated\n"
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


def _served(folder: Path) -> Path:
    served = folder / "served"
    served.mkdir(exist_ok=True)
    return served


def _ingest_from_s3(server: Server, archive: Path) -> None:
    """Run the whole command, on an object of a bucket."""
    name = "delftx-2024-01-31.zip"
    served = _served(archive.parent) / name
    served.unlink(missing_ok=True)
    os.link(archive, served)
    with tempfile.TemporaryDirectory(dir=archive.parent) as temporary:
        command = [sys.executable, "-m", "edxorg", "ingest", "archive", f"s3://lake/{name}", "--json"]
        variables = {
            "DAGSTER_HOME": temporary,
            "EDXORG_INSTITUTION": "delftx",
            "EDXORG_LANDING_ZONE_URL": f"file://{temporary}/lake",
            "EDXORG_GPG_KEY_FILE": str(archive.parent / "private"),
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_REGION": "us-east-1",
        }
        subprocess.run(command, env={**os.environ, **variables}, check=True)  # noqa: S603 - this interpreter


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
