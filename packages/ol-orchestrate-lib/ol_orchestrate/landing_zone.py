"""The landing zone and the bucket of source files, for assets, ops and sensors.

Both are configured as IO managers, under names that code locations rely on, and those whose steps return or take files
use them as such. The assets here do not: their objects are named by their content, and only what is new is recorded,
while an IO manager writes and records whatever it is handed. They ask for a `LandingZone` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import dagster as dg

    from ol_orchestrate.lib.stores import ObjectStore, StoreAccess
    from ol_orchestrate.lib.stores.path import StorePath

LANDING_ZONE = "s3file_io_manager"
SOURCE_BUCKET = "gcs_input"


class LandingZone(Protocol):
    """Files below one URL: a folder or a part of a bucket."""

    def base_url(self) -> str:
        """The URL."""

    def access(self, url: str) -> StoreAccess:
        """The credentials for a store, which another process can use as well."""

    def store(self) -> ObjectStore:
        """The store at the URL."""

    def find(self, instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str | None) -> StorePath:
        """The file of an asset's latest materialization.

        Raises:
            MissingObjectError: None was recorded, or its object is gone.
        """


class HasResources(Protocol):
    """The context of a step or of a sensor."""

    @property
    def resources(self) -> Any:  # noqa: ANN401 - Dagster makes a class for each set of resources
        """The resources that the step or sensor needs."""


def landing_zone(context: HasResources) -> LandingZone:
    """The place of all outputs; the step needs the resource `LANDING_ZONE`."""
    zone: LandingZone = getattr(context.resources, LANDING_ZONE)
    return zone


def source_bucket(context: HasResources) -> LandingZone:
    """The place that others put files into; the step or sensor needs the resource `SOURCE_BUCKET`."""
    zone: LandingZone = getattr(context.resources, SOURCE_BUCKET)
    return zone
