"""The files that edX puts into the archive bucket, and the parts of an archive from which other assets are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.components.source_files import SourceFiles
from edxorg.lib.object_keys import RAW_DATA_ARCHIVE, RAW_TRACKING_LOGS
from ol_orchestrate.asset_keys import asset_key
from ol_orchestrate.landing_zone import LANDING_ZONE
from ol_orchestrate.lib.course_content_keys import COURSE_STRUCTURE, COURSE_XML
from ol_orchestrate.partitions.edxorg import course_and_source_partitions

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def raw_data_archives(settings: Settings) -> SourceFiles:
    """The archives of course exports."""
    return SourceFiles(
        asset_key=RAW_DATA_ARCHIVE,
        partitions="edxorg_archive",
        description=(
            "Archives of course exports: some 45 table dumps, a course structure, a forum dump and the course's XML "
            f"for each course, one `tar.gz` a week. Files named like `{settings.archive_name.example}`."
        ),
        names=settings.archive_name,
    )


def raw_tracking_logs(settings: Settings) -> SourceFiles:
    """The tracking logs."""
    return SourceFiles(
        asset_key=RAW_TRACKING_LOGS,
        partitions="edxorg_tracking_log",
        description=(
            "What learners did, one JSON object a line, one `log.gz` a day. "
            f"Files named like `{settings.tracking_log_name.example}`."
        ),
        names=settings.tracking_log_name,
    )


def _written_by_the_archive_job(asset: str, description: str) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        asset_key(asset), group_name="edxorg", description=description, partitions_def=course_and_source_partitions
    )
    return dg.AssetsDefinition(specs=[spec.with_io_manager_key(LANDING_ZONE)])


dummy_edxorg_course_structure = _written_by_the_archive_job(
    COURSE_STRUCTURE,
    "The blocks of a course, as edX exports them: one JSON object, usage key to category, children and metadata.",
)

dummy_edxorg_course_xml = _written_by_the_archive_job(
    COURSE_XML, "A course as OLX, packed as `tar.gz`, as edX exports it."
)
