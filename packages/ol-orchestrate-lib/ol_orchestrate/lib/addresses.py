"""Addresses without credentials in them.

An address is shown, stored with runs and written to logs, so none may hold a user, a password or a signature.
`refuse_credentials` checks every configured address; its message leaves the refused part out.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.redaction import CREDENTIAL_PARAMETER, MASK

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)

_SIGNED = re.compile(rf"[?&;#]{CREDENTIAL_PARAMETER}=", re.IGNORECASE)

_HOST = re.compile(r"(?:[\w.-]*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
"""A host and a port; any other text after a colon can be a password."""

_IN_NO_SERVICE = re.compile("[@?#;&=]")
"""Marks of a user or a query, neither of which belongs to the address of a service."""

_ENCODED_AT_MOST = 8
"""Most times that an address is decoded."""


def refuse_credentials(address: str, name: str = "") -> None:
    """Check that an address holds no user, no password and no query that could be a signature.

    Args:
        address: The address of a store or of a service, with or without a scheme.
        name: The variable or setting that holds the address, for the message.

    Raises:
        SettingsError: It holds one; the message shows the address without that part.
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
        f"{prefix}the address {_readable_parts(start, decoded(rest))!r} was given with a user, a password, a query, "
        "or anything else than host, port and path, and is refused, as addresses are shown and stored. Take that part "
        "out, replace these credentials by new ones, and put those into the variables, the profile or the Vault secret "
        "for them"
    )
    raise SettingsError(message)


def _is_plain(start: str, authority: str) -> bool:
    """True if only a bucket, or a host and a port, is between the scheme and the path."""
    if start.lower().startswith("file:///"):  # a path
        return True
    if start.lower().startswith(("s3:", "gs:")):
        return "@" not in authority and ":" not in authority
    return bool(_HOST.fullmatch(authority))


def _has_no_query(start: str, rest: str) -> bool:
    # Keys of objects and names of files can hold any character.
    marks = _SIGNED if start.lower().startswith(("s3:", "gs:", "file:")) else _IN_NO_SERVICE
    return not marks.search(rest)


def _readable_parts(start: str, rest: str) -> str:
    """Return the parts of an address that surely belong to no credential."""
    head, *query = re.split(r"[?#;&=]", rest, maxsplit=1)
    _, at, place = head.rpartition("@")
    # The password can contain the mark, too.
    if (query and "@" in query[0]) or not _is_plain(start, place.partition("/")[0]):
        return f"{start}{MASK}"
    return f"{start}{MASK if at else ''}{at}{place}"


def decoded(text: str) -> str:
    """Decode percent-encoded characters, even those that were encoded several times."""
    for _ in range(_ENCODED_AT_MOST):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text


def origin_of(address: str) -> str:
    """Return scheme, host and port of a redirect's target; the rest of it can hold secrets."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable address"
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # a password with a slash can look like host and path
        return "an unreadable address"
    return f"{parts.scheme or 'http'}://{parts.hostname}{port}" if parts.hostname else "another path"
