"""Addresses without credentials in them.

An address is shown, stored with runs and written to logs, so none may hold a user, a password or a signature. Every
address that this package is given passes `refuse_credentials`, whose message does not repeat what it refuses.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.redaction import CREDENTIAL_PARAMETER, MASK

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)

_SIGNED = re.compile(rf"[?&;#]{CREDENTIAL_PARAMETER}=", re.IGNORECASE)

_HOST = re.compile(r"(?:[\w.-]*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
"""A host and a port; what else follows a colon can be a password."""

_IN_NO_SERVICE = re.compile("[@?#;&=]")
"""Marks of a user or a query, which the address of a service has no use for."""

_ENCODED_AT_MOST = 8
"""Times that percent signs are undone in an address."""


def refuse_credentials(address: str, name: str = "") -> None:
    """Check that an address holds no user, no password and no query that could be a signature.

    Args:
        address: Of a store or of a service, with or without a scheme.
        name: Of the variable or the setting that it comes from, for the message.

    Raises:
        BadInputError: It does; the message shows the address without that part.
    """
    address = address.strip(" \t\r\n\"'")
    scheme = _SCHEME.match(address)
    start = scheme[0] if scheme else ""
    rest = address[len(start) :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if _is_plain(start, decoded(authority)) and _has_no_query(start, decoded(rest)):
        return
    prefix = f"{name}: " if name else ""
    message = (
        f"{prefix}the address {_shown(start, decoded(rest))!r} was given with a user, a password, a query, or "
        "something else than host, port and path, and is refused, as addresses are shown and stored. Take that part "
        "out, renew what it gave access to, and put credentials into the variables, the profile or the Vault secret "
        "for them"
    )
    raise BadInputError(message)


def _is_plain(start: str, authority: str) -> bool:
    """Whether nothing but a bucket, or a host and a port, is between the scheme and the path."""
    if start.lower().startswith("file:///"):  # a path
        return True
    if start.lower().startswith(("s3:", "gs:")):
        return "@" not in authority and ":" not in authority
    return bool(_HOST.fullmatch(authority))


def _has_no_query(start: str, rest: str) -> bool:
    # Keys of objects and names of files can hold any character.
    marks = _SIGNED if start.lower().startswith(("s3:", "gs:", "file:")) else _IN_NO_SERVICE
    return not marks.search(rest)


def _shown(start: str, rest: str) -> str:
    """What is surely no part of a credential."""
    head, *query = re.split(r"[?#;&=]", rest, maxsplit=1)
    _, at, place = head.rpartition("@")
    # The mark can be a part of the password, too.
    if (query and "@" in query[0]) or not _is_plain(start, place.partition("/")[0]):
        return f"{start}{MASK}"
    return f"{start}{MASK if at else ''}{at}{place}"


def decoded(text: str) -> str:
    """The text with percent signs undone, also where they were encoded again."""
    for _ in range(_ENCODED_AT_MOST):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text


def origin_of(address: str) -> str:
    """Scheme, host and port of a redirect's target; the rest of it can hold secrets."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable address"
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # a password with a slash can look like host and path
        return "an unreadable address"
    return f"{parts.scheme or 'http'}://{parts.hostname}{port}" if parts.hostname else "another path"
