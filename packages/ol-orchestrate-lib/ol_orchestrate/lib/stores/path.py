"""An object of a store as a path; for workers to load it would take as long as all else that they load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from upath import UPath

from ol_orchestrate.lib.stores.base import checked_key, join_url, split_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

    from ol_orchestrate.lib.stores.base import ObjectStore


class StorePath(UPath):
    """A `UPath` that goes through obstore, with the credentials of the store it came from."""

    def __new__(cls, *_: object, **__: object) -> Self:
        """Make a path of this class: `UPath` would choose one by the protocol, which loads another library for S3."""
        return object.__new__(cls)

    @classmethod
    def of(cls, store: ObjectStore, key: str) -> Self:
        """Return the path of an object, there or not, which streams when it is opened.

        Raises:
            BadInputError: The key is invalid.
        """
        return cls(join_url(store.url, checked_key(key)), protocol=split_url(store.url)[0], store=store, key=key)

    @property
    def store(self) -> ObjectStore:
        """The store that holds the object."""
        store: ObjectStore = self.storage_options["store"]
        return store

    @property
    def key(self) -> str:
        """The object's name below the store's URL."""
        return join_url(str(self)).removeprefix(self.store.url).lstrip("/")

    @classmethod
    def _fs_factory(cls, urlpath: str, protocol: str, storage_options: Mapping[str, Any]) -> AbstractFileSystem:
        del urlpath, protocol
        store: ObjectStore = storage_options["store"]
        return store.filesystem()

    def __reduce__(self) -> Any:  # noqa: ANN401
        """Refuse to be pickled, as that would write credentials into the pickle.

        Raises:
            TypeError: Always.
        """
        message = f"{self} holds an open store and cannot be pickled; hand over its URL"
        raise TypeError(message)
