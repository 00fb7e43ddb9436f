"""Delivering many small objects to S3: requests, and the client's processor time, for each.

The server is rclone, in a process of its own; its log has a line for each request. Needs `uv run --group test`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import socket
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.session import Session
from rich.console import Console
from rich.table import Table

from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, open_store
from ol_orchestrate.lib.versions import Recorded, VersionedObjects, write_if_needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BYTES = 4096
"""Size of an object: most tables of a course are as small."""

KEYS = ("testing", "testing-secret")
REGION = "us-east-1"


def run(objects: int) -> None:
    """Write objects, write them again, and print the table."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (endpoint, log):
        store = open_store(
            "s3://lake/prefix",
            StoreAccess(aws_keys=(*KEYS, None), aws_region=REGION, aws_endpoint_url=endpoint),
        )
        client = Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=endpoint,
            aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
            config=Config(max_pool_connections=ObjectStore.writes_at_once),
        )
        to = VersionedObjects(store, lambda version: f"objects/{version}.tsv")

        def new(number: int) -> None:
            content = _content(number)
            write_if_needed(hashlib.sha256(content).hexdigest(), io.BytesIO(content), to=to, recorded=None)

        def unchanged(number: int) -> None:
            version = hashlib.sha256(_content(number)).hexdigest()
            write_if_needed(version, io.BytesIO(), to=to, recorded=Recorded(version, None))

        def by_botocore(number: int) -> None:
            client.put_object(Bucket="lake", Key=f"plain/{number}", Body=_content(number))  # type: ignore[attr-defined]

        store.find("anything")  # finds the credentials, and loads what that takes
        client.list_objects_v2(Bucket="lake", Prefix="nothing/")  # type: ignore[attr-defined]
        table = Table("work", "requests each", "client's CPU ms each", "objects/s", "load")
        works = {"new": new, "unchanged": unchanged, "botocore's put_object alone": by_botocore}
        for name, work in works.items():
            before = _requests(log)
            cpu, seconds = _measured(work, objects)
            asked = _requests(log) - before
            table.add_row(
                name,
                f"{asked.total() / objects:.2f} ({', '.join(asked)})",
                f"{cpu / objects * 1e3:.2f}",
                f"{objects / seconds:,.0f}",
                f"{os.getloadavg()[0]:.1f}",
            )
        Console().print(table)


def _content(number: int) -> bytes:
    return (b"%d\t" % number) * (BYTES // 6)


def _measured(work: Callable[[int], None], objects: int) -> tuple[float, float]:
    cpu, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(ObjectStore.writes_at_once) as threads:
        for _ in threads.map(work, range(objects)):
            pass
    return time.process_time() - cpu, time.perf_counter() - start


def _requests(log: Path) -> Counter[str]:
    """Requests so far, by kind."""
    marked = (line.partition(" serve s3: ")[2] for line in log.read_text().splitlines())
    return Counter(" ".join(rest.split()[:2]).rstrip(":") for rest in marked if " OBJECT" in rest)


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and its log."""
    (folder / "objects" / "lake").mkdir(parents=True)
    log = folder / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_rclone(), "serve", "s3", str(folder / "objects"), "--addr", f"127.0.0.1:{port}", "-vv"]
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own
            [*command, "--auth-key", ",".join(KEYS), "--config", os.devnull], stdout=output, stderr=output
        )
    try:
        while b"Starting s3 server" not in log.read_bytes():
            if server.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", log
    finally:
        server.kill()
        server.wait()


def _rclone() -> str:
    spec = importlib.util.find_spec("rclone_api")
    folders = spec.submodule_search_locations or [] if spec else []
    programs = [str(program) for folder in folders for program in Path(folder).glob("bin/rclone*")]
    if not programs:
        raise SystemExit("rclone is not installed: uv run --group test python -m benchmarks small-objects")
    return programs[0]
