"""An Open edX API on loopback that misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlsplit

from pydantic import BaseModel

from ol_orchestrate.lib.openedx_api import ApiCredentials, Clock, OpenEdxApi, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


SECRET = 's3cr3t+/="canary'  # noqa: S105 - of a server that lives for one test

CLIENT_ID = "client-id-canary"

TOKEN_PATH = "/oauth2/access_token"  # noqa: S105 - a path

LISTING = "/api/v1/things/"


class Thing(BaseModel):
    """An object of a listing."""

    key: str
    note: str | None = None


class Seen(NamedTuple):
    """A request that the server received."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    """A response, and the way in which it is sent."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    keep: int | None = None
    """Bytes of the body that are sent before the connection is closed."""
    repeat: int = 1
    """The number of times that the body is sent."""
    drip: float = 0.0
    """Seconds between two bytes."""
    header_drip: float = 0.0
    """Seconds between two headers."""

    def content(self) -> bytes:
        """Return the bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class LoopbackApi:
    """Answers each path from a queue whose last reply stays; issues tokens `token-1`, `token-2` and so on."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self.tokens = 0
        self.sent = 0
        self._replies: dict[str, list[Reply | Callable[[Seen], Reply]]] = {TOKEN_PATH: [self._issue_token]}

    def on(self, path: str, *replies: Reply | Callable[[Seen], Reply]) -> None:
        """Answer a path with these replies, one after the other."""
        self._replies[path] = list(replies)

    def asked(self, path: str) -> list[Seen]:
        """Return the requests for a path."""
        return [request for request in self.seen if request.path == path]

    def answer(self, request: Seen) -> Reply:
        """Return the reply to a request."""
        self.seen.append(request)
        replies = self._replies.get(request.path, [Reply({"detail": "Not found."}, status=404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply if isinstance(reply, Reply) else reply(request)

    def _issue_token(self, request: Seen) -> Reply:
        self.tokens += 1
        form = dict(parse_qsl(request.body.decode()))
        expected = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "token_type": "jwt"}
        if form != expected | {"client_secret": SECRET}:
            return Reply({"error": "invalid_client", "you_sent": request.body.decode()}, status=401)
        return Reply({"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "JWT"})


def handler_of(api: LoopbackApi) -> type[BaseHTTPRequestHandler]:
    """Return a class of handlers that answer for an API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            reply = api.answer(Seen(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body))
            try:
                self.say(reply)
            except OSError:  # the client has left, as it should
                self.close_connection = True

        def say(self, reply: Reply) -> None:
            content = reply.content()
            self.send_response(reply.status)
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(content) * reply.repeat),
            } | reply.headers
            for name, value in headers.items():
                self.send_header(name, value)
                if reply.header_drip:
                    self.flush_headers()
                    time.sleep(reply.header_drip)
            self.end_headers()
            if reply.keep is not None:
                content, self.close_connection = content[: reply.keep], True
            for _ in range(reply.repeat):
                for start in range(0, len(content), 1 if reply.drip else len(content) or 1):
                    self.wfile.write(content[start : start + 1] if reply.drip else content)
                    time.sleep(reply.drip)
                api.sent += len(content)

        do_GET = do_POST = reply  # noqa: N815 - the names http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Keep the test's output clean."""

    return Handler


@contextmanager
def serving_api() -> Iterator[LoopbackApi]:
    """Serve an API until the block ends."""
    api = LoopbackApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(api))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class FakeTime:
    """Time that passes only while a client sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        """Return a clock that shows this time."""
        return Clock(monotonic=lambda: self.now, sleep=self.sleep)


def credentials(server: LoopbackApi, **changes: str) -> ApiCredentials:
    """Return the credentials that the server accepts, or others."""
    values = {"client_id": CLIENT_ID, "client_secret": SECRET, "url": server.url, "studio_url": server.url}
    return ApiCredentials(**(values | changes))


def page(keys: list[str], count: int, next_link: str | None = None) -> Reply:
    """Return a page of a listing."""
    return Reply({"count": count, "next": next_link, "previous": None, "results": [{"key": key} for key in keys]})


def keys_of(api: OpenEdxApi) -> list[str]:
    """Return the keys of all things of the listing."""
    return [thing.key for page in api.pages(LISTING, Page[Thing], {"page_size": 2}) for thing in page.results]
