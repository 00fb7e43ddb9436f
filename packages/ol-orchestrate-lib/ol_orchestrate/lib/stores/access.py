"""How to get into stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ol_orchestrate.lib.stores.asking import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import S3Credential


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How to get into stores; can be handed to another process.

    Attributes:
        unsigned: Whether to ask without any credentials, as public buckets allow.
        aws_profile: Name of an AWS profile; this and all that follows: `None` for what botocore finds by itself.
        aws_region: Name of a region.
        aws_endpoint_url: Of a server that speaks S3.
        aws_keys: Access key ID, secret access key and, for a session, its token.
        aws_verify: Whether the server has to prove by a certificate who it is.
        google_service_account: Fields of a service account's key file; `None` for what `google.auth` finds by itself.
    """

    unsigned: bool = False
    aws_profile: str | None = None
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    aws_keys: tuple[str, str, str | None] | None = field(default=None, repr=False)
    aws_verify: bool | None = None
    google_service_account: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3Connection:
    """How to reach a bucket, as botocore finds it; a process that is given this need not load botocore, 30 MB.

    Attributes:
        endpoint: Address of the server.
        region: The bucket's.
        verify: Whether and by which authorities servers are checked; `None` for those that come with the client.
        sends_checksums: Whether uploads carry their checksums.
        keys: Gives the credentials of the moment; `None` to ask without any.
    """

    endpoint: str
    region: str
    verify: bool | str | None
    sends_checksums: bool
    keys: Callable[[], S3Credential] | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a child process must inherit to use it."""
        return (self.keys.descriptor,) if isinstance(self.keys, Question) else ()
