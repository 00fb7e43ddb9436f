"""An invented catalogue, and a small server on this machine that answers like the Discovery API."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from edxorg.samples import invented

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOGUE: Final = 10
"""Number of the one catalogue that is served; MITx has this number at edX."""

PAGE_SIZE: Final = 20

_TOKEN_PATH: Final = "/oauth2/access_token"  # noqa: S105 - a path
_PROGRAMS_PATH: Final = "/api/v1/programs/"
_COURSES_PATH: Final = f"/api/v1/catalogs/{CATALOGUE}/courses/"
_SUBJECTS: Final = ("Physics", "Economics & Finance", "Computer Science", "Biology & Life Sciences", "Energy")
_LEVELS: Final = ("Introductory", "Intermediate", "Advanced")
_OWNERS: Final = ("MITx", "MITxT", "MITProfessionalX")
_MOST_RUNS: Final = 6


@dataclass
class SampleCatalogue:
    """A catalogue that is being served.

    Attributes:
        url: Address of the server, without a trailing slash; tokens are issued at `{url}/oauth2/access_token`.
        client_id: The one OAuth client's id.
        client_secret: Its secret.
        programs: What `/api/v1/programs/` lists; changes show in the next answer.
        courses: What `/api/v1/catalogs/10/courses/` lists; changes show in the next answer.
    """

    url: str
    client_id: str
    client_secret: str
    programs: list[dict[str, Any]]
    courses: list[dict[str, Any]]


@contextmanager
def serve_sample_catalogue(programs: int, courses: int, seed: int = 0) -> Iterator[SampleCatalogue]:
    """Serve an invented catalogue on a free port of the loopback address.

    Args:
        programs: Number of programs.
        courses: Number of courses, each with one to six runs.
        seed: The same numbers and seed give the same records.
    """
    listed = [_course(Random(f"{seed}/course/{number}"), number) for number in range(courses)]  # noqa: S311 - sample data
    offered = [_program(Random(f"{seed}/program/{number}"), listed) for number in range(programs)]  # noqa: S311 - sample data
    catalogue = SampleCatalogue("", "sample-client", f"sample-secret-{seed}", offered, listed)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(catalogue))
    catalogue.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield catalogue
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
            records = {_PROGRAMS_PATH: catalogue.programs, _COURSES_PATH: catalogue.courses}.get(parts.path)
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
            """Say nothing: the demo has its own progress."""

    return Handler


def _page(records: list[dict[str, Any]], url: str, query: dict[str, list[str]]) -> dict[str, Any]:
    """A page by `limit` and `offset`, as the Discovery API makes them where no page number is asked for."""
    limit, offset = (int(query.get(name, [str(default)])[0]) for name, default in (("limit", PAGE_SIZE), ("offset", 0)))

    def link(start: int) -> str:
        return f"{url}?{urlencode({'limit': limit, 'offset': start})}"

    return {
        "count": len(records),
        "next": link(offset + limit) if offset + limit < len(records) else None,
        "previous": link(max(0, offset - limit)) if offset else None,
        "results": records[offset : offset + limit],
    }


def _program(rng: Random, courses: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = rng.sample(courses, min(len(courses), rng.randint(2, 5)))
    title, subtitle = invented.sentences(rng, 2, words=5)
    (uuid,) = invented.uuids(rng, 1)
    fields = ("key", "uuid", "title", "short_description", "course_type", "owners", "image")
    return {
        "uuid": uuid,
        "title": title.rstrip("."),
        "subtitle": rng.choice((subtitle, "")),
        "type": rng.choice(("MicroMasters", "XSeries", "Professional Certificate", None)),
        "status": rng.choice(("active", "active", "retired", "unpublished")),
        "marketing_slug": f"mitx-{uuid[:8]}",
        "hidden": False,
        "courses": [{field: course[field] for field in fields} for course in chosen],
        "authoring_organizations": [_organization(rng, key) for key in rng.sample(_OWNERS, rng.randint(1, 2))],
        "data_modified_timestamp": _time(rng),
    }


def _course(rng: Random, number: int) -> dict[str, Any]:
    key = f"MITx+{rng.randint(1, 24)}.{number:04d}x"
    title, short, *full = invented.sentences(rng, 6, words=12)
    (uuid,) = invented.uuids(rng, 1)
    course: dict[str, Any] = {
        "key": key,
        "uuid": uuid,
        "title": " ".join(title.rstrip(".").split()[:4]),
        "owners": [_organization(rng, owner) for owner in rng.sample(_OWNERS, rng.randint(1, 2))],
        "short_description": f"<p>{short}</p>",
        "full_description": f"<p>{' '.join(full)}</p>",
        "level_type": rng.choice((*_LEVELS, None)),
        "marketing_url": f"https://www.edx.example/course/{uuid}",
        "image": rng.choice((None, _image(uuid))),
        "course_type": rng.choice(("verified-audit", "audit", "professional")),
        "subjects": [{"name": name, "slug": name.lower()} for name in rng.sample(_SUBJECTS, 2)],
        "prerequisites": [],
        "prerequisites_raw": rng.choice(("", "<p>Calculus.</p>")),
        "modified": _time(rng),
    }
    course["course_runs"] = [_run(rng, course, year) for year in range(2015, 2016 + rng.randrange(_MOST_RUNS))]
    return course


def _run(rng: Random, course: dict[str, Any], year: int) -> dict[str, Any]:
    start, end, deadline = sorted(_time(rng) for _ in range(3))
    inherited = ("title", "short_description", "full_description", "marketing_url", "level_type", "image")
    return {
        **{field: course[field] for field in inherited},
        "key": f"course-v1:{course['key']}+1T{year}",
        "uuid": invented.uuids(rng, 1)[0],
        "content_language": rng.choice(("en-us", "es-419", None)),
        "start": start,
        "end": rng.choice((end, None)),
        "enrollment_start": None,
        "enrollment_end": rng.choice((end, None)),
        "announcement": None,
        "pacing_type": rng.choice(("instructor_paced", "self_paced")),
        "type": rng.choice(("verified", "audit", "professional")),
        "availability": rng.choice(("Archived", "Current", "Starting Soon", "Upcoming")),
        "status": "published",
        "is_enrollable": rng.random() < 1 / 2,
        "seats": [_seat(rng, "verified", "150.00", deadline), _seat(rng, "audit", "0.00", None)],
        "staff": [_person(rng, name) for name in invented.names(rng, rng.randint(0, 3))],
        "weeks_to_complete": rng.randint(2, 16),
        "min_effort": rng.choice((None, 2, 5)),
        "max_effort": rng.choice((None, 8, 12)),
        "estimated_hours": rng.choice((0, 40, 62.5)),
        "modified": _time(rng),
    }


def _seat(rng: Random, kind: str, price: str, deadline: str | None) -> dict[str, Any]:
    return {
        "type": kind,
        "price": price,
        "currency": "USD",
        "upgrade_deadline": deadline,
        "upgrade_deadline_override": None,
        "credit_provider": None,
        "credit_hours": None,
        "sku": invented.hex_ids(rng, 1, digits=7)[0].upper(),
        "bulk_sku": None,
    }


def _person(rng: Random, name: str) -> dict[str, Any]:
    given, family = name.split(" ")
    return {
        "uuid": invented.uuids(rng, 1)[0],
        "given_name": given,
        "family_name": rng.choice((family, None)),
        "bio": None,
    }


def _organization(rng: Random, key: str) -> dict[str, Any]:
    return {"uuid": invented.uuids(rng, 1)[0], "key": key, "name": f"{key}, an invented institution"}


def _image(uuid: str) -> dict[str, Any]:
    return {"src": f"https://media.edx.example/{uuid}.jpg", "description": None, "width": None, "height": None}


def _time(rng: Random) -> str:
    return invented.times(rng, 1)[0].replace(" ", "T") + "Z"
