"""The store for Google Cloud Storage.

obstore looks up and reads objects, with a seventh of the processor time of Google's client. Google's client writes,
since it compares the checksum in the store's response, and lists and describes, since only it reports generation and
CRC32C.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property, partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from typing_extensions import override

from ol_orchestrate.lib.addresses import origin_of, refuse_credentials
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.http_status import is_transient, is_untrusted_certificate
from ol_orchestrate.lib.redaction import redact
from ol_orchestrate.lib.retrying import PATIENCE, PAUSE, SECONDS_TO_ANSWER, SECONDS_TO_CONNECT
from ol_orchestrate.lib.stores.base import StoredObject, join_url
from ol_orchestrate.lib.stores.budget import PART
from ol_orchestrate.lib.stores.certificate_authorities import ca_bundle
from ol_orchestrate.lib.stores.checksums import expected_by_gcs
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS, NO_RETRIES, CloudStore, bytes_left
from ol_orchestrate.lib.stores.reading import SourceInfo
from ol_orchestrate.lib.stores.response_errors import (
    GOOGLE,
    IncompleteResponseError,
    error_of_response,
    incomplete,
    untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    import obstore
    import obstore.store
    from fsspec import AbstractFileSystem
    from google.api_core.retry import Retry
    from google.auth.credentials import Credentials
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage import Blob, Client
    from requests import Response, Session

    from ol_orchestrate.lib.stores.budget import UploadBudget

KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"

LONGEST_PATH_SHOWN = 255
"""Characters of a path that is shown although no file is there. A longer one may be the key itself."""

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

CHUNK = PART
"""Bytes of one request of a resumable upload, which are in memory together: one part of the budget."""

TIMEOUT = (SECONDS_TO_CONNECT, 60)
"""Seconds to connect, and to wait for the next bytes of an object, or until it is written."""

TIMEOUT_OF_QUESTIONS = (SECONDS_TO_CONNECT, SECONDS_TO_ANSWER)


class GCSStore(CloudStore):
    """Objects in a Google Cloud Storage bucket, or in the emulator that `STORAGE_EMULATOR_HOST` names.

    Args:
        url: A URL `gs://bucket/prefix`.
        unsigned: True to ask without any credentials, as public buckets allow.
        service_account: The fields of a service account's key file; `None` for the credentials that `google.auth`
            finds by itself.
        budget: The memory that uploads share with those of other processes.
    """

    variables = GOOGLE
    version_header = "x-goog-generation"
    upload_check = "crc32c"

    def __init__(
        self,
        url: str,
        *,
        unsigned: bool = False,
        service_account: Mapping[str, str] | None = None,
        budget: UploadBudget | None = None,
    ) -> None:
        super().__init__(url, budget)
        self._unsigned = unsigned
        self._service_account = service_account
        self._emulator = emulator()

    @cached_property
    def _credentials(self) -> Credentials:
        return google_credentials(self._service_account, unsigned=self._unsigned)

    @cached_property
    def _client(self) -> Client:
        from google.auth.transport.requests import AuthorizedSession, Request  # noqa: PLC0415
        from google.cloud.storage import Client  # noqa: PLC0415 - 0.4 s, and a folder or S3 needs none of it

        # Its own session for tokens tries each request four times, and an untrusted certificate too.
        tokens = Request(_session_for_tokens())
        session = AuthorizedSession(self._credentials, auth_request=tokens)  # type: ignore[no-untyped-call]
        # requests looks at one of the variables only
        session.verify = _ca_bundle() or True
        options = {"api_endpoint": self._emulator} if self._emulator else None
        return Client(project="unused", credentials=self._credentials, client_options=options, _http=session)

    def _options(self) -> dict[str, Any]:
        client_options = {**CLIENT_OPTIONS, **self._trust(_ca_bundle())}
        if self._emulator:
            return {
                "config": {"base_url": self._emulator, "skip_signature": True},
                "client_options": {**client_options, "allow_http": True},
                "retry_config": NO_RETRIES,
            }
        if self._unsigned:
            return {
                "config": {"skip_signature": True},
                "client_options": client_options,
                "retry_config": NO_RETRIES,
            }
        return {
            "credential_provider": self._provider,
            "client_options": client_options,
            "retry_config": NO_RETRIES,
        }

    def _make_store(self) -> obstore.store.ObjectStore:
        import obstore.store  # noqa: PLC0415

        return obstore.store.GCSStore(self.bucket, **self._options())

    @override
    def filesystem(self) -> AbstractFileSystem:
        from obstore.fsspec import FsspecStore  # noqa: PLC0415

        with self._errors(""):
            return FsspecStore("gs", **self._options())

    @override
    def find(self, key: str, *, with_metadata: bool = False) -> StoredObject | None:
        try:
            return super().find(key, with_metadata=with_metadata)
        except IncompleteResponseError:
            # Google sends larger objects with `Content-Encoding: gzip` without a length; its client accepts that.
            blob = self._blob(key)
            return blob and StoredObject(
                key, blob.size, blob.updated.astimezone(UTC), str(blob.generation), blob.metadata or {}
            )

    @override
    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """The client compares the CRC32C in the response with that of the sent bytes."""
        size = len(content) if isinstance(content, bytes) else bytes_left(content)
        with self._budgeted(size), self._google_errors(key, self.missing_bucket()):
            blob = self._client.bucket(self.bucket).blob(self._path(key), chunk_size=CHUNK)
            blob.metadata = dict(metadata) if metadata else None
            file = BytesIO(content) if isinstance(content, bytes) else content
            blob.upload_from_file(file, checksum="crc32c", timeout=TIMEOUT, retry=_retry())

    @override
    def delete(self, key: str) -> None:
        path = self._path(key)
        with suppress(MissingObjectError), self._google_errors(key, self.missing(key)):
            self._client.bucket(self.bucket).blob(path).delete(timeout=TIMEOUT, retry=_retry())

    def _describe(self, key: str) -> SourceInfo:
        blob = self._blob(key)
        if blob is None:
            raise self.missing(key)
        created: datetime = blob.updated
        return SourceInfo(
            join_url(self.url, key),
            blob.size,
            str(blob.generation),
            created.astimezone(UTC),
            expected_by_gcs(blob.crc32c),
        )

    def _blob(self, key: str) -> Blob | None:
        """Return an object as Google's client describes it; `None` if there is none."""
        path = self._path(key)
        with self._google_errors(key, self.missing(key)):
            blob = self._client.bucket(self.bucket).get_blob(path, timeout=TIMEOUT_OF_QUESTIONS, retry=_retry())
            for field in ("size", "generation", "updated") if blob else ():
                if getattr(blob, field) is None:
                    raise incomplete(join_url(self.url, key), f"field {field!r}", GOOGLE)
            return blob

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        fields = "items(name,size,updated,generation),nextPageToken"
        with self._google_errors("", self.missing_bucket()):
            blobs = self._client.list_blobs(
                self.bucket, prefix=prefix, fields=fields, timeout=TIMEOUT_OF_QUESTIONS, retry=_retry()
            )
            for blob in blobs:
                yield StoredObject(blob.name, blob.size, blob.updated.astimezone(UTC), str(blob.generation))

    @override
    def _blocks(self, key: str, info: SourceInfo, position: int) -> Iterator[bytes]:
        try:
            for block in super()._blocks(key, info, position):
                position += len(block)
                yield block
        except IncompleteResponseError:
            yield from self._blocks_without_length(key, info, position)

    def _blocks_without_length(self, key: str, info: SourceInfo, position: int) -> Iterator[bytes]:
        """Yield the stored bytes of an object that Google sends without its length."""
        blob = self._client.bucket(self.bucket).blob(self._path(key), generation=int(info.version))
        while position < info.size:
            try:
                with self._google_errors(key, self.missing(key)):
                    # The end is the last byte's own position.
                    last = min(position + CHUNK, info.size) - 1
                    block: bytes = blob.download_as_bytes(
                        start=position, end=last, raw_download=True, checksum=None, timeout=TIMEOUT, retry=None
                    )
            except MissingObjectError as error:
                raise FileNotFoundError(str(error)) from None
            if not block:
                return  # the reader tries again, or gives up
            position += len(block)
            yield block

    def _version(self, meta: obstore.ObjectMeta) -> str:
        return meta["version"] or ""

    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        return {"version": info.version}

    @cached_property
    def _tokens(self) -> _Tokens:
        return _Tokens(self._credentials)

    @override
    def _credentials_for_obstore(self) -> Any:
        return self._tokens()

    @override
    def _errors_of_credentials(self, key: str) -> AbstractContextManager[None]:
        return self._google_errors(key, self.missing(key))

    @contextmanager
    def _google_errors(self, key: str, not_found: PipelineError) -> Iterator[None]:
        """Translate the errors of Google's client; `not_found` is the one for a 404."""
        from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.resumable_media import DataCorruption  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except _LoginRedirectError as error:
            raise PermanentServiceError(f"{url}: {error}") from None
        except (GoogleAPIError, GoogleAuthError, DataCorruption, RequestException) as error:
            status = _status(error)
            if is_untrusted_certificate(error):
                raise untrusted(url, error, GOOGLE) from None
            if isinstance(error, DataCorruption):  # which comes with the status of a success
                raise ServiceError(f"{url}: the bytes changed on their way to the store: {error}. Run again") from None
            if status == HTTPStatus.NOT_FOUND:
                raise not_found from None
            if status:
                raise error_of_response(url, status, message=_message(error), variables=GOOGLE) from None
            if isinstance(error, GoogleAuthError):
                raise _error_of_login(url, error) from None
            if not isinstance(error, RequestException) or _is_broken_connection(error):
                raise ServiceError(f"{url}: {redact(str(error))[:300]}") from None
            raise _foreign_response(url) from None
        except (
            AttributeError,
            TypeError,
            ValueError,
            KeyError,
        ):  # raised by Google's client for other JSON, or for none
            raise _foreign_response(url) from None


