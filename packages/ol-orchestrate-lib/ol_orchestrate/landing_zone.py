"""The landing zone and the bucket of source files, for assets, ops and sensors.

Code locations configure both as IO managers, under fixed names, and use them as such for steps that return or take
files. The assets of this package need a `LandingZone` instead, since an IO manager writes and records every output:
their objects are named by their content, and only new versions are recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import dagster as dg

    from ol_orchestrate.lib.stores import ObjectStore, StoreAccess
    from ol_orchestrate.lib.stores.path import StorePath

LANDING_ZONE = "s3file_io_manager"
SOURCE_BUCKET = "gcs_input"

SOURCE_URL = "ol_orchestrate/source_url"
"""Tag of a run that was started for one URL: it reads that one, whatever was recorded of its partition since."""


class LandingZone(Protocol):
    """Files below one URL: a folder or a part of a bucket."""

    def base_url(self) -> str:
        """Return the URL."""

    def access(self, url: str) -> StoreAccess:
        """Return the credentials for a store, in a form that another process can use."""

    def store(self) -> ObjectStore:
        """Return the store at the URL."""

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

        Raises:
            MissingObjectError: None is recorded, or its object is gone.
        """


class HasResources(Protocol):
    """The context of a step or of a sensor."""

    @property
    def resources(self) -> Any:  # noqa: ANN401 - Dagster makes a class for each set of resources
        """The resources that the step or sensor needs."""


def landing_zone(context: HasResources) -> LandingZone:
    """Return the landing zone; the step needs the resource `LANDING_ZONE`."""
    zone: LandingZone = getattr(context.resources, LANDING_ZONE)
    return zone


def source_bucket(context: HasResources) -> LandingZone:
    """Return the bucket of source files; the step or sensor needs the resource `SOURCE_BUCKET`."""
    zone: LandingZone = getattr(context.resources, SOURCE_BUCKET)
    return zone
