"""The job that copies course bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.jobs import max_runtime
from edxorg.jobs.run_tags import run_tags
from edxorg.ops.course_bundles import bundle_runs, copy_op

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def edx_gcs_course_retrieval(settings: Settings) -> dg.JobDefinition:
    """Copy course bundles under their whole keys."""
    copy_course_bundles = copy_op(settings)

    @dg.job(
        name=bundle_runs(settings).job,
        description=edx_gcs_course_retrieval.__doc__,
        run_tags=run_tags(
            settings, source=settings.course_bundles_url, destination=settings.course_bundles_destination_url
        )
        | max_runtime.OTHERS,
    )
    def job() -> None:
        copy_course_bundles()

    return job