def _error_of_login(url: str, error: GoogleAuthError) -> PipelineError:
    from google.auth.exceptions import TransportError  # noqa: PLC0415

    reason = redact(str(error))[:300] or type(error).__name__
    if isinstance(error, TransportError):
        return ServiceError(f"{url}: Google's login cannot be reached: {reason}")
    if error.retryable:
        return ServiceError(f"{url}: Google gives no access token: {reason}. Run again")
    return AccessRefusedError(f"{url}: Google does not accept these credentials: {reason}")


def _foreign_response(url: str) -> PermanentServiceError:
    return PermanentServiceError(f"{url}: the response is none of Cloud Storage's. Check {GOOGLE.address}")


def _is_broken_connection(error: Exception) -> bool:
    """True if the connection of a request broke; other errors of `requests` concern responses and addresses."""
    from requests import ConnectionError, Timeout  # noqa: A004, PLC0415
    from requests.exceptions import ChunkedEncodingError  # noqa: PLC0415

    return isinstance(error, ConnectionError | Timeout | ChunkedEncodingError)


def _status(error: Exception) -> int:
    """Return the status of the response behind an error of Google's client; 0 if there was no response."""
    response = getattr(error, "response", None)
    return int(getattr(error, "code", None) or getattr(response, "status_code", None) or 0)


