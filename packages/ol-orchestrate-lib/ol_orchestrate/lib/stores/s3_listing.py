"""Checks of S3's responses as botocore parses them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.stores.base import StoredObject
from ol_orchestrate.lib.stores.response_errors import AWS, incomplete

if TYPE_CHECKING:
    from collections.abc import Mapping

_ON_EACH_PAGE = ("Name", "KeyCount", "IsTruncated", "Contents")


def read_page(url: str, page: Mapping[str, Any]) -> tuple[list[StoredObject], dict[str, str]]:
    """Read a page of a listing.

    Args:
        url: The URL of the store, for the message.
        page: The response, parsed by botocore.

    Returns:
        The objects under their whole keys, and the argument that requests the next page, if there is one.

    Raises:
        IncompleteResponseError: It is no page of a listing, or lacks a field.
    """
    # botocore parses any other XML, such as a page of a proxy, into an empty listing.
    if page.keys().isdisjoint(_ON_EACH_PAGE):
        raise incomplete(url, "field 'Name' in its listing", AWS)
    try:
        objects = [
            StoredObject(found["Key"], found["Size"], found["LastModified"], found["ETag"].strip('"'))
            for found in page.get("Contents", [])
        ]
        more = {"ContinuationToken": page["NextContinuationToken"]} if page.get("IsTruncated") else {}
    except KeyError as missing:
        raise incomplete(url, f"field {missing} in its listing", AWS) from None
    return objects, more


def is_unreadable(response: Mapping[str, Any]) -> bool:
    """True if botocore could not parse a response as XML; the code of a parsed error is a name, not a number."""
    return str(response.get("Error", {}).get("Code") or "").isdecimal()


def timestamp(value: Any) -> datetime:  # noqa: ANN401 - text or a number, by what the service sends
    """Parse a time like botocore's parser, but faster for ISO 8601, as in listings."""
    from botocore.utils import parse_timestamp  # noqa: PLC0415

    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(value)
        return parsed
