"""Asset names and object keys of the outputs that are made from edX.org courses; no other module builds them.

An asset's name is its Dagster key joined by slashes, and the beginning of its objects' keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from ol_orchestrate.lib.course_partition import CoursePartition

COURSE_STRUCTURE = "edxorg/raw_data/course_structure"
COURSE_XML = "edxorg/raw_data/course_xml"


def processed_data_asset(output: str) -> str:
    """Return the name of the asset of an output, for example `course_blocks`."""
    return f"edxorg/processed_data/{output}"


def structure_output_key(output: str, course: CoursePartition, version: str) -> str:
    """Return the object key of a version of an output of a course structure."""
    return f"{processed_data_asset(output)}/{_one_part(course.key())}/{version}.json"


def course_output_key(output: str, course: CoursePartition, version: str) -> str:
    """Return the object key of a version of a table that is made from course XML."""
    return f"{_folder(output, course)}/{version}.json"


def static_assets_key(output: str, course: CoursePartition, version: str) -> str:
    """Return the object key of a version of the bundle of static assets."""
    return f"{_folder(output, course)}/{version}.tar.gz"


def manifest_key(output: str, course: CoursePartition) -> str:
    """Return the object key of the manifest of the latest bundle."""
    return f"{_folder(output, course)}/manifest.json"


def _folder(output: str, course: CoursePartition) -> str:
    return f"{processed_data_asset(output)}/{course.site}/{_one_part(course.course_id)}"


def _one_part(name: str) -> str:
    """Return the name itself, if it is one part of a key.

    Raises:
        BadInputError: It has a slash, and so could name the folder of another output.
    """
    if "/" in name:
        raise BadInputError(f"{name!r} is no course id: give one without slashes, as {{org}}-{{number}}-{{run}}")
    return name