def _message(error: Exception) -> str:
    return str(getattr(error, "message", "")).partition("\n")[0]


def _retry() -> Retry:
    """Return the retries of Google's client, by the rule of all clients."""
    from google.api_core.retry import Retry  # noqa: PLC0415
    from google.auth.exceptions import TransportError  # noqa: PLC0415

    def can_pass(error: Exception) -> bool:
        if is_untrusted_certificate(error):
            return False
        status = _status(error)
        return is_transient(status) if status else isinstance(error, TransportError) or _is_broken_connection(error)

    return Retry(predicate=can_pass, initial=PAUSE, maximum=8.0, timeout=PATIENCE)


def emulator() -> str | None:
    """Return the address of the emulator in `STORAGE_EMULATOR_HOST`, which may lack `http://`."""
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    refuse_credentials(host or "", "STORAGE_EMULATOR_HOST")
    return host if not host or "://" in host else f"http://{host}"


def _ca_bundle() -> str | None:
    return ca_bundle(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))


def google_credentials(service_account: Mapping[str, str] | None, *, unsigned: bool = False) -> Credentials:
    """Return credentials: none if unsigned or for an emulator, else the service account's, else those of `google.auth`.

    Raises:
        AccessRefusedError: There are none, or the service account's fields make no key.
    """
    import google.auth  # noqa: PLC0415 - 0.1 s, and a folder or S3 needs none of it
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
    from google.oauth2.service_account import Credentials as ServiceAccount  # noqa: PLC0415

    if unsigned or os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    # At DEBUG it records signed assertions and tokens, in fields that are set after a record has been redacted.
    logging.getLogger("google.auth.transport.requests").setLevel(logging.INFO)
    try:
        if service_account is not None:
            made: Credentials = ServiceAccount.from_service_account_info(service_account, scopes=[SCOPE])  # type: ignore[no-untyped-call]
            return made
        return google.auth.default(scopes=[SCOPE])[0]
    except (GoogleAuthError, OSError, ValueError) as error:
        # The library's own words can hold parts of the key.
        key_file = os.environ.get(KEY_FILE) if service_account is None else None
        remedy = (
            f"{_problem_of(key_file)}. Correct the variable"
            if key_file
            else f"Set {KEY_FILE} to a key file, run where a service account is attached, or let Vault hold the "
            "service account"
        )
        raise AccessRefusedError(f"No usable Google credentials ({type(error).__name__}). {remedy}") from None


