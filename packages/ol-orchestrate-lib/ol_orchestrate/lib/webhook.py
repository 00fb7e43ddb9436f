"""Signed messages to a webhook: by POST, with an HMAC of the message's bytes in a header."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import closing
from http import HTTPStatus

from ol_orchestrate.lib.addresses import origin_of
from ol_orchestrate.lib.errors import PermanentServiceError
from ol_orchestrate.lib.http_status import error_of_status
from ol_orchestrate.lib.openedx_api.transport import Clock, Timeouts, Transport
from ol_orchestrate.lib.redaction import remember_secrets

_FINAL = frozenset({HTTPStatus.TOO_EARLY})

_REMEDIES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Let both sides have the same secret",
    HTTPStatus.FORBIDDEN: "Let both sides have the same secret, and the receiver allow this sender",
    HTTPStatus.NOT_FOUND: "Correct the address",
    HTTPStatus.METHOD_NOT_ALLOWED: "Correct the address: another one takes messages by POST",
}


def signature_of(message: bytes, secret: str) -> str:
    """Return the HMAC-SHA256 of a message in hexadecimal digits."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def send_signed(message: bytes, *, url: str, header: str, secret: str, clock: Clock | None = None) -> int:
    """Send a message in JSON, again after transient errors, and return the status of the response.

    Args:
        message: The bytes of the message, which are signed as they are.
        url: The address of the webhook.
        header: The name of the header for the signature.
        secret: The secret that sender and receiver share.
        clock: The time, for tests.

    Raises:
        AccessRefusedError, PermanentServiceError: The receiver refuses the message, which is sent once.
        ServiceError: All attempts failed.
    """
    remember_secrets(secret)
    headers = {"Content-Type": "application/json", header: signature_of(message, secret)}
    with closing(
        Transport(requests_per_hour=None, timeouts=Timeouts(), clock=clock or Clock(), final=_FINAL)
    ) as transport:
        response = transport.send("POST", url, headers=headers, content=message)
    if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        return response.status
    if "location" in response.headers:
        remedy = f"It redirects to {origin_of(response.headers['location'])}: set that address, if it is right"
    else:
        remedy = _REMEDIES.get(response.status, "Correct the message or its receiver")
    kind = PermanentServiceError if response.status in _FINAL else error_of_status(response.status)
    raise kind(f"{response.request}: the webhook answers {response.status}. {remedy}")
