"""Names of a location's definitions and records, so that several locations fit into one Dagster instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ol_orchestrate.asset_keys import asset_key
from ol_orchestrate.lib.course_content_keys import CourseKeys
from ol_orchestrate.lib.record_tags import RecordTags

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True, slots=True)
class LocationNames:
    """The names of a location that brings the data of a source; several locations can bring data of one source.

    Attributes:
        location: The first part of asset keys and groups; letters, digits and underscores.
        source: The first part of object keys and tags, and of asset names in code without Dagster. All locations of
            the source have it, so that their landing zones and records look alike.
        courses: The partitions of assets that belong to a course on a site.
    """

    location: str
    source: str
    courses: dg.DynamicPartitionsDefinition

    def of(self, definition: str) -> str:
        """Return the name of a job, sensor, op, pool or partition set, from its name with the source in it."""
        return definition.replace(self.source, self.location)

    def group(self, subject: str) -> str:
        """Return the group of all assets of one subject."""
        return f"{self.location}_{subject}"

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of an asset, from its name in code without Dagster."""
        return asset_key(f"{self.location}{asset.removeprefix(self.source)}")

    def asset(self, key: dg.AssetKey) -> str | None:
        """Return the name of an asset in code without Dagster; `None` for an asset of another location."""
        first, *rest = key.path
        return "/".join([self.source, *rest]) if first == self.location else None

    @property
    def course_keys(self) -> CourseKeys:
        """The asset names and object keys of what is made from courses."""
        return CourseKeys(self.source)

    @property
    def tags(self) -> RecordTags:
        """The tags of materializations."""
        return RecordTags(self.source)

    @property
    def permanent_failure(self) -> str:
        """The tag of a run that failed for a reason that stays until an operator changes something."""
        return f"{self.source}/permanent_failure"
