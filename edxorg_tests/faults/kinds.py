"""The kinds of faults, and how a proxy makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edxorg_tests.faults.proxies import Protocol, Sort
from ol_orchestrate.testing.scripted import Response

if TYPE_CHECKING:
    from edxorg_tests.faults.proxies import Proxies, Proxy
    from ol_orchestrate.testing.scripted import Request

Disturb = Callable[["Proxies", "Proxy", "Request"], Response]

ALL = frozenset(Sort)
WITH_BODY = frozenset({Sort.LIST, Sort.READ, Sort.LOGIN, Sort.SECRET})
STORES = frozenset({Protocol.S3, Protocol.GCS})
EVERYWHERE = frozenset(Protocol)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of faults.

    Attributes:
        name: Its name in the table.
        disturb: Makes the response.
        sorts: The requests that it fits.
        protocols: The servers that it fits.
        final: The servers at which nothing but an operator can help, so that it may be tried once only.
        either: The servers at which both is right, since the vendors' clients differ.
        can_last: True if it can go on until the run is over.
        refuses_tls: True if the server has a certificate that nobody trusts, from the beginning.
        from_start: True if it is so from the first request on.
        changes: True if something else writes to the source.
    """

    name: str
    disturb: Disturb
    sorts: frozenset[Sort] = ALL
    protocols: frozenset[Protocol] = EVERYWHERE
    final: frozenset[Protocol] = frozenset()
    either: frozenset[Protocol] = frozenset()
    can_last: bool = True
    refuses_tls: bool = False
    from_start: bool = False
    changes: bool = False

    def fits(self, protocol: Protocol, sort: Sort) -> bool:
        """Return True if a request can have this fault."""
        return protocol in self.protocols and sort in self.sorts

    def is_final_at(self, protocol: Protocol) -> bool:
        """Return True if the same request has the same answer for good."""
        return protocol in self.final


def _answer(status: int, code: str = "") -> Disturb:
    """Answer with an error in the form of the server."""

    def disturb(_: Proxies, proxy: Proxy, __: Request) -> Response:
        return error(proxy.protocol, status, code)

    return disturb


def error(protocol: Protocol, status: int, code: str = "", headers: dict[str, str] | None = None) -> Response:
    """Return an error in the form of a server."""
    match protocol:
        case Protocol.S3:
            name = code or {403: "AccessDenied", 400: "InvalidRequest", 404: "NoSuchKey"}.get(status, "")
            body = f"<Error><Code>{name}</Code><Message>told to</Message></Error>".encode() if name else b""
        case Protocol.GCS:
            body = json.dumps({"error": {"code": status, "message": "told to"}}).encode()
        case Protocol.VAULT:
            body = b'{"errors": ["told to"]}'
        case _:
            body = json.dumps({"error": code or "told_to", "detail": "told to"}).encode()
    kind = "application/xml" if protocol is Protocol.S3 else "application/json"
    return Response(status, body, {"Content-Type": kind, **(headers or {})})


def _redirect(proxies: Proxies, proxy: Proxy, request: Request) -> Response:
    """Redirect, without an address at stores: S3 gives none, and obstore follows one, which nobody can forbid it."""
    del proxies, request
    headers = {} if proxy.protocol in STORES else {"Location": "https://elsewhere.example/"}
    return error(proxy.protocol, 301, headers=headers)


def _reset(*_: object) -> Response:
    return Response(0, reset=True)


def _lost_answer(_: Proxies, proxy: Proxy, request: Request) -> Response:
    proxy.forward(request)
    return Response(0, reset=True)


def _stall(proxies: Proxies, *_: object) -> Response:
    return Response(0, until=proxies.closing)


