"""Addresses without credentials in them.

An address is shown, stored with runs and written to logs, so none may hold a user, a password or a signature. Every
address that this package is given passes `refuse_credentials`, whose message does not repeat what it refuses.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.redaction import CREDENTIAL_PARAMETER, MASK

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)

_SIGNED = re.compile(rf"[?&;#]{CREDENTIAL_PARAMETER}=", re.IGNORECASE)


def refuse_credentials(address: str, name: str = "") -> None:
    """Check that an address holds no user, no password and no query that could be a signature.

    Args:
        address: Of a store or of a service, with or without a scheme.
        name: Of the variable or the setting that it comes from, for the message.

    Raises:
        BadInputError: It does; the message shows the address without that part.
    """
    if _holds_credentials(address):
        prefix = f"{name}: " if name else ""
        message = (
            f"{prefix}the address {_shown(address)!r} was given with a user, a password or a query, and is refused, as "
            "addresses are shown and stored. Take that part out, renew what it gave access to, and put credentials "
            "into the variables, the profile or the Vault secret for them"
        )
        raise BadInputError(message)


def _holds_credentials(address: str) -> bool:
    scheme = _SCHEME.match(address)
    kind = scheme[0].partition(":")[0].lower() if scheme else ""
    rest = address[scheme.end() :] if scheme else address
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if kind == "file":
        return ("@" in authority and not address[len("file:") :].startswith("///")) or bool(_SIGNED.search(rest))
    if kind in {"s3", "gs"}:  # keys can hold any character, buckets neither of these
        return "@" in authority or ":" in authority or bool(_SIGNED.search(rest))
    return any(mark in rest for mark in "@?#")


def _shown(address: str) -> str:
    """What is surely no part of a credential."""
    scheme = _SCHEME.match(address)
    start = scheme[0] if scheme else ""
    head, *query = re.split(r"[?#]", address[len(start) :], maxsplit=1)
    if query and "@" in query[0]:  # the mark can be a part of the password
        return f"{start}{MASK}"
    user, at, rest = head.rpartition("@")
    if not at and ":" in head.partition("/")[0] and start.lower() in {"s3://", "gs://"}:
        return f"{start}{MASK}"
    return f"{start}{MASK}{at}{rest}" if user or at else f"{start}{rest}"


def origin_of(address: str) -> str:
    """Scheme, host and port of a redirect's target; the rest of it can hold secrets."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable address"
    return f"{parts.scheme or 'http'}://{parts.hostname}{port}" if parts.hostname else "another path"
