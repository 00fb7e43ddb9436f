"""The job that copies program credential reports into the landing zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.jobs import max_runtime
from edxorg.jobs.run_tags import run_tags
from edxorg.ops.program_reports import copy_op, report_runs

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def sync_edxorg_program_reports(settings: Settings) -> dg.JobDefinition:
    """Copy reports from edX's bucket, under their whole keys."""
    copy_program_reports = copy_op(settings)

    @dg.job(
        name=report_runs(settings).job,
        description=sync_edxorg_program_reports.__doc__,
        run_tags=run_tags(
            settings, source=settings.program_reports_url, destination=settings.program_reports_destination_url
        )
        | max_runtime.OTHERS,
    )
    def job() -> None:
        copy_program_reports()

    return job