def _half(response: Response) -> Response:
    return replace(response, body=response.body[: len(response.body) // 2], length=len(response.body))


def _stall_in_answer(proxies: Proxies, proxy: Proxy, request: Request) -> Response:
    return replace(_half(proxy.forward(request)), until=proxies.closing)


def _short_read(_: Proxies, proxy: Proxy, request: Request) -> Response:
    return _half(proxy.forward(request))


def _cut(_: Proxies, proxy: Proxy, request: Request) -> Response:
    """Send the first half of a page as if it were all of it."""
    response = proxy.forward(request)
    return replace(response, body=response.body[: len(response.body) // 2])


def _flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


def _wrong_bytes(_: Proxies, proxy: Proxy, request: Request) -> Response:
    response = proxy.forward(request)
    return replace(response, body=_flip(response.body))


def _wrong_upload(_: Proxies, proxy: Proxy, request: Request) -> Response:
    """Change a byte of an upload. S3 compares it with the checksum in a header; here the proxy does."""
    if proxy.protocol is Protocol.S3 and "x-amz-checksum-sha256" in request.headers:
        return error(Protocol.S3, 400, "BadDigest")
    # At Cloud Storage a POST announces an upload, and has none of its bytes.
    return proxy.forward(replace(request, body=_flip(request.body)) if request.method == "PUT" else request)


def _expired(_: Proxies, proxy: Proxy, request: Request) -> Response:
    """Let the credentials of a request expire."""
    match proxy.protocol:
        case Protocol.S3:
            return error(Protocol.S3, 400, "ExpiredToken")
        case Protocol.GCS:
            return error(Protocol.GCS, 401)
        case Protocol.VAULT:
            proxy.forward(replace(request, method="POST", target="/v1/auth/token/revoke-self", body=b""))
            return proxy.forward(request)
        case _:
            headers = {name: value for name, value in request.headers.items() if name != "authorization"}
            return proxy.forward(replace(request, headers=headers))


def _wrong_credentials(_: Proxies, proxy: Proxy, request: Request) -> Response:
    match proxy.protocol:
        case Protocol.S3:
            return error(Protocol.S3, 403, "InvalidAccessKeyId")
        case Protocol.GCS:
            return error(Protocol.GCS, 401)
        case Protocol.GOOGLE:
            return error(Protocol.GOOGLE, 400, "invalid_grant")
        case _:  # The real server refuses what it does not know.
            return proxy.forward(replace(request, body=request.body.replace(b"secret", b"no-secret")))


def _changed(proxies: Proxies, proxy: Proxy, request: Request) -> Response:
    proxies.change()
    return proxy.forward(request)


def _changed_in_the_middle(proxies: Proxies, proxy: Proxy, request: Request) -> Response:
    response = _half(proxy.forward(request))
    proxies.change()
    return response


KINDS = (
    Kind("reset", _reset),
    Kind("lost answer", _lost_answer),
    Kind("stall", _stall),
    Kind("stall in the answer", _stall_in_answer, WITH_BODY),
    Kind("500", _answer(500)),
    Kind("503", _answer(503)),
    Kind("429", _answer(429)),
    Kind("short read", _short_read, WITH_BODY),
    Kind("wrong checksum", _wrong_bytes, frozenset({Sort.READ}), STORES),
    Kind("wrong upload", _wrong_upload, frozenset({Sort.WRITE}), STORES, final=frozenset({Protocol.S3})),
    # A page of XML that breaks off is no answer of the protocol; one of JSON has its own sign of having been cut.
    Kind("cut page", _cut, frozenset({Sort.LIST}), final=STORES),
    Kind(
        "expired token",
        _expired,
        ALL - {Sort.LOGIN},
        EVERYWHERE - {Protocol.GOOGLE},
        final=frozenset({Protocol.S3}),
        either=frozenset({Protocol.GCS}),
    ),
    Kind("object changes", _changed, frozenset({Sort.READ}), STORES, can_last=False, changes=True),
    Kind("change while read", _changed_in_the_middle, frozenset({Sort.READ}), STORES, can_last=False, changes=True),
    Kind("403", _answer(403), final=EVERYWHERE),
    Kind("400", _answer(400), final=EVERYWHERE),
    Kind("404", _answer(404), final=EVERYWHERE),
    Kind("redirect", _redirect, final=EVERYWHERE),
    Kind("untrusted certificate", _reset, final=EVERYWHERE, refuses_tls=True, from_start=True),
    Kind(
        "wrong credentials",
        _wrong_credentials,
        ALL,
        final=EVERYWHERE,
        from_start=True,
    ),
)
