"""Runs commands on the largest inputs there are, and adds up the memory of all processes of each.

`uv run python -m edxorg_tests.memory [CASE]…` takes minutes for each case, and 30 GB of disk at most: inputs are as
large as their names say once they are unpacked. Outputs go to a server on loopback that keeps none of their bytes.

Pages that several processes map are counted for each of them, since the other way of counting, by shares, depends on
what else runs on the machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import click
from isal import igzip, isal_zlib

from edxorg_tests.support.archives import TABLE, table_name
from ol_orchestrate.testing.scripted import ScriptedS3, ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ol_orchestrate.testing.scripted import Request, Response

    Content = Callable[[int], Iterator[bytes]]

MOST = 512 << 20

MEMBERS = 1_000_000
DELIVERED = 10_000
"""Of the members: tables with rows. Each is an object and a record, which would take an hour for all."""

MEASURE = """
import json, subprocess, sys
from benchmarks.measure import measured
with measured(own=False) as taken:
    ran = subprocess.run(sys.argv[1:], stdout=sys.stderr)
print(json.dumps([ran.returncode, taken.peak_rss, taken.peak_bytes, taken.seconds]))
"""

BUCKET = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_REGION": "us-east-1",
}
LANDING_ZONE = "s3://lake/zone"


class Ran(NamedTuple):
    """A program that has ended.

    Attributes:
        code: Its exit code.
        peak: Resident memory of all its processes at the peak.
        shares: The same, with pages that several of them map shared out among them.
        told: All that it printed.
    """

    code: int
    peak: int
    shares: int
    seconds: float
    told: str


def run(folder: Path, *arguments: object, variables: Mapping[str, str] | None = None, timeout: float = 280) -> Ran:
    """Run a program of this interpreter, with a home of Dagster in the folder."""
    ran = subprocess.run(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", MEASURE, sys.executable, *map(str, arguments)],
        env={**os.environ, "DAGSTER_HOME": str(folder / "home"), **(variables or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
    )
    code, peak, shares, seconds = json.loads(ran.stdout)
    return Ran(code, peak, shares, seconds, ran.stderr)


def edxorg(folder: Path, *arguments: object, variables: Mapping[str, str] | None = None, timeout: float = 280) -> Ran:
    return run(folder, "-m", "edxorg", *arguments, variables=variables, timeout=timeout)


def tar_header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.type = size, kind
    return header.tobuf(tarfile.GNU_FORMAT)


class Discarding(ScriptedS3):
    """Keeps neither objects nor requests."""

    def __init__(self) -> None:
        super().__init__(keep=False)
        self.server: ScriptedServer | None = None

    def __call__(self, request: Request) -> Response:
        if self.server:
            self.server.requests.clear()
        return super().__call__(request)

    def sizes(self, folder: str) -> list[int]:
        return [size for key, (size, *_) in self.objects.items() if f"/{folder}/" in key]


class Case(NamedTuple):
    """An input, and how its run ends.

    Attributes:
        name: The name of the input's file.
        write: Writes the input to a file, of so many gigabytes unpacked.
        command: The rest of the command before the file.
        code: The exit code.
        delivers: The folder of the landing zone with the output, the number of objects, and their least size together
            for each gigabyte.
        says: A part of what is printed.
    """

    name: str
    write: Callable[[Path, int], None]
    command: tuple[str, ...] = ("ingest", "archive")
    code: int = 0
    delivers: tuple[str, int, int] = ("db_table", 1, 10**9)
    says: str = ""


STATE = (
    b'{"attempts": 2, "seed": 1, "done": true, "student_answers": {"i4x-MITx-6_00x-problem-%d_2_1": "choice_%d"}, '
    b'"correct_map": {"i4x-MITx-6_00x-problem-%d_2_1": {"correctness": "correct", "npoints": null, "msg": ""}}}'
)
ROW = b"%d\tproblem\tblock-v1:MITx+6.00x+2012_Fall+type@problem+block@%d\t%d\t" + STATE + b"\t2024-01-31 12:00:00\n"
COLUMNS = b"id\tmodule_type\tmodule_id\tstudent_id\tstate\tcreated\n"
EVENT = (
    b'{"username": "learner_%d", "event_type": "problem_check", "ip": "192.0.2.%d", "agent": "Mozilla/5.0", "context": '
    b'{"course_id": "course-v1:MITx+6.00x+2012_Fall", "org_id": "MITx", "user_id": %d}, "event": "{\\"a\\": %d}", '
    b'"time": "2024-05-06T01:02:03.%06d+00:00", "event_source": "server", "page": null}\n'
)


def table(gigabytes: int) -> Iterator[bytes]:
    rows = b"".join(ROW % (n, n * 7919, n * 31, n * 13, n % 7, n * 13) for n in range(10_000))
    yield COLUMNS
    yield from repeat(rows, gigabytes * 10**9 // len(rows) + 1)


def events(gigabytes: int) -> Iterator[bytes]:
    lines = b"".join(EVENT % (n * 7919, n % 256, n * 31, n * 13, n) for n in range(10_000))
    yield from repeat(lines, gigabytes * 10**9 // len(lines) + 1)


def zeros(gigabytes: int) -> Iterator[bytes]:
    yield from repeat(bytes(10**6), gigabytes * 1000)


def bomb(gigabytes: int) -> Iterator[bytes]:
    yield COLUMNS + ROW % ((1,) * 6)
    yield from zeros(gigabytes)


def in_tar(name: str, content: Content) -> Content:
    def tar(gigabytes: int) -> Iterator[bytes]:
        size = sum(map(len, content(gigabytes)))
        yield tar_header(name, size)
        yield from content(gigabytes)
        yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)

    return tar


def many_members(gigabytes: int) -> Iterator[bytes]:
    """The members of as many courses as have a table with rows: that one, empty tables, failed ones, and others."""
    del gigabytes
    padded = TABLE + bytes(-len(TABLE) % tarfile.BLOCKSIZE)
    for number in range(DELIVERED):
        course = f"MITx-{number}x-2012_Fall"
        yield tar_header(table_name(course=course), len(TABLE)) + padded
        for table in range(MEMBERS // DELIVERED // 4):
            yield tar_header(table_name(f"empty_{table}", course))
            yield tar_header(f"{table_name(f'failed_{table}', course)}.failed")
            yield tar_header(f"notes/{number}/{table}/nobody-knows-what-this-is.bin")
            yield tar_header(f"folder-{number}/{table}/", kind=tarfile.DIRTYPE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def gzipped(content: Content) -> Callable[[Path, int], None]:
    def write(path: Path, gigabytes: int) -> None:
        with igzip.open(path, "wb", compresslevel=1) as packed:  # type: ignore[no-untyped-call]
            packed.writelines(content(gigabytes))

    return write


def zipped(content: Content) -> Callable[[Path, int], None]:
    def write(path: Path, gigabytes: int) -> None:
        info = zipfile.ZipInfo(STUDENTMODULE)
        info.compress_type = zipfile.ZIP_DEFLATED
        with (
            patch.object(zipfile, "zlib", isal_zlib),  # several times faster
            zipfile.ZipFile(path, "w", compresslevel=1) as archive,
            archive.open(info, "w", force_zip64=True) as member,
        ):
            member.writelines(content(gigabytes))

    return write


STUDENTMODULE = table_name("courseware_studentmodule")
TAR, ZIP, LOG = "mitx-2024-01-31.tar.gz", "mitx-2024-01-31.zip", "mitx-edx-events-2024-05-06.log.gz"
EXPORT = "MITx-6.00x-2012_Fall-course-prod-analytics.xml.tar.gz"

CASES = {
    "table": Case(TAR, gzipped(in_tar(STUDENTMODULE, table))),
    "log": Case(LOG, gzipped(events), ("ingest", "tracking-log"), delivers=("tracking_logs", 1, 10**7)),
    "members": Case(TAR, gzipped(many_members), delivers=("db_table", DELIVERED, 0)),
    "zip": Case(ZIP, zipped(table)),
    "bomb": Case(TAR, gzipped(in_tar(STUDENTMODULE, bomb)), delivers=("rejects", 2, 10**9)),
    "bomb-log": Case(LOG, gzipped(zeros), ("ingest", "tracking-log"), 1, ("rejects", 1, 1)),
    "bomb-zip": Case(ZIP, zipped(bomb), code=1, delivers=("db_table", 0, 0), says="times as many"),
    "bomb-course": Case(
        EXPORT, gzipped(in_tar("course/course.xml", zeros)), ("ingest", "course-xml"), 1, ("x", 0, 0), "bomb"
    ),
}


def measure(name: str, gigabytes: int) -> str:
    """Run a case; what is wrong with it, or nothing."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="edxorg-memory-") as temporary:
        folder, sink = Path(temporary), Discarding()
        source = folder / case.name
        case.write(source, gigabytes)
        with serving(sink) as server:
            sink.server = server
            variables = {**BUCKET, "AWS_ENDPOINT_URL": server.url, "TMPDIR": temporary}
            variables["EDXORG_ARCHIVE_NAME"] = "mitx-{date}.tar.gz, mitx-{date}.zip"
            arguments = (*case.command, source, "--landing-zone", LANDING_ZONE)
            ran = edxorg(folder, *arguments, variables=variables, timeout=3 * 60 * 60)
        packed = source.stat().st_size
    found, least, size = case.delivers
    sizes = sink.sizes(found)
    figures = f"{packed / 1e6:9,.0f} {ran.seconds:8,.0f} {ran.peak / 2**20:8.0f} {ran.shares / 2**20:8.0f}"
    print(f"{name:12} {figures}  {ran.code} {len(sizes):7,} {sum(sizes) / 1e6:9,.0f}", flush=True)  # noqa: T201
    if ran.peak > MOST:
        return f"{name}: {ran.peak >> 20} MB are more than {MOST >> 20}"
    if (ran.code, len(sizes)) != (case.code, least) or sum(sizes) < size * gigabytes or case.says not in ran.told:
        return f"{name}: exit code {ran.code}, {len(sizes)} objects in {found}: {ran.told[-2000:]}"
    return ""


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)))
@click.option("--gigabytes", default=10, show_default=True, help="Size of tables, logs and bombs when unpacked.")
def main(cases: tuple[str, ...], gigabytes: int) -> None:
    """Run these cases, or all, and print a table."""
    print(f"{platform.machine()}, {os.cpu_count()} processors")  # noqa: T201
    print(f"{'case':12} {'packed MB':>9} {'seconds':>8} {'RSS MB':>8} {'PSS MB':>8}  exit objects, MB")  # noqa: T201
    wrong = list(filter(None, (measure(case, gigabytes) for case in cases or CASES)))
    print("\n".join(wrong) or "All within the bound.")  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
