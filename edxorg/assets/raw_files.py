"""The files that edX puts into the archive bucket: weekly archives of course exports, daily tracking logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.components.source_files import SourceFiles
from edxorg.lib.object_keys import RAW_DATA_ARCHIVE, RAW_TRACKING_LOGS

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
    )
