"""The store for S3, and for other servers of its protocol."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from typing_extensions import override

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
    SettingsError,
)
from ol_orchestrate.lib.http_status import is_untrusted_certificate
from ol_orchestrate.lib.redaction import remember_secrets
from ol_orchestrate.lib.retrying import PATIENCE, RETRIES, SECONDS_TO_ANSWER, SECONDS_TO_CONNECT, retried
from ol_orchestrate.lib.stores.access import S3Connection
from ol_orchestrate.lib.stores.asking import answering
from ol_orchestrate.lib.stores.base import join_url
from ol_orchestrate.lib.stores.budget import PART
from ol_orchestrate.lib.stores.certificate_authorities import ca_bundle
from ol_orchestrate.lib.stores.checksums import expected_by_s3, expected_e_tag
from ol_orchestrate.lib.stores.cloud import CLIENT_OPTIONS, NO_RETRIES, CloudStore, bytes_left
from ol_orchestrate.lib.stores.reading import SourceInfo
from ol_orchestrate.lib.stores.response_errors import AWS, error_of_botocore, error_of_response, incomplete, untrusted
from ol_orchestrate.lib.stores.s3_listing import is_unreadable, read_page, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import obstore
    import obstore.store
    from botocore.client import BaseClient
    from botocore.loaders import Loader
    from botocore.session import Session
    from fsspec import AbstractFileSystem
    from obstore.store import S3Credential

    from ol_orchestrate.lib.stores.access import StoreAccess
    from ol_orchestrate.lib.stores.base import StoredObject
    from ol_orchestrate.lib.stores.budget import UploadBudget

T = TypeVar("T")

CREDENTIALS_LIVE = timedelta(minutes=5)
"""The time for which credentials are used before the session is asked again; it renews them 10 minutes before they
expire."""

LEFT_BEHIND = timedelta(days=1)
"""The age of an upload in parts that no living run can be working on."""

PARTS_IN_FLIGHT = 4
MAX_PARTS = 10_000
"""The most parts that S3 allows; those of an upload beyond 50 GB are larger than `PART`."""

_PIECE = 256 << 10
"""Bytes that obstore is handed at a time. It holds one part that it fills beside those that it sends; of a whole file,
which it reads by parts, it would hold one more."""

ETAG_OR_READ_BACK = "etag, or read back"
"""The check of an upload to a store that gets no checksum."""


@cache
def _loader(path: str | None) -> Loader:
    """Return the descriptions of AWS's services, which take each session 0.25 s to read."""
    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader(path)


