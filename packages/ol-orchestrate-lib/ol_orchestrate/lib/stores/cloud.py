"""The common base of the stores for S3 and Google Cloud Storage: it reads and looks up objects through obstore."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeVar

from typing_extensions import override

from ol_orchestrate.lib.errors import SourceChangedError, SourceGoneError
from ol_orchestrate.lib.retrying import retried
from ol_orchestrate.lib.stores.base import ObjectStore, StoredObject, checked_key, join_url, split_url
from ol_orchestrate.lib.stores.certificate_authorities import certificates_in
from ol_orchestrate.lib.stores.reading import SourceInfo, VerifiedReader
from ol_orchestrate.lib.stores.response_errors import Variables, WrongRegionError, error_of_obstore, incomplete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import obstore
    import obstore.store

    from ol_orchestrate.lib.stores.budget import UploadBudget

T = TypeVar("T")

CLIENT_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": "10s",
    "read_timeout": "60s",
    # One request moves at most a part of an upload or a range of a download, never a whole object.
    "timeout": "5m",
    # Without this, Google unpacks objects stored with `Content-Encoding: gzip`, and sizes and checksums do not match.
    "default_headers": {"accept-encoding": "gzip"},
}

NO_RETRIES: Any = {"max_retries": 0}
"""Options without retries, since only `lib/retrying.py` retries requests."""

RANGE = 32 << 20
"""Bytes of one request of a download: large, for few requests, but none so long that a network drops it."""

BLOCK = 1 << 20

SMALL = 1 << 20
"""Bytes of the largest upload that takes nothing from the budget."""


class CloudStore(ObjectStore):
    """Objects in a bucket."""

    variables: ClassVar[Variables]
    """The environment variables that error messages name."""

    version_header: ClassVar[str]
    """The header with the store's name of an object's version."""

    def __init__(self, url: str, budget: UploadBudget | None = None) -> None:
        """Open `scheme://bucket/prefix`; `budget` is the memory that uploads share with those of other processes."""
        self._budget = budget
        self.url = join_url(url)
        _, self.bucket, self._prefix = split_url(url)
        self._following, self._making = Lock(), Lock()
        self._followed_in_vain: obstore.store.ObjectStore | None = None

    @abstractmethod
    def _make_store(self) -> obstore.store.ObjectStore:
        """Make an obstore store for the bucket; this finds and reads credentials."""

    @abstractmethod
    def _describe(self, key: str) -> SourceInfo:
        """Describe an object with its checksum, which only the vendor's own client reports."""

    @abstractmethod
    def _list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects of the bucket whose key starts with `prefix`, under their whole keys."""

    @abstractmethod
    def _version(self, meta: obstore.ObjectMeta) -> str:
        """Return the `SourceInfo.version` of an object that obstore describes."""

    @abstractmethod
    def _pinned(self, info: SourceInfo) -> obstore.GetOptions:
        """Return the option that makes a request fail if the object has another version."""

    @abstractmethod
    def _credentials_for_obstore(self) -> Any:  # noqa: ANN401 - a vendor's own
        """Return the credentials of requests by obstore."""

    @abstractmethod
    def _errors_of_credentials(self, key: str) -> AbstractContextManager[None]:
        """Translate the errors of `_credentials_for_obstore`."""

    @cached_property
    def _provider(self) -> _Provider:
        return _Provider(self._credentials_for_obstore)

    @cached_property
    def _store(self) -> obstore.store.ObjectStore:
        return self._make_store()

    def _one_store(self) -> obstore.store.ObjectStore:
        """Return the store; since Python 3.12, threads that are first side by side make a cached property each."""
        with self._making:
            return self._store

    def _follow(self) -> None:
        """Find out the bucket's region, and make `_store` anew if its region is another one.

        Raises:
            ServiceError: There was no answer this time.
        """

    def _ask(self, key: str, question: Callable[[obstore.store.ObjectStore], T]) -> T:
        """Ask the store through obstore; once more if the bucket turns out to be in another region.

        Raises:
            FileNotFoundError: The answer is 404.
            PipelineError: The answer is another error.
        """
        store = self._one_store()
        try:
            with self._errors(key):
                return question(store)
        except WrongRegionError:
            with self._following:  # of many objects that are refused side by side, the first one asks
                if self._one_store() is store and self._followed_in_vain is not store:
                    self._follow()
                    if self._one_store() is store:
                        self._followed_in_vain = store
            if self._one_store() is store:
                raise
        with self._errors(key):
            return question(self._one_store())

    def _budgeted(self, size: int, most: int = 1) -> AbstractContextManager[int]:
        """Hold the free parts of the budget, up to `most`, for an upload of `size` bytes."""
        # Small objects are in memory already, in batches, which are few.
        return nullcontext(most) if self._budget is None or size <= SMALL else self._budget.take(most)

    def _path(self, key: str) -> str:
        return join_url(self._prefix, checked_key(key)) if self._prefix else checked_key(key)

    @override
    def find(self, key: str, *, with_metadata: bool = False) -> StoredObject | None:
        import obstore  # noqa: PLC0415 - a process that only makes a store need not load it

        path = self._path(key)
        try:
            if not with_metadata:
                meta = retried(lambda: self._ask(key, lambda store: obstore.head(store, path)))
                return self._stored_object(key, meta, {})
            answer = retried(lambda: self._ask(key, lambda store: obstore.get(store, path, options={"head": True})))
        except FileNotFoundError:
            return None
        return self._stored_object(key, answer.meta, {name.lower(): value for name, value in answer.attributes.items()})

    @override
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        # Not by obstore: it knows no generations, and gives up at the first key that is no path, such as `a//b`.
        start = f"{self._prefix}/" if self._prefix else ""
        for found in self._list(start + prefix):
            if not found.key.endswith("/"):
                yield replace(found, key=found.key.removeprefix(start))

    @override
    def list_folder(self, folder: str) -> Sequence[StoredObject]:
        import obstore  # noqa: PLC0415

        prefix = self._path(folder)

        def question(store: obstore.store.ObjectStore) -> Sequence[obstore.ObjectMeta]:
            return [meta for page in obstore.list(store, prefix, chunk_size=1000) for meta in page]

        try:
            found = retried(lambda: self._ask(folder, question))
        except FileNotFoundError:
            return []
        named = [(meta["path"].removeprefix(f"{prefix}/"), meta) for meta in found]
        return [
            StoredObject(f"{folder}/{name}", meta["size"], meta["last_modified"], self._version(meta))
            for name, meta in named
            if "/" not in name
        ]

    @override
    def read(self, key: str) -> VerifiedReader:
        info = self._describe(key)

        def fetch(position: int) -> Iterator[bytes]:
            try:
                yield from self._blocks(key, info, position)
            except FileNotFoundError:
                # Cloud Storage has no longer the version that was replaced.
                now = self.find(key)
                if now is not None and now.version != info.version:
                    raise SourceChangedError(f"{info.url}: the object changed while it was read. Run again") from None
                raise SourceGoneError(
                    f"{info.url}: the object was deleted while it was read. Put it there, and run again"
                ) from None

        return VerifiedReader(info, fetch)

    def _blocks(self, key: str, info: SourceInfo, position: int) -> Iterator[bytes]:
        """Yield the bytes of an object from a position on.

        Raises:
            FileNotFoundError: The object was deleted.
            PipelineError: The store fails, or the object has changed.
        """
        import obstore  # noqa: PLC0415

        path = self._path(key)
        while position < info.size:
            start = position
            options = self._pinned(info)
            if position or info.size > RANGE:
                options["range"] = (position, min(position + RANGE, info.size))
            answer = self._ask(key, partial(obstore.get, path=path, options=options))
            with self._errors(key):
                for block in answer.stream(min_chunk_size=BLOCK):
                    position += len(block)
                    yield bytes(block)
            if position == start:
                return  # the reader tries again, or gives up

    def _stored_object(self, key: str, meta: obstore.ObjectMeta, metadata: Mapping[str, str]) -> StoredObject:
        version = self._version(meta)
        if not version:
            raise incomplete(join_url(self.url, key), self.version_header, self.variables)
        if not meta["last_modified"].timestamp():  # obstore's value for a missing header
            raise incomplete(join_url(self.url, key), "Last-Modified", self.variables)
        return StoredObject(key, meta["size"], meta["last_modified"], version, metadata)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Translate obstore's errors into those with a remedy, except `FileNotFoundError`."""
        from obstore import exceptions  # noqa: PLC0415

        url = join_url(self.url, key)
        try:
            yield
        except (exceptions.PreconditionError, exceptions.NotModifiedError):
            raise SourceChangedError(f"{url}: the object changed while it was read. Run again") from None
        except exceptions.BaseError as error:
            if self._provider.error is not None and "credential provider" in str(error):
                with self._errors_of_credentials(key):
                    raise self._provider.error from None
            raise error_of_obstore(url, error, self.variables) from None

    def _trust(self, bundle: str | None) -> dict[str, Any]:
        """Return the options by which obstore also trusts the certificates of a file or folder."""
        return {"root_certificate": certificates_in(bundle)} if bundle else {}


class _Provider:
    """Gives credentials to obstore, which makes an error of its own of each that occurs here.

    Attributes:
        error: The error that occurred last; `None` if there are credentials since.
    """

    def __init__(self, credentials: Callable[[], Any]) -> None:
        self._credentials = credentials
        self.error: Exception | None = None

    def __call__(self) -> Any:  # noqa: ANN401 - a vendor's own
        try:
            given = self._credentials()
        except Exception as error:
            self.error = error
            raise
        self.error = None
        return given


def bytes_left(file: BinaryIO) -> int:
    """Return the number of bytes from the position of a file to its end."""
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here
