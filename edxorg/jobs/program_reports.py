"""The job that copies program credential reports into the landing zone."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation
from typing import TYPE_CHECKING

import dagster as dg

from edxorg.ops.not_built import not_built_yet

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


@dg.op(out=dg.Out(list), required_resource_keys={"s3_download", "results_dir"})
def download_files_from_s3() -> Iterator[dg.Output[list[str]]]:
    """Fetch the reports."""
    yield from not_built_yet("The copy of program reports")


@dg.op(required_resource_keys={"s3_upload"})
def upload_files_to_s3(files: list[str]) -> Iterator[dg.Output[None]]:
    """Put them where they belong."""
    del files
    yield from not_built_yet("The copy of program reports")


def sync_edxorg_program_reports(settings: Settings) -> dg.JobDefinition:
    """Copy reports from edX's bucket."""
    del settings

    @dg.job(name="sync_edxorg_program_reports", description=sync_edxorg_program_reports.__doc__)
    def job() -> None:
        upload_files_to_s3(download_files_from_s3())

    return job
