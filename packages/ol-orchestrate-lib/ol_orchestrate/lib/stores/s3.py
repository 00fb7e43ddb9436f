"""S3 and what speaks its protocol."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.stores.base import StoredObject, join_url
from ol_orchestrate.lib.stores.checksums import announced_by_s3
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS, RETRIES, CloudStore, refused
from ol_orchestrate.lib.stores.reading import SourceInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import obstore
    import obstore.store
    from botocore.client import BaseClient
    from botocore.session import Session
    from fsspec import AbstractFileSystem

    from ol_orchestrate.lib.stores.opening import StoreAccess

CREDENTIALS_LIVE = timedelta(minutes=5)
"""How long credentials are used before the session is asked again; it renews them 10 minutes before they expire."""

PART = 8 << 20
"""Bytes of one part of a large upload. S3 allows 10,000 parts, so beyond 80 GB they grow."""

PARTS_IN_FLIGHT = 4
MOST_PARTS = 10_000


class S3Store(CloudStore):
    """Objects in an S3 bucket; credentials, region and endpoint as botocore finds them for a profile."""

    def __init__(self, url: str, access: StoreAccess) -> None:
        """A store at `s3://bucket/prefix`."""
        super().__init__(url)
        self._access = access

    @cached_property
    def _session(self) -> Session:
        import botocore.session  # noqa: PLC0415 - 0.3 s, paid at the first request

        session = botocore.session.Session(profile=self._access.aws_profile)
        # botocore's own parser takes two thirds of the time of a listing.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
        if self._access.aws_keys:
            session.set_credentials(*self._access.aws_keys)
        return session

    @cached_property
    def _client(self) -> BaseClient:
        from botocore import UNSIGNED  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
        if self._access.aws_unsigned:
            config = config.merge(Config(signature_version=UNSIGNED))
        try:
            return self._session.create_client(
                "s3",
                region_name=self._access.aws_region,
                endpoint_url=self._access.aws_endpoint_url,
                verify=self._access.aws_verify,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            remedy = "Correct AWS_PROFILE, or ~/.aws/config; `aws configure` makes a profile"
            message = f"{self.url}: the AWS settings cannot be used: {error}. {remedy}"
            raise BadInputError(message) from error

    def _options(self) -> dict[str, Any]:
        """What obstore needs to know, which the vendor's own client found out."""
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

        endpoint: str = self._client.meta.endpoint_url
        options: dict[str, Any] = {
            "config": {
                "endpoint": endpoint,
                "region": self._client.meta.region_name or "us-east-1",
                "checksum_algorithm": "SHA256",
                "virtual_hosted_style_request": False,
                "skip_signature": self._access.aws_unsigned,
            },
            "client_options": {
                **CLIENT_OPTIONS,
                "allow_http": endpoint.startswith("http://"),
                "allow_invalid_certificates": self._access.aws_verify is False,
            },
            "retry_config": RETRIES,
        }
        if self._access.aws_unsigned:
            return options
        if self._session.get_credentials() is None:
            raise self._no_credentials()
        return {**options, "credential_provider": Boto3CredentialProvider(self._session, ttl=CREDENTIALS_LIVE)}

    def _no_credentials(self) -> AccessRefusedError:
        profile = self._access.aws_profile
        return AccessRefusedError(
            f"{self.url}: no AWS credentials were found"
            + (f" for the profile {profile!r}" if profile else "")
            + ". Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
        )

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

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        path = self._path(key)
        with self._client_errors(key, self.missing(key)):
            self._client.delete_object(Bucket=self.bucket, Key=path)  # type: ignore[attr-defined]

    def _describe(self, key: str) -> SourceInfo:
        with self._client_errors(key, self.missing(key)):
            head = self._client.head_object(Bucket=self.bucket, Key=self._path(key), ChecksumMode="ENABLED")  # type: ignore[attr-defined]
        return SourceInfo(
            join_url(self.url, key),
            head["ContentLength"],
            head["ETag"].strip('"'),
            head["LastModified"],
            announced_by_s3(head),
        )

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        with self._client_errors("", MissingObjectError(f"{self.url}: there is no such bucket")):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", []):
                    yield StoredObject(found["Key"], found["Size"], found["LastModified"], found["ETag"].strip('"'))

    def _version(self, meta: obstore.ObjectMeta) -> str:
        return (meta["e_tag"] or "").strip('"')

    @contextmanager
    def _client_errors(self, key: str, not_found: PipelineError) -> Iterator[None]:
        """Translate botocore's errors; `not_found` is the one for a 404."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except NoCredentialsError:
            raise self._no_credentials() from None
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 404:  # noqa: PLR2004
                raise not_found from None
            if status in {401, 403}:
                raise refused(url, error.response["Error"]["Code"]) from None
            raise ServiceError(f"{url}: {error}") from error
        except BotoCoreError as error:
            raise ServiceError(f"{url}: {error}") from error

    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        return {"if_match": f'"{info.version}"'}


def _timestamp(value: Any) -> datetime:  # noqa: ANN401 - text or a number, by what the service sends
    """What botocore's parser makes of a time, sooner where it is ISO 8601, as in listings."""
    from botocore.utils import parse_timestamp  # noqa: PLC0415

    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(value)
        return parsed


def _size(file: BinaryIO) -> int:
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here
