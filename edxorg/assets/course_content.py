"""What the archive job writes for each course, as assets that others can depend on."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation

import dagster as dg

from edxorg.lib.members import MemberKind
from edxorg.lib.object_keys import raw_data_asset
from edxorg.ops.not_built import not_built_yet
from ol_orchestrate.partitions.edxorg import course_and_source_partitions


def _written_by_the_archive_job(kind: MemberKind, description: str) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        dg.AssetKey(raw_data_asset(kind).split("/")),
        group_name="edxorg",
        description=description,
        partitions_def=course_and_source_partitions,
    )
    return dg.AssetsDefinition(specs=[spec.with_io_manager_key("s3file_io_manager")])


dummy_edxorg_course_structure = _written_by_the_archive_job(
    MemberKind.COURSE_STRUCTURE,
    "The blocks of a course, as edX exports them: one JSON object, usage key to category, children and metadata.",
)

dummy_edxorg_course_xml = _written_by_the_archive_job(
    MemberKind.COURSE_XML, "A course as OLX, packed as `tar.gz`, as edX exports it."
)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["edxorg", "processed_data", name],
            group_name="edxorg",
            deps=[dummy_edxorg_course_structure],
            partitions_def=course_and_source_partitions,
        )
        for name in ("flattened_course_structure", "course_blocks")
    ]
)
def flatten_edxorg_course_structure() -> Iterator[dg.MaterializeResult[None]]:
    """The structure of a course as a table of its blocks."""
    yield from not_built_yet("The flattening of course structures")
