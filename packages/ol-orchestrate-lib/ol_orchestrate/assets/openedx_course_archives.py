"""Assets made from a course export in OLX."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import dagster as dg

from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.landing.course_outputs import CourseOutputs, each_course, output_specs
from ol_orchestrate.landing_zone import LANDING_ZONE
from ol_orchestrate.lib.openedx import Course, RatioLimit, StaticAssets, course_outputs, manifest_line, read_course
from ol_orchestrate.lib.openedx.described_course import EXPORT_OUTPUTS
from ol_orchestrate.lib.openedx.export_files import DEFAULT_RATIO_LIMIT
from ol_orchestrate.lib.versions import SingleObject, VersionedObjects
from ol_orchestrate.location_names import LocationNames
from ol_orchestrate.partitions.edxorg import course_and_source_partitions

STATIC_ASSETS = "course_static_assets"
MANIFEST = "course_static_assets_manifest"


def courserun_metadata(
    location: LocationNames, ratio_limit: RatioLimit = DEFAULT_RATIO_LIMIT, *, follow_code: bool = False
) -> dg.AssetsDefinition:
    """Define the assets, for exports that unpack within a limit.

    Args:
        follow_code: True if automation makes all courses again when a release reads them better.
    """
    course_xml = location.course_keys.course_xml

    @dg.multi_asset(
        name=f"extract_{location.location}_courserun_metadata",
        specs=output_specs(
            EXPORT_OUTPUTS,
            made_of=course_xml,
            automated="course_xml_blocks",
            location=location,
            follow_code=follow_code,
        ),
        required_resource_keys={LANDING_ZONE},
        retry_policy=RETRIES,
    )
    def extract_courserun_metadata(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
        """Extract metadata, videos, policies, signatories, blocks and static files of a course."""
        with as_dagster_failure(context.op_execution_context, location.permanent_failure):
            yield from each_course(context, course_xml, location, extract)

    def extract(outputs: CourseOutputs) -> None:
        with StaticAssets() as static_assets:
            with outputs.open() as (blocks, name):
                course = read_course(
                    blocks,
                    name=name,
                    course_id=outputs.course.course_id,
                    static_assets=static_assets,
                    ratio_limit=ratio_limit,
                )
            outputs.report(course.problems, course.missing)
            _land(outputs, course, static_assets)

    return extract_courserun_metadata


extract_edxorg_courserun_metadata = courserun_metadata(LocationNames("edxorg", "edxorg", course_and_source_partitions))


def _land(outputs: CourseOutputs, course: Course, static_assets: StaticAssets) -> None:
    for rows in course_outputs(course, source_system=outputs.course.site).values():
        outputs.land_rows(rows, outputs.keys.export_output)
    version = static_assets.data_version
    bundle = outputs.spool()
    static_assets.write_archive(cast("BinaryIO", bundle))
    bundles = VersionedObjects(
        outputs.store, lambda version: outputs.keys.static_assets(STATIC_ASSETS, outputs.course, version)
    )
    outputs.land(STATIC_ASSETS, version, bundle, to=bundles)
    manifest = outputs.spool()
    manifest.write(manifest_line(static_assets.manifest()))
    outputs.land(
        MANIFEST, version, manifest, to=SingleObject(outputs.store, outputs.keys.manifest(MANIFEST, outputs.course))
    )
