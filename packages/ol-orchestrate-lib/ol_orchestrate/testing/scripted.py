"""A loopback HTTP server whose responses a test writes itself, for responses that no real server can be made to send.

```python
def busy(request: Request) -> Response:
    return Response(503)

with serving(busy) as server:
    ...
assert len(server.requests) == 6
```
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Script = Callable[["Request"], "Response"]


@dataclass(frozen=True, slots=True)
class Request:
    """A received request.

    Attributes:
        method: The method in capital letters.
        path: The decoded path without the query.
        query: The first value of each parameter, which may be empty.
        headers: The headers by lower-case name.
        target: The path and the query as they came.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """A response to send.

    Attributes:
        status: A status code; 0 closes the connection without a response.
        body: The body, which is not sent for a HEAD.
        chunked: True to send the body in chunks, without a `Content-Length`.
        length: A `Content-Length` other than the body's; the connection breaks after the body.
        until: The connection stays open, and silent, until this is set; after the body, or without any response.
        reset: True to end the connection with a reset (RST) instead of an end.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    length: int | None = None
    until: threading.Event | None = None
    reset: bool = False


class ScriptedServer:
    """A server that listens on a free port, and the requests that it received.

    Args:
        script: Returns the response to each request; called from several threads.
        certificate: The files of a certificate and its key, for HTTPS.
    """

    def __init__(self, script: Script, certificate: tuple[Path, Path] | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._http = _Server(("127.0.0.1", 0), _handler(self, script))
        self._http.counted = self._count
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._http.context = context
        self.port: int = self._http.server_address[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _count(self) -> None:
        self.connections += 1

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def serving(script: Script, certificate: tuple[Path, Path] | None = None) -> Iterator[ScriptedServer]:
    """Run a server until the block ends."""
    server = ScriptedServer(script, certificate)
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    context: ssl.SSLContext | None = None
    counted: Callable[[], None]

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.counted()
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: clients are free to hang up."""


def _handler(server: ScriptedServer, script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def respond(self) -> None:
            request = _received(self)
            server.requests.append(request)
            response = script(request)
            self.send(response)
            _end(self, response)

        do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815 - the base class looks for these names

        def send(self, response: Response) -> None:
            if not response.status:
                self.close_connection = True
                return
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if response.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                length = len(response.body) if response.length is None else response.length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "HEAD":
                return
            if response.chunked:
                parts = [response.body[start : start + 65536] for start in range(0, len(response.body), 65536)]
                self.wfile.writelines(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
                return
            self.wfile.write(response.body)
            if response.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _received(handler: BaseHTTPRequestHandler) -> Request:
    url = urlsplit(handler.path)
    query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    headers = {name.lower(): value for name, value in handler.headers.items()}
    body = handler.rfile.read(int(headers.get("content-length", 0)))
    return Request(handler.command, unquote(url.path), query, headers, body, handler.path)


def _end(handler: BaseHTTPRequestHandler, response: Response) -> None:
    """Wait, or reset the connection, as a response says."""
    handler.close_connection |= response.until is not None or response.reset
    if response.until is not None:
        response.until.wait()
    if response.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())


_FIRST_WRITTEN = datetime(2024, 2, 1, tzinfo=UTC)


class ScriptedS3:
    """An empty S3 with every bucket, for single objects and uploads in parts.

    Use it as a script, or call it from a script that handles some requests itself.

    Args:
        keep: True to keep the bytes of objects, and not only their sizes and ETags.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.objects: dict[str, tuple[int, str, bytes]] = {}
        self.uploads: dict[str, dict[int, tuple[int, bytes, bytes]]] = {}
        self._numbers = count()
        self._keep = keep
        self._written: dict[str, datetime] = {}

    def __call__(self, request: Request) -> Response:
        """Return the response to a request."""
        match request.method:
            case "POST":
                return self._begin() if "uploads" in request.query else self._complete(request)
            case "PUT":
                return self._put(request)
            case "DELETE":
                self.objects.pop(request.path, None)
                return Response(204)
        if "list-type" in request.query:
            return self._list(request)
        if "uploads" in request.query:
            return _xml("ListMultipartUploadsResult", "")
        return self._get(request)

    def _begin(self) -> Response:
        upload = f"upload-{next(self._numbers)}"
        self.uploads[upload] = {}
        return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")

    def _get(self, request: Request) -> Response:
        found = self.objects.get(request.path)
        if found is None:
            return Response(404, b"<Error><Code>NoSuchKey</Code></Error>")
        size, e_tag, body = found
        headers = {"ETag": f'"{e_tag}"', "Last-Modified": format_datetime(self._time_of(request.path), usegmt=True)}
        if request.method == "HEAD":
            return Response(200, body, headers, length=size)
        if "range" not in request.headers:
            return Response(200, body, headers)
        first, last = request.headers["range"].removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last or size), size - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return Response(206, body[start : end + 1], headers)

    def _list(self, request: Request) -> Response:
        start = f"{request.path.rstrip('/')}/"
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter")
        content, folders = "", set()
        for path, (size, e_tag, _) in sorted(self.objects.items()):
            if not path.startswith(start + prefix):
                continue
            key = path.removeprefix(start)
            folder, slash, _ = key.removeprefix(prefix).partition(delimiter or "/")
            if delimiter and slash:
                folders.add(prefix + folder + slash)
                continue
            written = f"<LastModified>{self._time_of(path):%FT%T}.000Z</LastModified>"
            content += f"<Contents><Key>{escape(key)}</Key>{written}<ETag>&quot;{e_tag}&quot;</ETag><Size>{size}</Size>"
            content += "</Contents>"
        content += "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders)
        return _xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{content}")

    def _put(self, request: Request) -> Response:
        digest = hashlib.md5(request.body, usedforsecurity=False)
        kept = request.body if self._keep else b""
        if "partNumber" in request.query:
            part = len(request.body), digest.digest(), kept
            self.uploads[request.query["uploadId"]][int(request.query["partNumber"])] = part
        else:
            self._store(request.path, len(request.body), digest.hexdigest(), kept)
        return Response(headers={"ETag": f'"{digest.hexdigest()}"'})

    def _complete(self, request: Request) -> Response:
        parts = [part for _, part in sorted(self.uploads.pop(request.query["uploadId"]).items())]
        digest = hashlib.md5(b"".join(part[1] for part in parts), usedforsecurity=False)
        e_tag = f"{digest.hexdigest()}-{len(parts)}"
        body = b"".join(part[2] for part in parts)
        self._store(request.path, sum(part[0] for part in parts), e_tag, body)
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{e_tag}&quot;</ETag>")

    def _store(self, path: str, size: int, e_tag: str, body: bytes) -> None:
        self.objects[path] = size, e_tag, body
        self._written[path] = _FIRST_WRITTEN + timedelta(seconds=next(self._numbers))

    def _time_of(self, path: str) -> datetime:
        """Return the time of an object, by a clock that goes on by a second with each object."""
        return self._written.get(path, _FIRST_WRITTEN)


def _xml(name: str, content: str) -> Response:
    body = f'<?xml version="1.0"?><{name}><Bucket>b</Bucket><Key>k</Key>{content}</{name}>'.encode()
    return Response(200, body, {"Content-Type": "application/xml"})
