"""A loopback HTTP server whose answers a test writes itself, for what no real server can be made to answer.

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
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Script = Callable[["Request"], "Response"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived.

    Attributes:
        method: In capital letters.
        path: Without the query, and with escapes undone.
        query: The first value of each parameter; empty for those without one.
        headers: By lower-case name.
        body: Its bytes.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to be sent.

    Attributes:
        status: Of three digits; 0 to close the connection without an answer.
        body: Its bytes; not sent in answer to a HEAD.
        headers: As they are to be sent.
        chunked: Leave out `Content-Length`, and send the body in chunks.
        length: The `Content-Length`, where it is not to be the body's; the connection breaks after the body.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    length: int | None = None


class ScriptedServer:
    """A running server, and the requests that it got."""

    def __init__(self, script: Script, certificate: tuple[Path, Path] | None = None) -> None:
        """Listen on a free port.

        Args:
            script: Answers each request; called from several threads.
            certificate: Files of a certificate and its key, for HTTPS.
        """
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
    """A server that runs until the block ends."""
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
        """Say nothing: clients are free to hang up."""


def _handler(server: ScriptedServer, script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            request = Request(self.command, unquote(url.path), query, headers, body)
            server.requests.append(request)
            self.send(script(request))

        do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - the base class looks for these names

        def send(self, answer: Response) -> None:
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            self.end_headers()
            if self.command == "HEAD":
                return
            if answer.chunked:
                parts = [answer.body[start : start + 65536] for start in range(0, len(answer.body), 65536)]
                self.wfile.writelines(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
                return
            self.wfile.write(answer.body)
            if answer.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class ScriptedS3:
    """Just enough of S3 for single objects and uploads in parts; it keeps sizes and ETags, and bytes only on request.

    Use it as a script, or call it from one that answers some requests itself.
    """

    def __init__(self, *, keep: bool = True) -> None:
        """An empty store that has every bucket.

        Args:
            keep: Whether to keep the bytes of the objects.
        """
        self.objects: dict[str, tuple[int, str, bytes]] = {}
        self.uploads: dict[str, dict[int, tuple[int, bytes, bytes]]] = {}
        self._numbers = count()
        self._keep = keep

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
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
        headers = {"ETag": f'"{e_tag}"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
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
            written = "<LastModified>2024-02-01T00:00:00.000Z</LastModified>"
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
            self.objects[request.path] = len(request.body), digest.hexdigest(), kept
        return Response(headers={"ETag": f'"{digest.hexdigest()}"'})

    def _complete(self, request: Request) -> Response:
        parts = [part for _, part in sorted(self.uploads.pop(request.query["uploadId"]).items())]
        digest = hashlib.md5(b"".join(part[1] for part in parts), usedforsecurity=False)
        e_tag = f"{digest.hexdigest()}-{len(parts)}"
        body = b"".join(part[2] for part in parts)
        self.objects[request.path] = sum(part[0] for part in parts), e_tag, body
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{e_tag}&quot;</ETag>")


def _xml(name: str, content: str) -> Response:
    body = f'<?xml version="1.0"?><{name}><Bucket>b</Bucket><Key>k</Key>{content}</{name}>'.encode()
    return Response(200, body, {"Content-Type": "application/xml"})
