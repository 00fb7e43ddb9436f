"""IO managers for assets that are files: in goes a local file and its object key, out comes a path that streams."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

from ol_orchestrate.failures import failures_for_people
from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, join_url, open_store

if TYPE_CHECKING:
    from upath import UPath

    from ol_orchestrate.lib.stores.path import StorePath


class _StoredFileIOManager(dg.ConfigurableIOManager):
    """Files below one URL: a folder, S3 or Google Cloud Storage.

    On output it takes a pair `(local path, object key)` and puts the file there, whole or not at all; the local file
    stays. On input it gives a `UPath` of what the partition's latest materialization says in its metadata `path`;
    nothing is downloaded before it is read.
    """

    aws_profile: str | None = Field(default=None, description="AWS profile to use; the environment's own if not given")
    _store: ObjectStore | None = PrivateAttr(default=None)

    @abstractmethod
    def base_url(self) -> str:
        """What object keys are below."""

    @property
    def can_write(self) -> bool:
        """Whether there is a base URL; without one, only what was recorded elsewhere can be read."""
        return True

    def access(self, url: str) -> StoreAccess:
        """How to get into the store at a URL. May read secrets."""
        del url
        return StoreAccess(aws_profile=self.aws_profile)

    def store(self) -> ObjectStore:
        """The store at the base URL."""
        if self._store is None:
            self._store = open_store(self.base_url(), self.access(self.base_url()))
        return self._store

    def handle_output(self, context: dg.OutputContext, obj: tuple[str | Path, str]) -> None:
        """Write a local file to its object key, and say where it is."""
        local_path, key = obj
        with failures_for_people(context.step_context):
            store = self.store()
            with Path(local_path).open("rb") as file:
                store.write(key, file)
        context.add_output_metadata({"path": join_url(store.url, key), "object_key": key})

    def load_input(self, context: dg.InputContext) -> UPath:
        """The file of the latest materialization.

        Raises:
            dagster.Failure: None was recorded, or its object is gone; not worth a retry.
        """
        partition = None
        if context.has_asset_partitions:
            # In a job of ops, Dagster takes all partitions of the asset for the input; the run's own is meant.
            partition = context.partition_key if context.has_partition_key else context.asset_partition_key
        with failures_for_people(context.step_context):
            return self.find(context.instance, context.asset_key, partition)

    def find(self, instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str | None) -> StorePath:
        """The file of an asset's latest materialization.

        Raises:
            MissingObjectError: None was recorded, or its object is gone.
        """
        recorded = recorded_path(instance, asset_key, partition)
        url = recorded or self.path_without_record(partition)
        of_partition = f" for partition {partition!r}" if partition else ""
        if url is None:
            raise MissingObjectError(
                f"{asset_key.to_user_string()} has no materialization{of_partition}: run what makes it first"
            )
        path = self._path(url)
        if path.store.find(path.key) is None:
            where = "though it was recorded" if recorded else "and no materialization names another place"
            raise MissingObjectError(
                f"{asset_key.to_user_string()}: {url} is not there, {where}{of_partition}: "
                "put the object there, or run what makes it again"
            )
        return path

    def path_without_record(self, partition: str | None) -> str | None:
        """Where a partition's file is if no materialization says so; `None` if that cannot be known."""
        del partition
        return None

    def _path(self, url: str) -> StorePath:
        if self.can_write and url.startswith(f"{self.store().url}/"):
            return self.store().path(url.removeprefix(f"{self.store().url}/"))
        folder, _, name = url.rpartition("/")
        return open_store(folder, self.access(folder)).path(name)


class FileObjectIOManager(_StoredFileIOManager):
    """Files in a folder, in S3 or in Google Cloud Storage, by the scheme of the URL."""

    url: str | None = Field(
        default=None,
        description="file:///folder, s3://bucket/prefix or gs://bucket/prefix; not needed to read what was recorded",
    )

    @field_validator("url")
    @classmethod
    def _holds_no_credentials(cls, url: str | None) -> str | None:
        refuse_credentials(url or "")
        return url

    @property
    def can_write(self) -> bool:
        """Whether there is a URL."""
        return self.url is not None

    def base_url(self) -> str:
        """The URL.

        Raises:
            BadInputError: There is none.
        """
        if self.url is None:
            raise BadInputError(f"{type(self).__name__} has no url to write below: configure one")
        return self.url


class S3FileObjectIOManager(_StoredFileIOManager):
    """Files in an S3 bucket."""

    bucket: str
    path_prefix: str = ""

    def base_url(self) -> str:
        """The bucket and the prefix."""
        return join_url(f"s3://{self.bucket}", self.path_prefix)


def recorded_path(instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str | None) -> str | None:
    """The metadata `path` of the latest materialization; `None` if there is none.

    Raises:
        BadInputError: The materialization does not say where its object is.
    """
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[partition] if partition else None), limit=1
    ).records
    if not records or records[0].asset_materialization is None:
        return None
    path = records[0].asset_materialization.metadata.get("path")
    if path is None or not isinstance(path.value, str):
        raise BadInputError(f"the latest materialization of {asset_key.to_user_string()} does not say its path")
    return path.value