class S3Store(CloudStore):
    """Objects in an S3 bucket; credentials, region and endpoint as botocore finds them for a profile.

    A bucket names its region in each response, also if it refuses the request for that reason. botocore follows by
    itself; obstore gets the region from botocore's responses.
    """

    variables = AWS
    version_header = "ETag"

    def __init__(
        self,
        url: str,
        access: StoreAccess,
        budget: UploadBudget | None = None,
        connection: S3Connection | None = None,
    ) -> None:
        """Open `s3://bucket/prefix`; `connection` is the way to the bucket that another process has found out."""
        super().__init__(url, budget)
        self._access = access
        self._given = connection
        self._bucket_region: str | None = None
        self._clients: dict[str | None, BaseClient] = {}

    @cached_property
    def _session(self) -> Session:
        import botocore.session  # noqa: PLC0415 - 0.3 s, paid at the first request

        session = botocore.session.Session(profile=self._access.aws_profile)
        # botocore's own parser takes two thirds of the time of a listing.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
        if self._access.aws_keys:
            session.set_credentials(*self._access.aws_keys)
        return session

    @property
    def _client(self) -> BaseClient:
        """A client for the bucket's region, as far as that is known."""
        region = self._bucket_region
        if region not in self._clients:
            self._clients[region] = self._make_client(region or self._access.aws_region)
        return self._clients[region]

    def _make_client(self, region: str | None) -> BaseClient:
        from botocore import UNSIGNED  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        config = Config(
            connect_timeout=SECONDS_TO_CONNECT,
            read_timeout=SECONDS_TO_ANSWER,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        if self._access.unsigned:
            config = config.merge(Config(signature_version=UNSIGNED))
        try:
            session = self._session
            session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
            client = session.create_client(
                "s3",
                region_name=region,
                endpoint_url=self._access.aws_endpoint_url,
                verify=self._verify,
                config=config,
            )
        except BotoCoreError as error:
            profile = self._access.aws_profile
            remedy = "Correct AWS_PROFILE, or ~/.aws/config; `aws configure` makes a profile"
            if profile is not None:
                setting = self._access.aws_profile_setting
                remedy = f"`aws configure --profile {profile}` makes it; {setting} can name another"
            message = f"{self.url}: the AWS settings cannot be used: {str(error).rstrip('.')}. {remedy}"
            raise SettingsError(message) from error
        except ValueError:  # whose text repeats the address, with a password that it may hold
            raise SettingsError(f"{self.url}: AWS_ENDPOINT_URL is no address that can be used. Correct it") from None
        refuse_credentials(client.meta.endpoint_url, "AWS_ENDPOINT_URL")
        client.meta.events.register("response-received.s3", self._note_region)
        client.meta.events.register("response-received.s3", self._refuse_what_is_no_xml)
        client.meta.events.register("before-sign.s3", self._remember_keys)
        return client

    def _remember_keys(self, **_: object) -> None:
        """Keep what a request is signed with out of texts, as responses can repeat it."""
        if (credentials := self._session.get_credentials()) is not None:
            keys = credentials.get_frozen_credentials()
            remember_secrets(keys.secret_key, keys.token)

    @property
    def _verify(self) -> bool | str | None:
        if self._access.aws_verify is not None:
            return self._access.aws_verify
        bundle: str | None = self._session.get_config_variable("ca_bundle")
        return bundle or ca_bundle()

    def _note_region(self, response_dict: Mapping[str, Any] | None, **_: object) -> None:
        """Remember the region that a response names; clients and stores for another are no longer used.

        Raises:
            WrongRegionError: The response is a redirect that names none, which botocore would follow in circles.
        """
        if response_dict is None:
            return
        status: int = response_dict["status_code"]
        if region := response_dict["headers"].get("x-amz-bucket-region"):
            if region != self._client.meta.region_name:
                self._bucket_region = region
                self._given = None
                for name in ("_connection", "_store", "_uploads"):
                    self.__dict__.pop(name, None)
        elif status // 100 == 3 and status != HTTPStatus.NOT_MODIFIED:  # noqa: PLR2004
            raise error_of_response(self.url, status, variables=AWS)

    def _refuse_what_is_no_xml(
        self, response_dict: Mapping[str, Any] | None, parsed_response: Mapping[str, Any] | None, **_: object
    ) -> None:
        """Refuse a page of a proxy, or text, as the response to a request.

        Raises:
            ServiceError: The connection broke before its end, which botocore does not notice.
            IncompleteResponseError: It is no XML.
        """
        # botocore makes a 500 of it, which may pass, as of an error that S3 reports after it began with 200.
        if response_dict and response_dict["status_code"] == HTTPStatus.OK and is_unreadable(parsed_response or {}):
            announced, came = response_dict["headers"].get("content-length", ""), len(response_dict["body"])
            if announced.isdecimal() and came < int(announced):
                raise ServiceError(f"{self.url}: the response ended at byte {came:,} of {int(announced):,}")
            raise incomplete(self.url, "XML", AWS)

    @override
    def _follow(self) -> None:
        """Any response to this request names the region, also a refusal."""
        try:
            with self._client_errors("", self.missing("")):
                self._client.head_bucket(Bucket=self.bucket)  # type: ignore[attr-defined]
        except PipelineError as error:
            if error.is_transient:
                raise

    @cached_property
    def _connection(self) -> S3Connection:
        """The way to the bucket for obstore, as the vendor's own client finds it out."""
        if self._given is not None:
            return self._given
        meta = self._client.meta
        unsigned = self._access.unsigned
        if not unsigned and self._session.get_credentials() is None:
            raise self._no_credentials()
        return S3Connection(
            endpoint=meta.endpoint_url,
            region=meta.region_name or "us-east-1",
            verify=self._verify,
            sends_checksums=self._sends_checksums,
            keys=None if unsigned else self._keys,
        )

    def _keys(self) -> S3Credential:
        if (credentials := self._session.get_credentials()) is None:
            raise self._no_credentials()
        keys = credentials.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key or "",
            "secret_access_key": keys.secret_key or "",
            "token": keys.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_LIVE,
        }

    @override
    def _credentials_for_obstore(self) -> S3Credential:
        connection = self._connection
        if connection.keys is None:
            raise ValueError("requests to a public bucket need no keys")
        keys = connection.keys()
        remember_secrets(keys["secret_access_key"], keys["token"])
        return keys

    @override
    @contextmanager
    def connected(self) -> Iterator[S3Connection]:
        with suppress(ServiceError):  # the requests to come tell of it, if it stays so
            self._follow()
        connection = self._connection
        if connection.keys is None:
            yield connection
            return
        with answering(self._keys_for_children) as question:
            yield replace(connection, keys=question)

    def _keys_for_children(self) -> S3Credential:
        with self._client_errors("", self.missing_bucket()):
            return self._keys()

    def _options(self) -> dict[str, Any]:
        connection = self._connection
        verify = connection.verify
        options: dict[str, Any] = {
            "config": {
                "endpoint": connection.endpoint,
                "region": connection.region,
                "virtual_hosted_style_request": False,
                "skip_signature": connection.keys is None,
                **({"checksum_algorithm": "SHA256"} if connection.sends_checksums else {}),
            },
            "client_options": {
                **CLIENT_OPTIONS,
                "allow_http": connection.endpoint.startswith("http://"),
                "allow_invalid_certificates": verify is False,
                **self._trust(verify if isinstance(verify, str) else None),
            },
            "retry_config": NO_RETRIES,
        }
        return options if connection.keys is None else {**options, "credential_provider": self._provider}

    @cached_property
    def _sends_checksums(self) -> bool:
        """False by `AWS_REQUEST_CHECKSUM_CALCULATION=when_required`, or the same in the profile."""
        if self._given is not None:
            return self._given.sends_checksums
        return bool(self._session.get_config_variable("request_checksum_calculation") != "when_required")

    @override
    @property
    def upload_check(self) -> str:
        return "sha256" if self._sends_checksums else ETAG_OR_READ_BACK

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

    @cached_property
    def _uploads(self) -> obstore.store.ObjectStore:
        """The store for uploads in parts, of which only the part that failed is to be repeated."""
        import obstore.store  # noqa: PLC0415

        retries: Any = {"max_retries": RETRIES, "retry_timeout": timedelta(minutes=3)}
        return obstore.store.S3Store(self.bucket, **{**self._options(), "retry_config": retries})

    @override
    def filesystem(self) -> AbstractFileSystem:
        from obstore.fsspec import FsspecStore  # noqa: PLC0415

        with suppress(ServiceError):
            self._follow()
        with self._errors(""):
            return FsspecStore("s3", **self._options())

    @override
    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """Each request carries the SHA-256 of its bytes, which S3 compares."""
        path = self._path(key)
        attributes = dict(metadata) if metadata else None
        size = len(content) if isinstance(content, bytes) else bytes_left(content)
        try:
            if size > PART:
                self._write_in_parts(key, path, content, size, attributes)
                return
            with self._budgeted(size):
                self._write_at_once(key, path, content if isinstance(content, bytes) else content.read(), attributes)
        except FileNotFoundError:
            raise self.missing_bucket() from None

    def _write_at_once(self, key: str, path: str, content: bytes, attributes: Any) -> None:  # noqa: ANN401
        import obstore  # noqa: PLC0415

        def put(store: obstore.store.ObjectStore) -> obstore.PutResult:
            return obstore.put(store, path, content, attributes=attributes, use_multipart=False)

        written = retried(lambda: self._ask(key, put))
        if not self._sends_checksums:
            self._check_upload(key, written, BytesIO(content), part=None)

    def _write_in_parts(self, key: str, path: str, content: BinaryIO | bytes, size: int, attributes: Any) -> None:  # noqa: ANN401
        import obstore  # noqa: PLC0415

        # A question costs little beside the upload, and finds out what is wrong before a part is sent, and the region.
        with suppress(AccessRefusedError):
            self.find(key)
        part = max(PART, -(-size // MAX_PARTS))
        file = BytesIO(content) if isinstance(content, bytes) else content
        start = file.tell()
        with self._budgeted(size, PARTS_IN_FLIGHT) as at_once, self._errors(key):
            written = obstore.put(
                self._uploads,
                path,
                iter(partial(file.read, _PIECE), b""),
                attributes=attributes,
                use_multipart=True,
                chunk_size=part,
                max_concurrency=at_once,
            )
        if not self._sends_checksums:
            file.seek(start)
            self._check_upload(key, written, file, part=part)

    def _check_upload(self, key: str, written: obstore.PutResult, content: BinaryIO, *, part: int | None) -> None:
        """Make sure that S3 has the bytes that were sent to it without a checksum.

        Raises:
            PermanentServiceError: It has others; its response to a bad digest is final, too.
        """
        start = content.tell()
        if (written["e_tag"] or "").strip('"') == expected_e_tag(content, part):
            return
        # With KMS encryption, an ETag is no MD5: whether the bytes are right, only they can tell.
        content.seek(start)
        for block in self.read(key):
            if content.read(len(block)) != block:
                break
        else:
            if not content.read(1):
                return
        self.delete(key)
        raise PermanentServiceError(
            f"{join_url(self.url, key)}: what was written did not come back as it was sent, and was deleted. Check "
            "the store, and what is between it and this machine"
        )

    @override
    def delete(self, key: str) -> None:
        path = self._path(key)
        self._call(key, self.missing(key), lambda: self._client.delete_object(Bucket=self.bucket, Key=path))  # type: ignore[attr-defined]

    @override
    def abort_old_uploads(self, folder: str = "") -> str | None:
        prefix = "".join(f"{part}/" for part in (self._prefix, folder) if part)
        if not prefix:
            return None
        place = f"s3://{self.bucket}/{prefix.rstrip('/')}"
        before = datetime.now(UTC) - LEFT_BEHIND
        aborted = 0
        try:
            with self._client_errors("", self.missing_bucket()):
                pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix)
                for page in pages:
                    for upload in page.get("Uploads", []):
                        if upload["Initiated"] < before:
                            self._abort(upload["Key"], upload["UploadId"])
                            aborted += 1
        except (PipelineError, KeyError) as error:
            rule = "Give the bucket the lifecycle rule AbortIncompleteMultipartUpload instead"
            return f"Uploads that killed runs left below {place} cannot be aborted ({error}). {rule}"
        return f"Uploads that killed runs left below {place}, aborted: {aborted:,}" if aborted else None

    def _abort(self, path: str, upload: str) -> None:
        # Another run may have been here first.
        with suppress(MissingObjectError), self._client_errors("", self.missing("")):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=path, UploadId=upload)  # type: ignore[attr-defined]

    def _describe(self, key: str) -> SourceInfo:
        path = self._path(key)
        head: Mapping[str, Any] = self._call(
            key,
            self.missing(key),
            lambda: self._client.head_object(Bucket=self.bucket, Key=path, ChecksumMode="ENABLED"),  # type: ignore[attr-defined]
        )
        url = join_url(self.url, key)
        for field, header in (("ContentLength", "Content-Length"), ("ETag", "ETag"), ("LastModified", "Last-Modified")):
            if head.get(field, "") in {"", '""'}:
                raise incomplete(url, header, AWS)
        return SourceInfo(
            url, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"], expected_by_s3(head)
        )

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        more: dict[str, str] = {}
        while True:
            page: Mapping[str, Any] = self._call(
                "",
                self.missing_bucket(),
                partial(self._client.list_objects_v2, Bucket=self.bucket, Prefix=prefix, **more),  # type: ignore[attr-defined]
            )
            objects, following = read_page(self.url, page)
            yield from objects
            if not following:
                return
            if following == more:
                raise incomplete(self.url, "new 'NextContinuationToken' in its listing", AWS)
            more = following

    def _call(self, key: str, not_found: PipelineError, call: Callable[[], T]) -> T:
        """Call botocore's client, repeatedly where that can help; `not_found` is the error for a 404."""

        def translated() -> T:
            with self._client_errors(key, not_found):
                return call()

        return retried(translated, patience=PATIENCE)

    def _version(self, meta: obstore.ObjectMeta) -> str:
        return (meta["e_tag"] or "").strip('"')

    @override
    def _errors_of_credentials(self, key: str) -> AbstractContextManager[None]:
        return self._client_errors(key, self.missing(key))

    @contextmanager
    def _client_errors(self, key: str, not_found: PipelineError) -> Iterator[None]:
        """Translate botocore's errors; `not_found` is the one for a 404."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except NoCredentialsError:
            raise self._no_credentials() from None
        except ClientError as error:
            status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == HTTPStatus.NOT_FOUND:
                raise not_found from None
            # An empty element is None.
            code = error.response["Error"].get("Code") or ""
            message = error.response["Error"].get("Message") or ""
            code = "" if code.isdecimal() else code  # botocore repeats the status where there is none
            raise error_of_response(url, status, code=code, message=message, variables=AWS) from None
        except BotoCoreError as error:
            if is_untrusted_certificate(error):
                raise untrusted(url, error, AWS) from None
            raise error_of_botocore(url, error) from None
        except (ResponseParserError, ValueError):  # what botocore makes of numbers, times and XML that are none
            raise incomplete(url, "readable content", AWS) from None

    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        return {"if_match": f'"{info.version}"'}
