"""What a course export in OLX holds, as assets."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation

import dagster as dg

from ol_orchestrate.partitions.edxorg import course_and_source_partitions

OUTPUTS = (
    "course_metadata",
    "course_video",
    "course_policy",
    "course_certificate_signatory",
    "course_grading_policy",
    "course_xml_blocks",
    "course_static_assets",
    "course_static_assets_manifest",
)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["edxorg", "processed_data", name],
            group_name="edxorg",
            deps=[dg.AssetKey(["edxorg", "raw_data", "course_xml"])],
            partitions_def=course_and_source_partitions,
        )
        for name in OUTPUTS
    ]
)
def extract_edxorg_courserun_metadata() -> Iterator[dg.MaterializeResult[None]]:
    """Metadata, videos, policies, signatories, blocks and static files of a course."""
    yield from ()
    raise dg.Failure("The extraction of course metadata is not built yet", allow_retries=False)
