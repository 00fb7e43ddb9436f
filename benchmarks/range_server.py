"""An S3 bucket to read from: the files of a folder, whole or by ranges, in a process of its own.

It keeps nothing in memory, so that files of any size can be served. `python -m benchmarks.range_server FOLDER` prints
the address.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server(NamedTuple):
    """A running server.

    Attributes:
        endpoint: Its address.
        process: The id of its process.
    """

    endpoint: str
    process: int


@contextmanager
def range_server(folder: Path) -> Iterator[Server]:
    """Serve the files of a folder in the bucket `lake`."""
    command = [sys.executable, "-m", "benchmarks.range_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - this interpreter
        try:
            yield Server(server.stdout.readline().strip() if server.stdout else "", server.pid)
        finally:
            server.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.folder / self.path.partition("?")[0].rpartition("/")[2]
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = path.stat()
        asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else status.st_size, status.st_size - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", f'"{status.st_ino}-1"')
        self.send_header("Last-Modified", formatdate(status.st_mtime, usegmt=True))
        self.end_headers()
        if with_body:
            self._send(path, first, last)

    def _send(self, path: Path, first: int, last: int) -> None:
        self.wfile.flush()
        with path.open("rb") as file:
            while first <= last:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, last - first + 1)

    def log_message(self, *_: object) -> None:
        """Keep silent."""


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[1])
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{listening.server_port}", flush=True)
    listening.serve_forever()
