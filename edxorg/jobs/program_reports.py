"""The job that copies program credential reports into the landing zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.ops.program_reports import download_op, upload_op

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def sync_edxorg_program_reports(settings: Settings) -> dg.JobDefinition:
    """Copy reports from edX's bucket, under their whole keys."""
    download_files_from_s3 = download_op(settings)
    upload_files_to_s3 = upload_op(settings)

    @dg.job(name="sync_edxorg_program_reports", description=sync_edxorg_program_reports.__doc__)
    def job() -> None:
        upload_files_to_s3(download_files_from_s3())

    return job
