"""IO managers for assets that are files: they take a local file and its object key, and give a path that streams."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator
from upath import UPath

from ol_orchestrate.failures import as_dagster_failure
from ol_orchestrate.landing_zone import SOURCE_URL
from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError, SettingsError
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, join_url, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.resources.secrets.vault import Vault  # noqa: TC001 - pydantic reads the annotation
from ol_orchestrate.resources.service_account import ServiceAccount
from ol_orchestrate.resources.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECENT = 100
"""Materializations of a partition that a run's URL is looked for among; it was recorded just before the run."""


class FileObjectIOManager(Strict, dg.ConfigurableIOManager):
    """Files below one URL: a folder, S3 or Google Cloud Storage, by the scheme of the URL.

    On output it takes a pair `(local path, object key)` and writes the object, whole or not at all; the local file
    stays. The key may also be the whole URL. On input it gives a `UPath` of the URL in the metadata `path` of the
    partition's latest materialization or of the upstream op's output; nothing is downloaded before it is read.
    """

    url: str | None = Field(
        default=None,
        description="file:///folder, s3://bucket/prefix or gs://bucket/prefix; not needed to read recorded objects",
    )
    aws_profile: str | None = Field(default=None, description="AWS profile to use; the environment's own if not given")
    vault: Vault | None = Field(default=None, description="Keeps the credentials for Google Cloud Storage")
    vault_gcs_token_path: str | None = Field(
        default=None,
        description="Path in `vault` of a secret with the fields of a service account's key file. Neither is needed "
        "with GOOGLE_APPLICATION_CREDENTIALS, or if Google's clients find credentials by themselves",
    )
    permanent_failure_tag: str | None = Field(
        default=None, description="Tag of runs that fail for a reason that stays until an operator changes something"
    )
    _store: ObjectStore | None = PrivateAttr(default=None)
    _service_account: ServiceAccount | None = PrivateAttr(default=None)

    @field_validator("url")
    @classmethod
    def _holds_no_credentials(cls, url: str | None) -> str | None:
        refuse_credentials(url or "")
        return url

    @property
    def can_write(self) -> bool:
        """True if there is a base URL; without one, it only reads objects that are recorded elsewhere."""
        return self.url is not None

    def base_url(self) -> str:
        """Return the URL that object keys are below.

        Raises:
            SettingsError: There is no URL.
        """
        if self.url is None:
            raise SettingsError(f"{type(self).__name__} has no url: configure the folder or bucket to write to")
        return self.url

    def access(self, url: str) -> StoreAccess:
        """Return the credentials for the store at a URL; this may read secrets.

        Raises:
            SettingsError: Only one of `vault` and `vault_gcs_token_path` is given.
            PipelineError: Vault does not give the secret.
        """
        account = self._google_service_account() if url.startswith("gs://") else None
        return StoreAccess(aws_profile=self.aws_profile, google_service_account=account)

    def _google_service_account(self) -> dict[str, str] | None:
        if self.vault is None and self.vault_gcs_token_path is None:
            return None
        if self.vault is None or self.vault_gcs_token_path is None:
            raise SettingsError(f"{type(self).__name__} needs both vault and vault_gcs_token_path, or neither")
        if self._service_account is None:
            self._service_account = ServiceAccount(self.vault, self.vault_gcs_token_path)
        return self._service_account.fields()

    def store(self) -> ObjectStore:
        """Return the store at the base URL, the same one each time."""
        if self._store is None:
            self._store = open_store(self.base_url(), self.access(self.base_url()))
        return self._store

    def handle_output(self, context: dg.OutputContext, obj: tuple[str | Path, str] | None) -> None:
        """Write a local file to its object key and record its URL; for `None`, write nothing.

        Raises:
            dagster.Failure: The value is no such pair, its key is the URL of another place, or it cannot be written.
        """
        if obj is None:
            return
        with as_dagster_failure(context.step_context, self.permanent_failure_tag):
            local_path, key = _local_path_and_key(context, obj)
            store = self.store()
            key = self._key_below(store.url, key)
            with Path(local_path).open("rb") as file:
                store.write(key, file)
        context.add_output_metadata({"path": join_url(store.url, key), "object_key": key})

    def load_input(self, context: dg.InputContext) -> UPath:
        """Return the path of the latest materialization's object, or of the upstream op's.

        Raises:
            dagster.Failure: None is recorded, or its object is gone; a retry cannot help.
        """
        with as_dagster_failure(context.step_context, self.permanent_failure_tag):
            if not context.has_asset_key:
                return self._path(_path_of_output(context))
            partition = None
            if context.has_asset_partitions:
                # In a job of ops, Dagster gives the input all partitions of the asset, where the run's own is meant.
                partition = context.partition_key if context.has_partition_key else context.asset_partition_key
            pinned = context.step_context.get_tag(SOURCE_URL)
            return self.find(context.instance, context.asset_key, partition, pinned=pinned)

    def find(
        self,
        instance: dg.DagsterInstance,
        asset_key: dg.AssetKey,
        partition: str | None,
        *,
        pinned: str | None = None,
        folder: str | None = None,
        latest: dg.AssetMaterialization | None = None,
    ) -> StorePath:
        """Return the path of the object of an asset's latest materialization, or of one that a run is pinned to.

        Args:
            pinned: The run's tag `SOURCE_URL`; it counts if it was recorded for this asset and partition.
            folder: The URL of the folder that a partition without a materialization is looked for in, where that is
                another one than the base URL.
            latest: The latest materialization, if the caller has read it.

        Raises:
            MissingObjectError: None is recorded, or its object is gone.
        """
        recorded = pinned if pinned and pinned in _recent_paths(instance, asset_key, partition) else None
        recorded = recorded or recorded_path(instance, asset_key, partition, latest)
        url = recorded or self.path_without_record(partition, folder)
        of_partition = f" for partition {partition!r}" if partition else ""
        if url is None:
            raise MissingObjectError(
                f"{asset_key.to_user_string()} has no materialization{of_partition}: materialize it first"
            )
        path = self._path(url)
        if path.store.find(path.key) is None:
            where = "though it was recorded" if recorded else "and no materialization names another place"
            raise MissingObjectError(
                f"{asset_key.to_user_string()}: {url} does not exist, {where}{of_partition}: "
                "put the object there, or materialize the asset again"
            )
        return path

    def path_without_record(self, partition: str | None, folder: str | None = None) -> str | None:
        """Return the URL of a partition without a materialization; `None` if it cannot be known."""
        del partition, folder
        return None

    def _key_below(self, base: str, key: str) -> str:
        """Return the object key of a key or of a URL below the base URL.

        Raises:
            BadInputError: The URL is not below the base URL.
        """
        if not re.match(r"[a-z][a-z0-9+.-]*://", key):
            return key
        refuse_credentials(key)
        if not key.startswith(f"{base}/"):
            raise BadInputError(
                f"{type(self).__name__} writes below {base}, and {key} is elsewhere: give a key below it"
            )
        return key.removeprefix(f"{base}/")

    def _path(self, url: str) -> StorePath:
        if self.can_write and url.startswith(f"{self.store().url}/"):
            return StorePath.of(self.store(), url.removeprefix(f"{self.store().url}/"))
        folder, _, name = url.rpartition("/")
        return StorePath.of(open_store(folder, self.access(folder)), name)


