"""The interface that all object stores share, and the form of their keys and URLs."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import BadInputError, MissingBucketError, MissingObjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from fsspec import AbstractFileSystem

    from ol_orchestrate.lib.stores.access import S3Connection
    from ol_orchestrate.lib.stores.reading import VerifiedReader

_SAFE_KEY = re.compile(r"(?!\.)[^/\x00-\x1f\x7f]+(?:/(?!\.)[^/\x00-\x1f\x7f]+)*")

VERSION = "version"
"""Name of the metadata field in which an object with a fixed key carries the data version of its content."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is there.

    Attributes:
        key: The name below the store's URL.
        size: The size in bytes.
        modified: The time of the last write, by the store's clock.
        version: The store's name for this content, as in `SourceInfo.version`.
        metadata: The values that its writer stored with it; only `find` reads them, and only on request.
    """

    key: str
    size: int
    modified: datetime
    version: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(ABC):
    """Objects below one URL. Safe to use from several threads.

    Every method can raise `AccessRefusedError` and `ServiceError`; a missing object is told by the method.
    """

    url: str
    """Without a slash at its end."""

    writes_at_once: ClassVar[int] = 16
    """Objects that one process best writes at the same time: enough to hide an answer time of 50 ms."""

    @property
    @abstractmethod
    def upload_check(self) -> str:
        """The check by which `write` knows that the store has the right bytes, as a run's metadata name it."""

    @abstractmethod
    def find(self, key: str, *, with_metadata: bool = False) -> StoredObject | None:
        """Look up one object, in one request; return `None` if there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with `prefix`, in no particular order, page by page.

        Objects under keys that the other methods refuse are listed, too. A key with a slash at its end, which a console
        makes to show an empty folder, is no object.
        """

    @abstractmethod
    def list_folder(self, folder: str) -> Sequence[StoredObject]:
        """Return the objects right in a folder, whose keys this project has made; one request for each thousand.

        Their `version` can be empty, as not every store tells it here.
        """

    @abstractmethod
    def write(self, key: str, content: BinaryIO | bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """Put an object there, whole or not at all; the store checks that it got what was sent.

        Args:
            key: The name below the store's URL.
            content: The bytes; a file is read from its position to its end.
            metadata: Names and values in printable ASCII, to be kept with the object.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""

    @abstractmethod
    def read(self, key: str) -> VerifiedReader:
        """Stream an object, pinned to what is there now.

        Raises:
            MissingObjectError: There is no such object.
        """

    @abstractmethod
    def filesystem(self) -> AbstractFileSystem:
        """Return the fsspec file system behind `StorePath`."""

    def abort_old_uploads(self, folder: str = "") -> str | None:  # noqa: ARG002 - of stores with such uploads
        """Abort the uploads in parts that killed runs left below the store's URL, as far as the store has such.

        A run calls it once. Nothing fails because of it, and nothing is done to a whole bucket, which can hold uploads
        of others.

        Args:
            folder: The folder below the URL that has all objects of this project.

        Returns:
            A sentence about what was done, or why nothing could be; `None` if nothing was left.
        """
        return None

    def connected(self) -> AbstractContextManager[S3Connection | None]:
        """Yield what children of this process need not find out again to open the store, until the block ends.

        Raises:
            PipelineError: The settings or the credentials cannot be used.
        """
        return nullcontext()

    def missing(self, key: str) -> MissingObjectError:
        """Make the error for an object that should be there."""
        return MissingObjectError(f"{join_url(self.url, key)}: there is no such object")

    def missing_bucket(self) -> MissingBucketError:
        """Make the error for a bucket that should be there."""
        return MissingBucketError(f"{self.url}: there is no such bucket. Create it, or correct its name")

    def __repr__(self) -> str:
        """Show the URL, and nothing of the credentials."""
        return f"{type(self).__name__}({self.url!r})"


def split_url(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket and prefix of a store's URL; of a folder: `file`, nothing, and the path.

    Raises:
        BadInputError: The URL is of no known kind, or holds credentials.
    """
    refuse_credentials(url)
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file" and rest.startswith("/"):
        return scheme, "", rest.rstrip("/") or "/"
    if separator and scheme in {"s3", "gs"}:
        bucket, _, prefix = rest.partition("/")
        if bucket:
            return scheme, bucket, prefix.strip("/")
    message = f"{url!r} is no URL of a store: expected s3://bucket/prefix, gs://bucket/prefix or file:///folder"
    raise BadInputError(message)


def join_url(url: str, *parts: str) -> str:
    """Join a URL and the parts below it, with one slash between each two."""
    base = url.rstrip("/")
    base = "file://" if base == "file:" else base  # the root folder
    return "/".join([base, *(part.strip("/") for part in parts if part)])


def checked_key(key: str) -> str:
    """Return the key itself, if it names one object below its store and nothing above or beside it.

    Raises:
        BadInputError: It holds an empty part, one that begins with a dot, or a control character. A part that begins
            with a dot leads out of a folder, or is hidden in it like the folder store's own files.
    """
    if not _SAFE_KEY.fullmatch(key):
        remedy = "no part of it may be empty, begin with a dot, or hold a control character. Rename the source"
        message = f"{key!r} is refused as an object key: {remedy}"
        raise BadInputError(message)
    return key
