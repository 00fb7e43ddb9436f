"""Where a tried job reads and writes: a folder, or a bucket on S3; what is in it, and how it is set back."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

from edxorg_tests.crash.switch import VARIABLE
from edxorg_tests.support.forwarding import ask
from edxorg_tests.support.processes import LOOPBACK, Service, free_port, wait_for
from ol_orchestrate.testing.servers import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "trial"

OUTPUTS = ("lake/", "copies/")
"""Where jobs write; all else is their input."""

AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature="
"""Nothing looks at it, but without it no object can be overwritten."""

SECONDS_OLD = 3600


class Stored(NamedTuple):
    """An object: a digest of its content and metadata, when it was written, and what a listing says about that."""

    digest: str
    written: float
    listed: float


class Place(Protocol):
    """A folder or a bucket."""

    name: str

    def url(self, part: str) -> str: ...

    def put(self, key: str, content: bytes) -> None:
        """Put an input, as if an hour ago."""

    def objects(self) -> dict[str, Stored]:
        """Return the objects that jobs have written."""

    def left_over(self) -> list[str]:
        """Return what runs have left that is no object: files being written, uploads without an end."""

    def age(self) -> None:
        """Let what a killed run has left be so old that the next run may take it for left over."""

    def save(self, name: str) -> None: ...

    def restore(self, name: str) -> None: ...


class FolderPlace:
    """A folder."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._root = folder / "store"
        self._saved = folder / "saved-store"
        self._root.mkdir()

    def url(self, part: str) -> str:
        return f"file://{self._root}/{part}"

    def put(self, key: str, content: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        hour_ago = time.time() - SECONDS_OLD
        os.utime(path, (hour_ago, hour_ago))

    def objects(self) -> dict[str, Stored]:
        return {
            key: self._stored(path, key)
            for path in sorted(self._root.rglob("*"))
            if path.is_file() and "/." not in f"/{(key := path.relative_to(self._root).as_posix())}"
            if key.startswith(OUTPUTS)
        }

    def _stored(self, path: Path, key: str) -> Stored:
        written = path.stat().st_mtime_ns / 1e9
        described = path.with_name(f".{path.name}.metadata")
        metadata = json.loads(described.read_bytes())["metadata"] if described.exists() else {}
        content = hashlib.sha256(content_of(key, path.read_bytes())).hexdigest()
        return Stored(f"{content} {json.dumps(metadata, sort_keys=True)}", written, written)

    def left_over(self) -> list[str]:
        return [str(each.relative_to(self._root)) for each in self._root.glob("*/.unfinished/*")]

    def age(self) -> None:
        for each in self._root.glob("*/.unfinished/*"):
            with suppress(FileNotFoundError):  # its writer lives, and has ended
                os.utime(each, (0, 0))

    def save(self, name: str) -> None:
        shutil.copytree(self._root, self._saved / name)

    def restore(self, name: str) -> None:
        shutil.rmtree(self._root)
        shutil.copytree(self._saved / name, self._root)


class S3Place:
    """A bucket on a server of its own, which counts requests."""

    name = "S3"

    def __init__(self, port: int) -> None:
        self._port = port
        self._ask("PUT", f"/{BUCKET}")
        self._control("clear")

    def url(self, part: str) -> str:
        return f"s3://{BUCKET}/{part}"

    def put(self, key: str, content: bytes) -> None:
        self._ask("PUT", f"/{BUCKET}/{quote(key)}", content)
        self._control(f"age/{quote(key)}")

    def objects(self) -> dict[str, Stored]:
        found = self._control("objects")
        return {key: Stored(*each) for key, each in sorted(found.items()) if key.startswith(OUTPUTS)}

    def left_over(self) -> list[str]:
        return [f"upload of {key}" for key in self._control("uploads")]

    def age(self) -> None:
        """Do nothing: moto shows all uploads as if they were of 2010."""

    def save(self, name: str) -> None:
        self._control(f"save/{name}")

    def restore(self, name: str) -> None:
        self._control(f"restore/{name}")

    def _control(self, command: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._ask("POST", f"/crash/{command}"))

    def _ask(self, method: str, path: str, content: bytes = b"") -> bytes:
        return ask(f"{LOOPBACK}:{self._port}", method, path, content, {"Authorization": AUTHORIZATION})


class Servers(NamedTuple):
    """The servers that tried jobs use."""

    port: int
    catalogues: list[tuple[str, str, str]]
    """Address, and id and secret of a client, of each."""


@contextmanager
def serving(folder: Path, counts: Path) -> Iterator[Servers]:
    """Run the servers in a process of their own, which counts in a folder."""
    folder.mkdir()
    port, file = free_port(), folder / "catalogues"
    command = [sys.executable, "-m", "edxorg_tests.crash.servers", str(port), str(file)]
    service = Service(command, {**os.environ, VARIABLE: str(counts)}, folder)
    service.start()
    try:
        wait_for(lambda: _answers(port) or service.is_gone, pause=0.05)
        assert not service.is_gone, service.log
        os.environ.update(S3Server(f"http://{LOOPBACK}:{port}").environment)
        yield Servers(port, json.loads(file.read_bytes()))
    finally:
        service.kill()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def content_of(key: str, content: bytes) -> bytes:
    """Return what of an object has to be equal in all runs."""
    if "/reports/" in key and key.endswith(".html"):
        return b""  # tells what this run has delivered
    return re.sub(rb'"retrieved_at": ?"[^"]*"', b"", content) if key.endswith(".json") else content
