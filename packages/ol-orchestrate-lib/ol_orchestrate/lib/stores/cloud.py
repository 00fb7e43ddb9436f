"""What S3 and Google Cloud Storage have in common: reading and asking go through obstore."""

from __future__ import annotations

import re
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError, SourceChangedError
from ol_orchestrate.lib.stores.base import ObjectStore, StoredObject, checked_key, join_url, split_url
from ol_orchestrate.lib.stores.reading import SourceInfo, VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import obstore
    import obstore.store

CLIENT_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": "10s",
    "read_timeout": "60s",
    # One request moves at most a part of an upload or a range of a download, never a whole object.
    "timeout": "5m",
    # Without this, Google unpacks objects stored with `Content-Encoding: gzip`, and sizes and checksums do not fit.
    "default_headers": {"accept-encoding": "gzip"},
}

RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(minutes=3)}

RANGE = 32 << 20
"""Bytes asked for in one request of a download: few requests, and none so long that a network drops it."""

BLOCK = 1 << 20


class CloudStore(ObjectStore):
    """Objects in a bucket."""

    def __init__(self, url: str) -> None:
        """A store at `scheme://bucket/prefix`."""
        self.url = join_url(url)
        _, self.bucket, self._prefix = split_url(url)

    @abstractmethod
    def _make_store(self) -> obstore.store.ObjectStore:
        """An obstore store for the bucket; finds and reads credentials."""

    @abstractmethod
    def _describe(self, key: str) -> SourceInfo:
        """What the store announces of an object, its checksum included, as only the vendor's own client tells."""

    @abstractmethod
    def _list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects of the bucket whose key starts with `prefix`, under their whole keys."""

    @abstractmethod
    def _version(self, meta: obstore.ObjectMeta) -> str:
        """Of an object that obstore describes, what `SourceInfo.version` is."""

    @abstractmethod
    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        """The option of a request that makes it fail if the object is no longer this version."""

    @cached_property
    def _store(self) -> obstore.store.ObjectStore:
        return self._make_store()

    def _path(self, key: str) -> str:
        return join_url(self._prefix, checked_key(key)) if self._prefix else checked_key(key)

    def find(self, key: str, *, with_metadata: bool = False) -> StoredObject | None:
        """See `ObjectStore.find`."""
        import obstore  # noqa: PLC0415 - so that whoever names a store need not load it

        path = self._path(key)
        with self._errors(key):
            try:
                if not with_metadata:
                    return self._stored_object(key, obstore.head(self._store, path), {})
                answer = obstore.get(self._store, path, options={"head": True})
            except FileNotFoundError:
                return None
            return self._stored_object(
                key, answer.meta, {name.lower(): value for name, value in answer.attributes.items()}
            )

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`."""
        # Not by obstore: it knows no generations, and gives up at the first key that is no path, such as `a//b`.
        start = f"{self._prefix}/" if self._prefix else ""
        for found in self._list(start + prefix):
            if not found.key.endswith("/"):
                yield replace(found, key=found.key.removeprefix(start))

    def read(self, key: str) -> VerifiedReader:
        """See `ObjectStore.read`."""
        import obstore  # noqa: PLC0415

        path = self._path(key)
        with self._errors(key):
            info = self._describe(key)

        def fetch(position: int) -> Iterator[bytes]:
            with self._errors(key):
                while position < info.size:
                    options = self._pinned(info)
                    if position or info.size > RANGE:
                        options["range"] = (position, min(position + RANGE, info.size))
                    for block in obstore.get(self._store, path, options=options).stream(min_chunk_size=BLOCK):
                        position += len(block)
                        yield bytes(block)

        return VerifiedReader(info, fetch)

    def _stored_object(self, key: str, meta: obstore.ObjectMeta, metadata: Mapping[str, str]) -> StoredObject:
        return StoredObject(key, meta["size"], meta["last_modified"], self._version(meta), metadata)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Translate obstore's errors into those that say what to do."""
        from obstore import exceptions  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except PipelineError:
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise refused(url, _code(error)) from None
        except (exceptions.PreconditionError, exceptions.NotModifiedError):
            raise SourceChangedError(f"{url}: the object changed while it was read. Run again") from None
        except FileNotFoundError:
            raise SourceChangedError(f"{url}: the object, or its bucket, is not there any more") from None
        except exceptions.BaseError as error:
            raise ServiceError(f"{url}: the store failed: {_first_line(error)}") from None


def refused(url: str, reason: str) -> AccessRefusedError:
    """The error of a store that says no."""
    return AccessRefusedError(
        f"{url}: the store refuses access ({reason}). Check the credentials, and that they permit this"
    )


def _code(error: Exception) -> str:
    """What S3 and Google call the reason, if they give one; an answer to a HEAD has no text."""
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    return code[1] if code else "no permission, or unknown credentials"


def _first_line(error: Exception) -> str:
    """What the store said, without the pages of debugging text that follow."""
    return str(error).strip().partition("\n")[0][:300]
