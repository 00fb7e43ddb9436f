"""The files that edX puts into the archive bucket, and the parts of an archive from which other assets are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.assets.source_files import SourceFiles
from edxorg.lib.object_keys import RAW_DATA_ARCHIVE, RAW_TRACKING_LOGS
from ol_orchestrate.landing_zone import LANDING_ZONE
from ol_orchestrate.lib.course_content_keys import COURSE_STRUCTURE, COURSE_XML
from ol_orchestrate.location_names import EDXORG, LocationNames

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def raw_data_archives(settings: Settings) -> SourceFiles:
    """The archives of course exports."""
    location = LocationNames(settings.name)
    return SourceFiles(
        location=location,
        name=RAW_DATA_ARCHIVE,
        partitions=location.of("edxorg_archive"),
        description=(
            "Archives of course exports: some 45 table dumps, a course structure, a forum dump and the course's XML "
            f"for each course, one `tar.gz` a week. Files named like `{settings.archive_name.example}`."
        ),
        names=settings.archive_name,
    )


def raw_tracking_logs(settings: Settings) -> SourceFiles:
    """The tracking logs."""
    location = LocationNames(settings.name)
    return SourceFiles(
        location=location,
        name=RAW_TRACKING_LOGS,
        partitions=location.of("edxorg_tracking_log"),
        description=(
            "What learners did, one JSON object a line, one `log.gz` a day. "
            f"Files named like `{settings.tracking_log_name.example}`."
        ),
        names=settings.tracking_log_name,
    )


def course_structures(location: LocationNames = EDXORG) -> dg.AssetsDefinition:
    """The structures of courses."""
    return _written_by_the_archive_job(
        location,
        COURSE_STRUCTURE,
        "The blocks of a course, as edX exports them: one JSON object, usage key to category, children and metadata.",
    )


def course_exports(location: LocationNames = EDXORG) -> dg.AssetsDefinition:
    """Courses as OLX."""
    description = "A course as OLX, packed as `tar.gz`, as edX exports it."
    return _written_by_the_archive_job(location, COURSE_XML, description)


def _written_by_the_archive_job(location: LocationNames, asset: str, description: str) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        location.key(asset),
        group_name=location.location,
        description=description,
        partitions_def=location.courses,
    )
    return dg.AssetsDefinition(specs=[spec.with_io_manager_key(LANDING_ZONE)])
