"""Opens the store at a URL, in one process or for several."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ol_orchestrate.lib.stores.access import StoreAccess
from ol_orchestrate.lib.stores.base import split_url
from ol_orchestrate.lib.stores.budget import UploadBudget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ol_orchestrate.lib.stores.access import S3Connection
    from ol_orchestrate.lib.stores.base import ObjectStore


def open_store(
    url: str,
    access: StoreAccess | None = None,
    *,
    budget: UploadBudget | None = None,
    connection: S3Connection | None = None,
) -> ObjectStore:
    """Return the store at `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`, without connecting to it.

    Args:
        url: The URL of the store.
        access: The credentials and settings.
        budget: The memory that uploads share with those of other processes; without one, each upload has a bound of its
            own.
        connection: The way to the bucket, if another process has found it out.

    Raises:
        BadInputError: The URL is of no known kind.
    """
    access = access or StoreAccess()
    match split_url(url)[0]:
        case "file":
            from ol_orchestrate.lib.stores.folder_store import FolderStore  # noqa: PLC0415 - each kind loads only its own

            return FolderStore(url)
        case "s3":
            from ol_orchestrate.lib.stores.s3_store import S3Store  # noqa: PLC0415

            return S3Store(url, access, budget, connection)
        case _:
            from ol_orchestrate.lib.stores.gcs_store import GCSStore  # noqa: PLC0415

            return GCSStore(url, unsigned=access.unsigned, service_account=access.google_service_account, budget=budget)


@dataclass(frozen=True, slots=True)
class SharedStore:
    """A store that worker processes write to: they share one budget of uploads, and what their parent has found out.

    A child that is given the descriptors can unpickle it.
    """

    url: str
    access: StoreAccess
    budget: UploadBudget
    connection: S3Connection | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that a child must inherit."""
        return (*self.budget.descriptors, *(self.connection.descriptors if self.connection else ()))

    def open(self) -> ObjectStore:
        """Open the store in a child."""
        return open_store(self.url, self.access, budget=self.budget, connection=self.connection)


@contextmanager
def shared_store(url: str, access: StoreAccess, *, parts: int) -> Iterator[SharedStore]:
    """Yield a store for child processes, which all end before the block does.

    Args:
        url: The URL of the store.
        access: The credentials and settings.
        parts: The number of parts of uploads that all children may have in memory at a time.

    Raises:
        PipelineError: The settings or the credentials cannot be used.
    """
    with UploadBudget(parts) as budget, open_store(url, access).connected() as connection:
        yield SharedStore(url, access, budget, connection)
