"""S3 by moto, which counts requests and can be set back, and two catalogues, in a process of their own.

`python -m edxorg_tests.crash.servers PORT FILE` writes the addresses of the catalogues to the file.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import sys
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, run_simple

from edxorg.samples.catalogue_server import serve_sample_catalogue
from edxorg_tests.crash.places import BUCKET, content_of
from edxorg_tests.crash.switch import VARIABLE, Moment, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTROL = "/crash/"
PIECE = 64 << 10
HOUR = timedelta(hours=1)


class CountingServer:
    """Passes requests on to moto, and counts them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._saved: dict[str, Any] = {}
        self._under_way = 0
        self._changed = threading.Condition()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if path.startswith(CONTROL):
            answer = json.dumps(self._control(path.removeprefix(CONTROL))).encode()
            start_response("200 OK", [("Content-Length", str(len(answer)))])
            return [answer]
        with self._changed:
            self._under_way += 1
        try:
            return self._pass_on(environ, start_response)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _pass_on(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        switch = Switch(self._folder)
        try:
            if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
                switch.count(Moment.STEP)
                return list(self._moto(environ, start_response))
            environ["wsgi.input"] = _CountedBody(environ["wsgi.input"], switch)
            if switch.count(Moment.OBJECT):
                raise ConnectionResetError("the run died before its request was there")
            answer = list(self._moto(environ, start_response))
            switch.count(Moment.OBJECT)
            return answer
        finally:
            switch.close()

    def _control(self, path: str) -> object:
        command, _, name = path.partition("/")
        with self._changed:
            while self._under_way:
                self._changed.wait()
        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET]
        if command == "clear":
            bucket.keys.clear()
            self._saved.clear()
        elif command == "save":
            self._saved[name] = copy.deepcopy(bucket.keys)
        elif command == "restore":
            bucket.keys = copy.deepcopy(self._saved[name])
            bucket.multiparts.clear()
        elif command == "age":
            bucket.keys[name].last_modified -= HOUR
        elif command == "objects":
            return {
                key.name: [_digest(key), key.last_modified.timestamp(), int(key.last_modified.timestamp())]
                for key in bucket.keys.values()
            }
        elif command == "uploads":
            return [each.key_name for each in bucket.multiparts.values()]
        return None


def _digest(key: Any) -> str:  # noqa: ANN401 - moto's
    metadata = {name: value for name, value in key.metadata.items() if name.startswith("x-amz-meta-")}
    return f"{hashlib.sha256(content_of(key.name, key.value)).hexdigest()} {json.dumps(metadata, sort_keys=True)}"


class _CountedBody:
    """The body of a request, read in pieces, each of which is counted."""

    def __init__(self, body: Any, switch: Switch) -> None:  # noqa: ANN401 - werkzeug's
        self._body = body
        self._switch = switch

    def read(self, size: int = -1) -> bytes:
        pieces = []
        while size and (piece := self._body.read(min(size, PIECE) if size > 0 else PIECE)):
            if self._switch.count(Moment.BYTES):
                raise ConnectionResetError("the run died with half of its request sent")
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._body.readline(size)
        return line


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None: ...


def main(port: str, file: str) -> None:
    with ExitStack() as stack:
        catalogues = [
            stack.enter_context(serve_sample_catalogue(programs=21 + number, courses=22 + number, seed=number))
            for number in range(2)
        ]
        addresses = [[each.url, each.client_id, each.client_secret] for each in catalogues]
        Path(file).write_text(json.dumps(addresses))
        folder = Path(os.environ[VARIABLE])
        run_simple("127.0.0.1", int(port), CountingServer(folder), threaded=True, request_handler=_Quiet)


if __name__ == "__main__":
    main(*sys.argv[1:])
