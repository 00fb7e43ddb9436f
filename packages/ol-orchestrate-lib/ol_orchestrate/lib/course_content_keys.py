"""Where the outputs that are made of edX.org courses land: the one place that builds their asset names and keys.

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
    """The asset of an output, for example `course_blocks`."""
    return f"edxorg/processed_data/{output}"


def structure_output_key(output: str, course: CoursePartition, version: str) -> str:
    """Where a version of an output of a course structure lands."""
    return f"{processed_data_asset(output)}/{_one_part(course.key())}/{version}.json"


def course_output_key(output: str, course: CoursePartition, version: str) -> str:
    """Where a version of an output of course XML lands that is rows."""
    return f"{_folder(output, course)}/{version}.json"


def static_assets_key(output: str, course: CoursePartition, version: str) -> str:
    """Where a version of the bundle of static assets lands."""
    return f"{_folder(output, course)}/{version}.tar.gz"


def manifest_key(output: str, course: CoursePartition) -> str:
    """Where the manifest of the latest bundle lands."""
    return f"{_folder(output, course)}/manifest.json"


def _folder(output: str, course: CoursePartition) -> str:
    return f"{processed_data_asset(output)}/{course.site}/{_one_part(course.course_id)}"


def _one_part(name: str) -> str:
    """The name itself, if it is one part of a key.

    Raises:
        BadInputError: It has a slash, and could so name a folder of something else.
    """
    if "/" in name:
        raise BadInputError(f"{name!r} names no course: a course is named as in file names, without slashes")
    return name