class S3FileObjectIOManager(FileObjectIOManager):
    """Files in an S3 bucket."""

    bucket: str
    path_prefix: str = ""

    @field_validator("url")
    @classmethod
    def _no_url(cls, url: str | None) -> str | None:
        if url is not None:
            raise ValueError("bucket and path_prefix name the place: give no url, or use FileObjectIOManager")
        return url

    @property
    def can_write(self) -> bool:
        """True always, as the bucket is required."""
        return True

    def base_url(self) -> str:
        """Return the URL of the bucket and the prefix."""
        return join_url(f"s3://{self.bucket}", self.path_prefix)


def _local_path_and_key(context: dg.OutputContext, obj: object) -> tuple[str | Path, str]:
    match obj:
        case (str() | Path() as local_path, str() | UPath() as key):
            return local_path, str(key)
    raise BadInputError(
        f"{context.step_key} returned a value of type {type(obj).__name__}: return a pair of a local path and an "
        "object key, or give this output another IO manager"
    )


def _path_of_output(context: dg.InputContext) -> str:
    """Return the metadata `path` of the upstream step, in this run or in the run that this one repeats.

    Raises:
        MissingObjectError: That step recorded no file.
    """
    output = context.upstream_output
    if output is not None:
        for entry in context.instance.all_logs(output.run_id, of_type=dg.DagsterEventType.HANDLED_OUTPUT):
            event = entry.dagster_event
            if event is None or event.step_key != output.step_key:
                continue
            data: Any = event.event_specific_data  # of a type that is private to Dagster
            if data.output_name == output.name and (path := data.metadata.get("path")) is not None:
                return str(path.value)
    raise MissingObjectError(f"input {context.name}: the upstream step recorded no file: run that step first")


def _recent_paths(instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str | None) -> set[object]:
    """Return the metadata `path` of the latest materializations."""
    found = _materializations(instance, asset_key, partition, _RECENT)
    return {path.value for each in found if (path := each.metadata.get("path")) is not None}


def recorded_path(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    partition: str | None,
    latest: dg.AssetMaterialization | None = None,
) -> str | None:
    """Return the metadata `path` of the latest materialization; `None` if there is no materialization.

    Raises:
        BadInputError: The materialization has no such metadata.
    """
    latest = latest or next(_materializations(instance, asset_key, partition, 1), None)
    if latest is None:
        return None
    path = latest.metadata.get("path")
    if path is None or not isinstance(path.value, str):
        of_partition = f" for partition {partition!r}" if partition else ""
        raise BadInputError(
            f"the latest materialization of {asset_key.to_user_string()}{of_partition} has no metadata `path`: "
            "materialize it again"
        )
    return path.value


def _materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str | None, limit: int
) -> Iterator[dg.AssetMaterialization]:
    """Yield the materializations, the latest first."""
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=limit).records:
        if record.asset_materialization is not None:
            yield record.asset_materialization
