"""The files that edX puts into the archive bucket, and what the members of an archive become."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from edxorg.lib.code_versions import code_version
from edxorg.lib.dictionary import ASSESSMENTS, DICTIONARY, TABLES
from edxorg.lib.object_keys import (
    COURSE_STRUCTURE,
    COURSE_XML,
    EMAIL_OPT_IN,
    FORUM,
    FORUM_POSTS,
    RAW_DATA_ARCHIVE,
    RAW_TRACKING_LOGS,
)
from edxorg.lib.settings import Environment
from edxorg.location import EDXORG, location_names, organizations
from edxorg.source_files import SourceFiles
from ol_orchestrate.described import described
from ol_orchestrate.landing_zone import LANDING_ZONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.lib.settings import Settings
    from ol_orchestrate.lib.dictionary import Output
    from ol_orchestrate.location_names import LocationNames

_SUBJECT = "archive"


def raw_data_archives(settings: Settings) -> SourceFiles:
    """Return the archives of course exports."""
    location = location_names(settings.name)
    return SourceFiles(
        location=location,
        name=RAW_DATA_ARCHIVE,
        partitions=location.of("edxorg_archive"),
        subject=_SUBJECT,
        description=(
            "One file: the archive of a week's course exports, with some 45 table dumps, a course structure, a forum "
            f"dump and the XML of each course. Files named like `{settings.archive_name.example}`."
        ),
        names=settings.archive_name,
        max_age=_max_age(settings, settings.archive_max_age_days),
    )


def raw_tracking_logs(settings: Settings) -> SourceFiles:
    """Return the tracking logs."""
    location = location_names(settings.name)
    return SourceFiles(
        location=location,
        name=RAW_TRACKING_LOGS,
        partitions=location.of("edxorg_tracking_log"),
        subject="tracking_logs",
        description=(
            "One file: the log of a day, gzipped, each line a JSON object that tells what somebody did, with the keys "
            f"of `tracking_logs` or some of them. Files named like `{settings.tracking_log_name.example}`."
        ),
        names=settings.tracking_log_name,
        max_age=_max_age(settings, settings.tracking_log_max_age_days),
    )


def _max_age(settings: Settings, days: int) -> timedelta | None:
    return None if settings.environment is Environment.DEV else timedelta(days=days)


def archive_members(location: LocationNames = EDXORG) -> dg.AssetsDefinition:
    """Course structures, tables and forums as courses' partitions, and preferences of e-mail as organizations'.

    A table that is not described lands as well.
    """
    others = (DICTIONARY[name] for name in (COURSE_STRUCTURE, FORUM, FORUM_POSTS, EMAIL_OPT_IN))
    outputs = (*others, *TABLES, *ASSESSMENTS)
    return _written_by_the_archive_job(location, outputs)


def course_exports(location: LocationNames = EDXORG) -> dg.AssetsDefinition:
    """Courses as OLX."""
    return _written_by_the_archive_job(location, [DICTIONARY[COURSE_XML]])


def _written_by_the_archive_job(location: LocationNames, outputs: Sequence[Output]) -> dg.AssetsDefinition:
    specs = (
        dg.AssetSpec(
            location.key(output.asset),
            group_name=location.group(_SUBJECT),
            deps=[location.key(RAW_DATA_ARCHIVE)],
            code_version=code_version(output.asset),
            partitions_def=organizations(location) if output.asset == EMAIL_OPT_IN else location.courses,
        ).with_io_manager_key(LANDING_ZONE)
        for output in outputs
    )
    return dg.AssetsDefinition(specs=[described(spec, output) for spec, output in zip(specs, outputs, strict=True)])
