"""S3 and what speaks its protocol."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError, ServiceError
from ol_orchestrate.lib.stores.base import join_url
from ol_orchestrate.lib.stores.checksums import announced_by_s3
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS, RETRIES, CloudStore
from ol_orchestrate.lib.stores.reading import SourceInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    import obstore
    import obstore.store
    from botocore.client import BaseClient
    from botocore.session import Session
    from fsspec import AbstractFileSystem

CREDENTIALS_LIVE = timedelta(minutes=5)
"""How long credentials are used before the session is asked again; it renews them 10 minutes before they expire."""

PART = 8 << 20
"""Bytes of one part of a large upload. S3 allows 10,000 parts, so beyond 80 GB they grow."""

PARTS_IN_FLIGHT = 4
MOST_PARTS = 10_000


class S3Store(CloudStore):
    """Objects in an S3 bucket; credentials, region and endpoint as botocore finds them for a profile."""

    def __init__(self, url: str, *, profile: str | None = None) -> None:
        """A store at `s3://bucket/prefix`.

        Args:
            url: Where.
            profile: Name of an AWS profile, which may have its own `endpoint_url`; `None` for the environment's own.
        """
        super().__init__(url)
        self._profile = profile

    @cached_property
    def _session(self) -> Session:
        import botocore.session  # noqa: PLC0415 - 0.3 s, paid at the first request

        return botocore.session.Session(profile=self._profile)

    @cached_property
    def _client(self) -> BaseClient:
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
        try:
            return self._session.create_client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            raise BadInputError(f"{self.url}: the AWS settings cannot be used: {error}") from error

    def _options(self) -> dict[str, Any]:
        """What obstore needs to know, which the vendor's own client found out."""
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

        endpoint: str = self._client.meta.endpoint_url
        if self._session.get_credentials() is None:
            raise AccessRefusedError(
                f"{self.url}: no AWS credentials were found"
                + (f" for the profile {self._profile!r}" if self._profile else "")
                + ". Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
            )
        return {
            "credential_provider": Boto3CredentialProvider(self._session, ttl=CREDENTIALS_LIVE),
            "config": {
                "endpoint": endpoint,
                "region": self._client.meta.region_name or "us-east-1",
                "checksum_algorithm": "SHA256",
                "virtual_hosted_style_request": False,
            },
            "client_options": {**CLIENT_OPTIONS, "allow_http": endpoint.startswith("http://")},
            "retry_config": RETRIES,
        }

    def _make_store(self) -> obstore.store.ObjectStore:
        import obstore.store  # noqa: PLC0415

        return obstore.store.S3Store(self.bucket, **self._options())

    def filesystem(self) -> AbstractFileSystem:
        """See `ObjectStore.filesystem`."""
        from obstore.fsspec import FsspecStore  # noqa: PLC0415

        with self._errors(""):
            return FsspecStore("s3", **self._options())

    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """See `ObjectStore.write`. Each request carries the SHA-256 of its bytes, which S3 compares."""
        import obstore  # noqa: PLC0415

        path = self._path(key)
        with self._errors(key):
            size = len(content) if isinstance(content, bytes) else _size(content)
            obstore.put(
                self._store,
                path,
                content if isinstance(content, bytes) or size > PART else content.read(),
                attributes=dict(metadata) if metadata else None,
                use_multipart=size > PART,
                chunk_size=max(PART, -(-size // MOST_PARTS)),
                max_concurrency=PARTS_IN_FLIGHT,
            )

    def _describe(self, key: str) -> SourceInfo:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            head = self._client.head_object(Bucket=self.bucket, Key=self._path(key), ChecksumMode="ENABLED")  # type: ignore[attr-defined]
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 404:  # noqa: PLR2004
                raise self.missing(key) from error
            kind = AccessRefusedError if status in {401, 403} else ServiceError
            raise kind(f"{url}: {error}") from error
        except BotoCoreError as error:
            raise ServiceError(f"{url}: {error}") from error
        return SourceInfo(
            url, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"], announced_by_s3(head)
        )

    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        return {"if_match": f'"{info.version}"'}


def _size(file: BinaryIO) -> int:
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here
