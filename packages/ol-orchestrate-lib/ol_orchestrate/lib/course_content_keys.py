"""Asset names and object keys of a course's files and of the outputs made from them; no other module builds them.

An asset's name is its Dagster key joined by slashes, and the beginning of its objects' keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from ol_orchestrate.lib.course_partition import CoursePartition


@dataclass(frozen=True, slots=True)
class CourseKeys:
    """Names and keys below one prefix.

    Attributes:
        prefix: The first part of all of them.
    """

    prefix: str

    @property
    def course_structure(self) -> str:
        """The name of the asset of course structures."""
        return f"{self.prefix}/raw_data/course_structure"

    @property
    def course_xml(self) -> str:
        """The name of the asset of course exports."""
        return f"{self.prefix}/raw_data/course_xml"

    def output(self, name: str) -> str:
        """Return the name of the asset of an output, for example `course_blocks`."""
        return f"{self.prefix}/processed_data/{name}"

    def structure_output(self, name: str, course: CoursePartition, version: str) -> str:
        """Return the object key of a version of an output of a course structure."""
        return f"{self.output(name)}/{_one_part(course.key())}/{version}.json"

    def export_output(self, name: str, course: CoursePartition, version: str) -> str:
        """Return the object key of a version of a table that is made from course XML."""
        return f"{self._folder(name, course)}/{version}.json"

    def static_assets(self, name: str, course: CoursePartition, version: str) -> str:
        """Return the object key of a version of the bundle of static assets."""
        return f"{self._folder(name, course)}/{version}.tar.gz"

    def manifest(self, name: str, course: CoursePartition) -> str:
        """Return the object key of the manifest of the latest bundle."""
        return f"{self._folder(name, course)}/manifest.json"

    def _folder(self, name: str, course: CoursePartition) -> str:
        return f"{self.output(name)}/{course.site}/{_one_part(course.course_id)}"


def _one_part(name: str) -> str:
    """Return the name itself, if it is one part of a key.

    Raises:
        BadInputError: It has a slash, and so could name the folder of another output.
    """
    if "/" in name:
        raise BadInputError(f"{name!r} is no course id: give one without slashes, as {{org}}-{{number}}-{{run}}")
    return name
