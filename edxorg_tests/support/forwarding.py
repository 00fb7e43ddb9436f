"""Passes requests on to another server, for servers of tests that stand between a client and a real one."""

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
