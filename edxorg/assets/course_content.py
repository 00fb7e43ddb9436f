"""The structure of a course as rows."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import dagster as dg

from edxorg.lib.object_keys import COURSE_KEYS, COURSE_STRUCTURE
from edxorg.location import EDXORG
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.landing.course_outputs import CourseOutputs, each_course, output_specs
from ol_orchestrate.landing_zone import LANDING_ZONE
from ol_orchestrate.lib.openedx import read_course_structure, structure_outputs
from ol_orchestrate.lib.openedx.described_course import STRUCTURE_OUTPUTS
from ol_orchestrate.lib.openedx.structure import MAX_STRUCTURE_BYTES
from ol_orchestrate.lib.stores import VerifiedReader
from ol_orchestrate.location_names import LocationNames


def course_structure_rows(location: LocationNames = EDXORG, *, follow_code: bool = False) -> dg.AssetsDefinition:
    """Return the assets that are made of a course's structure.

    Args:
        follow_code: True if automation makes all courses again when a release reads them better.
    """

    @dg.multi_asset(
        name=location.of("flatten_edxorg_course_structure"),
        specs=output_specs(
            STRUCTURE_OUTPUTS,
            made_of=COURSE_STRUCTURE,
            automated="flattened_course_structure",
            location=location,
            follow_code=follow_code,
        ),
        required_resource_keys={LANDING_ZONE},
        retry_policy=RETRIES,
    )
    def flatten_edxorg_course_structure(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
        """The structure of a course as rows."""
        with as_dagster_failure(context.op_execution_context, location.permanent_failure):
            yield from each_course(context, COURSE_STRUCTURE, location, _flatten)

    return flatten_edxorg_course_structure


def _flatten(outputs: CourseOutputs) -> None:
    with outputs.open() as (blocks, name):
        structure = read_course_structure(_in_memory(blocks), name=name)
    outputs.report(structure.problems, structure.missing)
    course = outputs.course
    for rows in structure_outputs(structure, course_id=course.course_id, source_system=course.site).values():
        outputs.land_rows(rows, COURSE_KEYS.structure_output)


def _in_memory(blocks: VerifiedReader) -> BinaryIO:
    """Return the whole document, or the beginning of one that is too large to be read."""
    document = io.BytesIO()
    for block in blocks:
        document.write(block)
        if document.tell() > MAX_STRUCTURE_BYTES:
            break
    document.seek(0)
    return document
