"""The table of HTTP responses that are errors: the transient ones, which clients retry, and the final ones.

Every client of this package (S3, Cloud Storage, Vault, the edX API) decides by it. A request with a final response is
sent once, and the error message names the setting to change.
"""

from __future__ import annotations

import os
import ssl
from http import HTTPStatus

from ol_orchestrate.lib.errors import AccessRefusedError, PermanentServiceError, PipelineError, ServiceError

_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

_UNTRUSTED = (
    *("certificate verify failed", "invalid peer certificate", "unable to get local issuer certificate"),
    "' doesn't match '",
)
"""Wordings of OpenSSL, rustls and urllib3, for libraries that keep only the text of the error below them."""


def is_transient(status: int) -> bool:
    """True if the same request can succeed later, with nothing changed by an operator: 408, 425, 429 and 5xx.

    A broken connection has no status and is transient, too. All else is final: other refusals, redirects, untrusted
    certificates, and responses that break the protocol.
    """
    return status in _TRANSIENT or 500 <= status <= 599  # noqa: PLR2004


def proxy_variables() -> str:
    """Return the names of the variables that lead to a proxy, as far as they are set, for the message of an error."""
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    return " and ".join(each for name in names for each in (name, name.lower()) if os.environ.get(each))


def with_proxy_variables(remedy: str) -> str:
    """Return a remedy for a connection that failed, with the proxy's variables where one is set."""
    variables = proxy_variables()
    return f"{remedy}. A proxy is set: check {variables}" if variables else remedy


def error_of_status(status: int) -> type[PipelineError]:
    """Return the class of the error for a response that is no success."""
    if is_transient(status):
        return ServiceError
    return AccessRefusedError if status in _REFUSED else PermanentServiceError


def is_untrusted_certificate(error: BaseException) -> bool:
    """True if a request failed because the server's certificate was not trusted, which is final."""
    seen: set[int] = set()
    causes: list[object] = [error]
    while causes:
        cause = causes.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            text = str(cause)
            if isinstance(cause, ssl.SSLCertVerificationError) or any(wording in text for wording in _UNTRUSTED):
                return True
            # urllib3 and botocore keep the cause as an attribute or an argument, httpx as `__cause__`.
            causes += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return False
