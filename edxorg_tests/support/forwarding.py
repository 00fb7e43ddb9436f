"""Sends requests to servers of tests, its own ones and those that it passes on for a client."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from ol_orchestrate.testing.scripted import Response

if TYPE_CHECKING:
    from ol_orchestrate.testing.scripted import Request

_OF_CONNECTION = {"connection", "content-length", "date", "host", "server", "transfer-encoding"}


def forward(address: str, request: Request) -> Response:
    """Send a request to a server at `host:port`; return its response."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        headers = {name: value for name, value in request.headers.items() if name not in _OF_CONNECTION}
        connection.request(request.method, request.target, request.body, headers)
        response = connection.getresponse()
        body = response.read()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _OF_CONNECTION}
        size = int(response.getheader("content-length") or 0) if request.method == "HEAD" else None
        return Response(response.status, body, kept, length=size)
    finally:
        connection.close()


def ask(address: str, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> bytes:
    """Send a request of a test's own to a server at `host:port`; return the body of its response, which is a 200."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        content = response.read()
        assert response.status == http.client.OK, (method, target, response.status, content)
        return content
    finally:
        connection.close()
