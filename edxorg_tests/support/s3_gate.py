"""A gate before a server that speaks S3: it lets requests through, refuses some, or leaves them without an answer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edxorg_tests.support.forwarding import forward
from ol_orchestrate.testing.scripted import Request, Response, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Gate:
    """The gate, and what it does to requests below a path.

    Attributes:
        refuses: The start of the paths that are answered with 503, as an overloaded store does; `None` for none.
        silences: The start of the paths that are never answered; `None` for none.
        passed: The number of requests that it let through, by their methods.
        refused: The number of requests that it refused.
    """

    address: str
    refuses: str | None = None
    silences: str | None = None
    passed: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def respond(self, request: Request) -> Response:
        if self.silences is not None and request.path.startswith(self.silences):
            self.closing.wait()
            return Response(0)
        if self.refuses is not None and request.path.startswith(self.refuses):
            self.refused += 1
            return Response(503, b"<Error><Code>SlowDown</Code></Error>")
        self.passed[request.method] = self.passed.get(request.method, 0) + 1
        return forward(self.address, request)


@contextmanager
def gate_before(url: str) -> Iterator[tuple[Gate, str]]:
    """Serve until the block ends; yield the gate and its URL."""
    gate = Gate(urlsplit(url).netloc)
    with serving(gate.respond) as server:
        try:
            yield gate, server.url
        finally:
            gate.closing.set()
