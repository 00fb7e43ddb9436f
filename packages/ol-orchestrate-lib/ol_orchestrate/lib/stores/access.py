"""Credentials and settings of stores, in forms that another process can be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ol_orchestrate.lib.stores.asking import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import S3Credential


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """The credentials and settings for stores; `None` stands for what the vendor's client finds by itself.

    Attributes:
        unsigned: True to ask without any credentials, as public buckets allow.
        aws_profile: The name of an AWS profile.
        aws_profile_setting: The name of what `aws_profile` was set with, for messages.
        aws_region: The name of a region.
        aws_endpoint_url: The address of a server that speaks S3.
        aws_keys: The access key ID, the secret access key and, for a session, its token.
        aws_verify: False to accept a server without a trusted certificate.
        google_service_account: The fields of a service account's key file.
    """

    unsigned: bool = False
    aws_profile: str | None = None
    aws_profile_setting: str = "the setting that names it"
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    aws_keys: tuple[str, str, str | None] | None = field(default=None, repr=False)
    aws_verify: bool | None = None
    google_service_account: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3Connection:
    """The way to a bucket, as botocore finds it; a process that is given this need not load botocore, 30 MB.

    Attributes:
        endpoint: The address of the server.
        region: The region of the bucket.
        verify: False to check no certificates, or the file of trusted ones; `None` for those that come with the client.
        sends_checksums: True if uploads carry their checksums.
        keys: Returns the current credentials; `None` to ask without any.
    """

    endpoint: str
    region: str
    verify: bool | str | None
    sends_checksums: bool
    keys: Callable[[], S3Credential] | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that a child process must inherit to use it."""
        return (self.keys.descriptor,) if isinstance(self.keys, Question) else ()