def _problem_of(key_file: str) -> str:
    if os.path.isfile(key_file):  # noqa: PTH113 - of a name that is too long, too
        problem = "it is no JSON key of Google's" if os.access(key_file, os.R_OK) else "this user may not read it"
        return f"{KEY_FILE} names {key_file}: {problem}"
    if len(key_file) > LONGEST_PATH_SHOWN:
        return f"{KEY_FILE} has {len(key_file):,} characters that are the path of no file"
    return f"{KEY_FILE} names {key_file}: there is no such file"


class _LoginRedirectError(PermanentServiceError):
    """A redirect where Google's login should be; the message lacks the object that it was for."""


def _session_for_tokens() -> Session:
    from requests import Session  # noqa: PLC0415

    session = Session()
    session.verify = _ca_bundle() or True
    session.hooks["response"].append(_refuse_redirect)
    return session


def _refuse_redirect(response: Response, **_: object) -> None:
    """Follow no redirect of Google's login, as requests would send what the service account signed to any host.

    Raises:
        _LoginRedirectError: The response is a redirect.
    """
    if response.is_redirect:
        response.close()
        place, target = origin_of(response.url), origin_of(response.headers["Location"])
        raise _LoginRedirectError(
            f"Google's login at {place} redirects to {target}, and no credentials are sent there. Correct the service "
            "account's token_uri, and check the proxy variables"
        )


class _Tokens:
    """Access tokens for obstore, renewed by `google.auth`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def __call__(self) -> Any:  # noqa: ANN401 - obstore's GCSCredential
        from google.auth.transport.requests import Request  # noqa: PLC0415

        with self._lock:
            if not self._credentials.valid:
                request = partial(Request(_session_for_tokens()), timeout=SECONDS_TO_ANSWER)
                self._credentials.refresh(request)  # type: ignore[no-untyped-call]
            expiry: datetime | None = self._credentials.expiry
            return {"token": self._credentials.token, "expires_at": expiry and expiry.replace(tzinfo=UTC)}
