"""The op that copies program reports, one at a time through the run's folder."""

from dataclasses import replace

import dagster as dg
from dagster_aws.s3 import S3Resource

from edxorg.lib.job_names import REPORTS_JOB
from edxorg.lib.settings import Settings
from edxorg.location import location_names
from ol_orchestrate.copy_runs import CopyConfig, CopyRuns
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.reconciled_copies import ReconciledCopies
from ol_orchestrate.lib.stores import StoreAccess
from ol_orchestrate.resources.outputs import SimpleResultsDir
from ol_orchestrate.resources.strict import Strict


class StrictS3Resource(Strict, S3Resource):
    """Dagster's resource for S3, which refuses unknown arguments."""


class LazyS3Resource(StrictS3Resource):
    """Credentials that are looked up when they are first used, not when a run starts.

    A run between folders thus needs none, and an error about a missing profile names the bucket.
    """

    def get_object_to_set_on_execution_context(self) -> S3Resource:
        """Return the resource itself, where its base class makes a client."""
        return self


def report_runs(settings: Settings) -> CopyRuns:
    """Return the runs that copy program reports."""
    job = location_names(settings.name).of(REPORTS_JOB)
    return CopyRuns(job=job, op="copy_program_reports", noun="reports", runs_a_tick=settings.runs_a_tick)


def access_of(s3: S3Resource) -> StoreAccess:
    """Return the access to S3 that the resource's fields describe; botocore finds what they leave open."""
    keys = None
    if s3.aws_access_key_id and s3.aws_secret_access_key:
        keys = (s3.aws_access_key_id, s3.aws_secret_access_key, s3.aws_session_token)
    return StoreAccess(
        aws_profile=s3.profile_name,
        aws_region=s3.region_name,
        aws_endpoint_url=s3.endpoint_url,
        aws_keys=keys,
        unsigned=s3.use_unsigned_session,
        aws_verify=s3.verify,
    )


def reports_of(settings: Settings, s3_download: S3Resource, s3_upload: S3Resource) -> ReconciledCopies:
    """Return the reports and their copies, each with its own credentials.

    Raises:
        SettingsError: The settings name no reports.
    """
    if not settings.program_reports_url:
        raise SettingsError("EDXORG_PROGRAM_REPORTS_URL is not set: name the bucket of the reports, or stop this job")
    return ReconciledCopies.between(
        settings.program_reports_url,
        replace(access_of(s3_download), aws_profile_setting="EDXORG_PROGRAM_REPORTS_PROFILE"),
        settings.program_reports_destination_url,
        access_of(s3_upload),
    )


def copy_op(settings: Settings) -> dg.OpDefinition:
    """Make the op that copies."""
    runs = report_runs(settings)

    @dg.op(name=runs.op, out=dg.Out(dg.Nothing), retry_policy=RETRIES)
    def copy_program_reports(
        context: dg.OpExecutionContext,
        config: CopyConfig,
        s3_download: S3Resource,
        s3_upload: S3Resource,
        results_dir: SimpleResultsDir,
    ) -> dg.Output[None]:
        """Copy reports, one after the other, each checked by both stores; fail at the end if any was not copied."""
        with as_dagster_failure(context, location_names(settings.name).permanent_failure):
            return runs.copy(context, reports_of(settings, s3_download, s3_upload), config.keys, results_dir.path)

    return copy_program_reports
