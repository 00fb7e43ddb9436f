"""The job for archives of course exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.jobs import max_runtime
from edxorg.jobs.run_tags import run_tags
from edxorg.lib.job_names import ARCHIVE_JOB
from edxorg.ops.ingest_archive import archive_op
from ol_orchestrate.landing.attempts import failed_attempts

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings
    from edxorg.source_files import SourceFiles


def retrieve_edxorg_raw_data(archives: SourceFiles, settings: Settings) -> dg.JobDefinition:
    """Deliver the members of one archive, the partition, to the landing zone."""
    process_edxorg_archive = archive_op(archives, settings)
    raw_data_archive = archives.asset()

    @dg.graph(name=archives.location.of(ARCHIVE_JOB), description=retrieve_edxorg_raw_data.__doc__)
    def graph() -> None:
        process_edxorg_archive(raw_data_archive)

    tags = run_tags(settings, source=settings.archive_url, destination=settings.landing_zone_url) | max_runtime.ARCHIVE
    hooks = {failed_attempts(archives.key())}
    return graph.to_job(partitions_def=archives.partitions_def(), run_tags=tags, hooks=hooks)
