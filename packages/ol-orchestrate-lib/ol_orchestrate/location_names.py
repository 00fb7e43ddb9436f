"""How the definitions of a location are named, so that several locations fit into one Dagster instance."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from ol_orchestrate.asset_keys import asset_key
from ol_orchestrate.partitions.edxorg import course_and_source_partitions

SOURCE = "edxorg"
"""What the names of assets begin with in pure code, and objects' keys in every landing zone."""


@dataclass(frozen=True, slots=True)
class LocationNames:
    """What takes the place of `edxorg` in a location's names.

    Attributes:
        location: Letters, digits and underscores.
    """

    location: str = SOURCE

    def of(self, definition: str) -> str:
        """The name of a job, sensor, op, pool or partition set."""
        return definition.replace(SOURCE, self.location)

    def group(self, subject: str) -> str:
        """The group of all assets of one subject."""
        return f"{self.location}_{subject}"

    def key(self, asset: str) -> dg.AssetKey:
        """The key of an asset, by its name in pure code."""
        return asset_key(f"{self.location}{asset.removeprefix(SOURCE)}")

    def asset(self, key: dg.AssetKey) -> str | None:
        """The name in pure code of an asset; `None` for one of another location."""
        first, *rest = key.path
        return "/".join([SOURCE, *rest]) if first == self.location else None

    @property
    def courses(self) -> dg.DynamicPartitionsDefinition:
        """The partitions of what belongs to a course on a site."""
        shared = course_and_source_partitions
        return (
            shared if self.location == SOURCE else dg.DynamicPartitionsDefinition(name=f"{self.location}_{shared.name}")
        )


EDXORG = LocationNames()
