"""Links from Dagster's pages to objects, as their vendors' consoles show them."""

from __future__ import annotations

from urllib.parse import quote

import dagster as dg

from ol_orchestrate.lib.stores import split_url


def console_link(url: str) -> dg.MetadataValue[str]:
    """Return the page of an object in its vendor's console, or the path of a file."""
    scheme, bucket, key = split_url(url)
    match scheme:
        case "s3":
            return dg.MetadataValue.url(f"https://console.aws.amazon.com/s3/object/{bucket}?prefix={quote(key)}")
        case "gs":
            return dg.MetadataValue.url(
                f"https://console.cloud.google.com/storage/browser/_details/{bucket}/{quote(key)}"
            )
        case _:
            return dg.MetadataValue.path(key)
