"""Google Cloud Storage.

Asking and reading go through obstore, which costs a seventh of the processor time of Google's client. Google's client
writes, since it compares the checksum in the store's answer, and lists and describes, since only it tells generation
and CRC32C.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.errors import AccessRefusedError, MissingObjectError, ServiceError
from ol_orchestrate.lib.stores.base import StoredObject, join_url
from ol_orchestrate.lib.stores.checksums import announced_by_gcs
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS, RETRIES, CloudStore, refused
from ol_orchestrate.lib.stores.reading import SourceInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import obstore
    import obstore.store
    from fsspec import AbstractFileSystem
    from google.auth.credentials import Credentials
    from google.cloud.storage import Blob, Client

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

CHUNK = 8 << 20
"""Bytes of one request of a resumable upload."""

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes of an answer."""


LISTING_PATIENCE = 30.0
"""Seconds after which a page of a listing is not asked for again: Dagster ends a sensor's tick after 60, unsaid why."""


class GCSStore(CloudStore):
    """Objects in a Google Cloud Storage bucket, or in the emulator that `STORAGE_EMULATOR_HOST` names."""

    def __init__(self, url: str, *, service_account: Mapping[str, str] | None = None) -> None:
        """A store at `gs://bucket/prefix`.

        Args:
            url: Where.
            service_account: Fields of a service account's key file; `None` for what `google.auth` finds by itself.
        """
        super().__init__(url)
        self._service_account = service_account
        self._emulator = os.environ.get("STORAGE_EMULATOR_HOST")

    @cached_property
    def _credentials(self) -> Credentials:
        return google_credentials(self._service_account)

    @cached_property
    def _client(self) -> Client:
        from google.cloud.storage import Client  # noqa: PLC0415 - 0.4 s, and a folder or S3 needs none of it

        return Client(project="unused", credentials=self._credentials)

    def _options(self) -> dict[str, Any]:
        if self._emulator:
            return {
                "config": {"base_url": self._emulator, "skip_signature": True},
                "client_options": {**CLIENT_OPTIONS, "allow_http": True},
                "retry_config": RETRIES,
            }
        return {
            "credential_provider": _Tokens(self._credentials),
            "client_options": CLIENT_OPTIONS,
            "retry_config": RETRIES,
        }

    def _make_store(self) -> obstore.store.ObjectStore:
        import obstore.store  # noqa: PLC0415

        return obstore.store.GCSStore(self.bucket, **self._options())

    def filesystem(self) -> AbstractFileSystem:
        """See `ObjectStore.filesystem`."""
        from obstore.fsspec import FsspecStore  # noqa: PLC0415

        with self._errors(""):
            return FsspecStore("gs", **self._options())

    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """See `ObjectStore.write`. The client compares the CRC32C in the answer with that of what it sent."""
        with self._google_errors(key):
            blob = self._blob(key, chunk_size=CHUNK)
            blob.metadata = dict(metadata) if metadata else None
            file = BytesIO(content) if isinstance(content, bytes) else content
            blob.upload_from_file(file, checksum="crc32c", timeout=TIMEOUT)

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        from google.api_core.exceptions import NotFound  # noqa: PLC0415

        path = self._path(key)
        with self._google_errors(key), suppress(NotFound):
            self._client.bucket(self.bucket).blob(path).delete(timeout=TIMEOUT)

    def _describe(self, key: str) -> SourceInfo:
        url = join_url(self.url, key)
        with self._google_errors(key):
            blob = self._client.bucket(self.bucket).get_blob(self._path(key), timeout=TIMEOUT)
        if blob is None:
            raise self.missing(key)
        created: datetime = blob.updated or blob.time_created
        return SourceInfo(url, blob.size, str(blob.generation), created.astimezone(UTC), announced_by_gcs(blob.crc32c))

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        from google.api_core.exceptions import NotFound  # noqa: PLC0415
        from google.cloud.storage.retry import DEFAULT_RETRY  # noqa: PLC0415

        fields = "items(name,size,updated,generation),nextPageToken"
        retry = DEFAULT_RETRY.with_timeout(LISTING_PATIENCE)
        with self._google_errors(""):
            blobs = self._client.list_blobs(self.bucket, prefix=prefix, fields=fields, timeout=TIMEOUT, retry=retry)
            try:
                for blob in blobs:
                    yield StoredObject(blob.name, blob.size, blob.updated.astimezone(UTC), str(blob.generation))
            except NotFound:
                raise MissingObjectError(f"{self.url}: there is no such bucket") from None

    def _version(self, meta: obstore.ObjectMeta) -> str:
        return meta["version"] or ""

    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        return {"version": info.version}

    def _blob(self, key: str, *, chunk_size: int) -> Blob:
        return self._client.bucket(self.bucket).blob(self._path(key), chunk_size=chunk_size)

    @contextmanager
    def _google_errors(self, key: str) -> Iterator[None]:
        from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError, TransportError  # noqa: PLC0415
        from google.resumable_media import DataCorruption  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except TransportError as error:
            raise ServiceError(f"{url}: Google's login cannot be reached: {str(error)[:300]}") from None
        except GoogleAuthError as error:
            if error.retryable:
                reason = str(error)[:300] or type(error).__name__
                raise ServiceError(f"{url}: Google gives no access token: {reason}. Run again") from None
            raise AccessRefusedError(f"{url}: Google does not accept these credentials: {error}") from None
        except (GoogleAPIError, DataCorruption, RequestException) as error:
            if getattr(error, "code", None) in {401, 403}:
                raise refused(url, str(error)[:300]) from None
            raise ServiceError(f"{url}: {str(error)[:300]}") from None


def google_credentials(service_account: Mapping[str, str] | None) -> Credentials:
    """Credentials for Cloud Storage: none for an emulator, else the service account's, else what `google.auth` finds.

    Raises:
        AccessRefusedError: There are none, or the service account's fields make no key.
    """
    import google.auth  # noqa: PLC0415 - 0.1 s, and a folder or S3 needs none of it
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
    from google.oauth2.service_account import Credentials as ServiceAccount  # noqa: PLC0415

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        if service_account is not None:
            made: Credentials = ServiceAccount.from_service_account_info(service_account, scopes=[SCOPE])  # type: ignore[no-untyped-call]
            return made
        return google.auth.default(scopes=[SCOPE])[0]
    except (GoogleAuthError, ValueError) as error:
        # The library's own words can hold parts of the key.
        message = (
            f"No usable Google credentials ({type(error).__name__}). Set GOOGLE_APPLICATION_CREDENTIALS to a key file, "
            "run where a service account is attached, or let Vault hold the service account"
        )
        raise AccessRefusedError(message) from None


class _Tokens:
    """Access tokens for obstore, renewed by `google.auth`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def __call__(self) -> Any:  # noqa: ANN401 - obstore's GCSCredential
        from google.auth.transport.requests import Request  # noqa: PLC0415

        with self._lock:
            if not self._credentials.valid:
                self._credentials.refresh(Request())  # type: ignore[no-untyped-call]
            expiry: datetime | None = self._credentials.expiry
            return {"token": self._credentials.token, "expires_at": expiry and expiry.replace(tzinfo=UTC)}
