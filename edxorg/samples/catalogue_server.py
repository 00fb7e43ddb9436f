"""Serves an invented catalogue on this machine in the way of the Discovery API."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from edxorg.samples.sample_catalogue import Catalogue
from edxorg.samples.university import University

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOGUE: Final = 10
"""Number of the one catalogue that is served, if no other is asked for; MITx has this number at edX."""

PAGE_SIZE: Final = 20

_TOKEN_PATH: Final = "/oauth2/access_token"  # noqa: S105 - a path
_PROGRAMS_PATH: Final = "/api/v1/programs/"
_MAX_PACKED: Final = 8


@dataclass
class SampleCatalogue:
    """A catalogue that is being served.

    Attributes:
        url: Address of the server, without a trailing slash; tokens are issued at `{url}/oauth2/access_token`.
        client_id: The one OAuth client's id.
        client_secret: Its secret.
        programs: Records of `/api/v1/programs/`; changes show in the next response.
        courses: Records of `/api/v1/catalogs/{number}/courses/`; changes show in the next response.
        number: Number of the catalogue.
    """

    url: str
    client_id: str
    client_secret: str
    programs: list[dict[str, Any]]
    courses: list[dict[str, Any]]
    number: int = CATALOGUE


@contextmanager
def serve_sample_catalogue(
    programs: int, courses: int, seed: int = 0, number: int = CATALOGUE
) -> Iterator[SampleCatalogue]:
    """Serve a catalogue of a certain size on a free port of the loopback address.

    Args:
        programs: The number of programs.
        courses: The number of courses, each with one to seven runs.
        seed: The same numbers and seed give the same records.
        number: Number of the catalogue.
    """
    university = University(seed=seed, courses=min(courses, _MAX_PACKED))
    with serve_catalogue(Catalogue(university, courses, programs), number) as served:
        yield served


@contextmanager
def serve_catalogue(catalogue: Catalogue, number: int = CATALOGUE) -> Iterator[SampleCatalogue]:
    """Serve a university's catalogue on a free port of the loopback address."""
    secret = f"sample-secret-{catalogue.university.seed}"
    served = SampleCatalogue("", "sample-client", secret, catalogue.programs, catalogue.courses, number)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler_of(catalogue: SampleCatalogue) -> type[BaseHTTPRequestHandler]:
    token = f"sample-token-of-{catalogue.client_id}"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes, and a client waits 40 ms between them

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
            client = (form.get("client_id"), form.get("client_secret"))
            if self.path.rstrip("/") != _TOKEN_PATH:
                self._answer(HTTPStatus.NOT_FOUND, {"detail": "Not found."})
            elif client != (catalogue.client_id, catalogue.client_secret):
                self._answer(HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"})
            else:
                self._answer(HTTPStatus.OK, {"access_token": token, "expires_in": 3600, "token_type": "JWT"})

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            courses = f"/api/v1/catalogs/{catalogue.number}/courses/"
            records = {_PROGRAMS_PATH: catalogue.programs, courses: catalogue.courses}.get(parts.path)
            if self.headers.get("Authorization") != f"JWT {token}":
                self._answer(HTTPStatus.UNAUTHORIZED, {"detail": "Authentication credentials were not provided."})
            elif records is None:
                self._answer(HTTPStatus.NOT_FOUND, {"detail": "Not found."})
            else:
                self._answer(HTTPStatus.OK, _page(records, catalogue.url + parts.path, parse_qs(parts.query)))

        def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Print nothing: the demo has its own progress."""

    return Handler


def _page(records: list[dict[str, Any]], url: str, query: dict[str, list[str]]) -> dict[str, Any]:
    """Return a page by `limit` and `offset`, as the Discovery API does for requests without a page number."""
    limit, offset = (int(query.get(name, [str(default)])[0]) for name, default in (("limit", PAGE_SIZE), ("offset", 0)))

    def link(start: int) -> str:
        return f"{url}?{urlencode({'limit': limit, 'offset': start})}"

    return {
        "count": len(records),
        "next": link(offset + limit) if offset + limit < len(records) else None,
        "previous": link(max(0, offset - limit)) if offset else None,
        "results": records[offset : offset + limit],
    }
