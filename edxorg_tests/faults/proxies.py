"""Proxies before the servers of a job: they count the requests, and disturb some of them."""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from edxorg_tests.support.forwarding import forward
from ol_orchestrate.testing.scripted import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edxorg_tests.faults.kinds import Kind
    from ol_orchestrate.testing.scripted import Request, Response, ScriptedServer


class Sort(StrEnum):
    """What a request is for."""

    LIST = "list"
    LOOK = "look"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LOGIN = "login"
    SECRET = "secret"  # noqa: S105 - a name


class Protocol(StrEnum):
    """What a server speaks."""

    S3 = "S3"
    GCS = "Cloud Storage"
    VAULT = "Vault"
    GOOGLE = "Google's login"
    API = "Discovery API"

    def sort(self, request: Request) -> Sort:
        """Return what a request is for."""
        match self:
            case Protocol.S3:
                return _sort_of_s3(request)
            case Protocol.GCS:
                return _sort_of_gcs(request)
            case Protocol.VAULT:
                return Sort.LOGIN if request.path.endswith("/login") else Sort.SECRET
            case Protocol.GOOGLE:
                return Sort.LOGIN
            case _:
                return Sort.LOGIN if request.method == "POST" else Sort.LIST


def _sort_of_s3(request: Request) -> Sort:
    if request.method == "GET":
        return Sort.LIST if {"list-type", "uploads"} & request.query.keys() else Sort.READ
    return {"HEAD": Sort.LOOK, "DELETE": Sort.DELETE}.get(request.method, Sort.WRITE)


def _sort_of_gcs(request: Request) -> Sort:
    path, _, _ = request.target.partition("?")
    if request.method != "GET" or not path.startswith("/storage/v1/b/"):
        return _sort_of_s3(request)
    _, _, rest = path.removeprefix("/storage/v1/b/").partition("/")
    if request.query.get("alt") == "media":
        return Sort.READ
    return Sort.LIST if rest == "o" else Sort.LOOK


class Asked(NamedTuple):
    """A request that came.

    Attributes:
        place: Which part of which server it was for.
        identity: Equal for two requests if the second one repeats the first.
        is_disturbed: True if it was not answered as it should be.
    """

    place: str
    sort: Sort
    identity: tuple[str, ...]
    is_disturbed: bool


@dataclass(slots=True)
class Fault:
    """A fault that is to come.

    Attributes:
        number: Which of the requests it fits it comes with, counted from 1.
        lasts: True if all later ones have it, too.
    """

    kind: Kind
    place: str
    number: int
    lasts: bool
    _seen: int = 0
    _hit: set[tuple[str, ...]] = field(default_factory=set)

    def hits(self, place: str, sort: Sort, identity: tuple[str, ...]) -> bool:
        """Return True if a request is to be disturbed."""
        if place != self.place or not self.kind.fits(Protocol(place.partition(",")[0]), sort):
            return False
        self._seen += 1
        if self._seen == self.number or (self.lasts and self._seen > self.number):
            self._hit.add(identity)
            return True
        # Who asks the same again gets the same answer, if it is one for good.
        return self.kind.is_final_at(Protocol(place.partition(",")[0])) and identity in self._hit


class Proxy:
    """A server in front of a real one, once in clear and once with a certificate that nobody trusts."""

    def __init__(self, protocol: Protocol, upstream: str, proxies: Proxies) -> None:
        self.protocol = protocol
        self.address = urlsplit(upstream).netloc
        self._proxies = proxies
        self.clear: ScriptedServer
        self.untrusted: ScriptedServer

    @property
    def url(self) -> str:
        """The address at this moment."""
        fault = self._proxies.fault
        is_untrusted = fault is not None and fault.kind.refuses_tls and fault.place.startswith(self.protocol)
        return (self.untrusted if is_untrusted else self.clear).url

    def respond(self, request: Request) -> Response:
        """Forward a request, or disturb it."""
        return self._proxies.respond(self, request)

    def forward(self, request: Request) -> Response:
        """Let the real server respond."""
        response = forward(self.address, request)
        # Cloud Storage tells where to send the bytes of an upload.
        headers = {
            name: value.replace(f"//{self.address}", f"//127.0.0.1:{self.clear.port}")
            for name, value in response.headers.items()
        }
        return type(response)(response.status, response.body, headers, length=response.length)


class Proxies:
    """All proxies of a job.

    Attributes:
        fault: The one that is to come; `None` for none.
        asked: The requests that came, since this was emptied.
        parts: Names of parts of servers, by what is in the paths of requests for them.
        before: Called before a disturbed request, for faults that do something else to its server.
        closing: Set when nobody waits for an answer any more.
    """

    def __init__(self, parts: dict[str, str]) -> None:
        self.fault: Fault | None = None
        self.asked: list[Asked] = []
        self.parts = parts
        self.change: Callable[[], None] = lambda: None
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def before(self, protocol: Protocol, upstream: str, certificate: Path) -> Proxy:
        """Start a proxy before a server; it ends with the block."""
        proxy = Proxy(protocol, upstream, self)
        proxy.clear = self._stack.enter_context(serving(proxy.respond))
        proxy.untrusted = self._stack.enter_context(serving(proxy.respond, (certificate, certificate)))
        return proxy

    def respond(self, proxy: Proxy, request: Request) -> Response:
        """Forward a request, or disturb it."""
        part = next((name for key, name in self.parts.items() if key in request.path), "")
        place = f"{proxy.protocol}, {part}" if part else str(proxy.protocol)
        sort = proxy.protocol.sort(request)
        identity = _identity(request)
        with self._lock:
            fault = self.fault
            is_hit = fault is not None and fault.hits(place, sort, identity)
            self.asked.append(Asked(place, sort, identity, is_hit))
        if fault is not None and is_hit:
            return fault.kind.disturb(self, proxy, request)
        return proxy.forward(request)

    def release(self) -> None:
        """Let all requests go that are waiting in vain."""
        self.closing.set()
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._stack.close()


def _identity(request: Request) -> tuple[str, ...]:
    ranges = [request.headers.get(name, "") for name in ("range", "content-range")]
    return (request.method, request.target, *ranges, hashlib.sha256(request.body).hexdigest()[:12])
