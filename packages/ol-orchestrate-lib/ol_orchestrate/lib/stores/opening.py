"""From a URL to its store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ol_orchestrate.lib.stores.base import split_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ol_orchestrate.lib.stores.base import ObjectStore


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How to get into stores; can be handed to another process.

    Attributes:
        aws_profile: Name of an AWS profile; `None` for what botocore finds by itself.
        google_service_account: Fields of a service account's key file; `None` for what `google.auth` finds by itself.
    """

    aws_profile: str | None = None
    google_service_account: Mapping[str, str] | None = field(default=None, repr=False)


def open_store(url: str, access: StoreAccess | None = None) -> ObjectStore:
    """The store at `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`. Connects to nothing yet.

    Raises:
        BadInputError: The URL is of no known kind.
    """
    access = access or StoreAccess()
    match split_url(url)[0]:
        case "file":
            from ol_orchestrate.lib.stores.folder import FolderStore  # noqa: PLC0415 - each kind loads only its own

            return FolderStore(url)
        case "s3":
            from ol_orchestrate.lib.stores.s3 import S3Store  # noqa: PLC0415

            return S3Store(url, profile=access.aws_profile)
        case _:
            from ol_orchestrate.lib.stores.gcs import GCSStore  # noqa: PLC0415

            return GCSStore(url, service_account=access.google_service_account)
