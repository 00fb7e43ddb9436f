"""The op that copies program reports, one at a time through the run's folder."""

from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from edxorg.lib.program_reports import Comparison, Reports, batches, copy
from edxorg.lib.settings import Settings
from edxorg.location import location_names
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.lib.errors import BadInputError, PipelineError
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.stores import SourceInfo, StoreAccess
from ol_orchestrate.resources.outputs import SimpleResultsDir
from ol_orchestrate.resources.strict import Strict

COPY_OP = "copy_program_reports"


class StrictS3Resource(Strict, S3Resource):
    """Dagster's resource for S3, which refuses unknown arguments."""


class LazyS3Resource(StrictS3Resource):
    """Credentials that are looked up when they are first used, not when a run starts.

    A run between folders thus needs none, and an error about a missing profile names the bucket.
    """

    def get_object_to_set_on_execution_context(self) -> S3Resource:
        """Return the resource itself, where its base class makes a client."""
        return self


class ReportsConfig(dg.Config):
    """The reports to copy."""

    keys: list[str] = Field(
        default_factory=list,
        description="Whole keys in the source's bucket, copied even if their copies are current. Without keys, the run "
        "compares source and destination, and copies 500 reports and 20 GB at the most.",
    )


def requested_keys(run_config: Any) -> list[str]:  # noqa: ANN401 - a run's config, which no schema has checked
    """Return the keys in the config of a run, as the sensor writes it; none if the run finds them itself."""
    keys = run_config
    for part in ("ops", COPY_OP, "config", "keys"):
        keys = keys.get(part) if isinstance(keys, dict) else None
    return [str(key) for key in keys or []]


def run_config_for(keys: list[str]) -> dict[str, Any]:
    """Return the config of a run that copies these reports."""
    return {"ops": {COPY_OP: {"config": {"keys": keys}}}}


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


def reports_of(settings: Settings, s3_download: S3Resource, s3_upload: S3Resource) -> Reports:
    """Return the reports and their copies, each with its own credentials.

    Raises:
        BadInputError: The settings name no reports.
    """
    if not settings.program_reports_url:
        raise BadInputError("EDXORG_PROGRAM_REPORTS_URL is not set: name the bucket of the reports, or stop this job")
    return Reports.between(
        settings.program_reports_url,
        access_of(s3_download),
        settings.program_reports_destination_url,
        access_of(s3_upload),
    )


def copy_op(settings: Settings) -> dg.OpDefinition:
    """Make the op that copies."""

    @dg.op(name=COPY_OP, out=dg.Out(dg.Nothing), retry_policy=RETRIES)
    def copy_program_reports(
        context: dg.OpExecutionContext,
        config: ReportsConfig,
        s3_download: S3Resource,
        s3_upload: S3Resource,
        results_dir: SimpleResultsDir,
    ) -> dg.Output[None]:
        """Copy reports, one after the other, each checked by both stores; fail at the end if any was not copied."""
        with as_dagster_failure(context, location_names(settings.name).permanent_failure):
            reports = reports_of(settings, s3_download, s3_upload)
            if swept := reports.destination.abort_old_uploads():
                context.log.info("%s", swept)
            keys = list(dict.fromkeys(config.keys)) or _needed(context, reports.compare())
            copied: dict[str, SourceInfo] = {}
            failures: dict[str, PipelineError] = {}
            for key in keys:
                try:
                    copied[key] = copy(reports, key, results_dir.path / "report")
                except PipelineError as error:
                    failures[key] = error
            metadata: dict[str, Any] = {
                "reports": len(copied),
                "bytes": sum(source.size for source in copied.values()),
                "failed": len(failures),
                "destination": reports.destination.url,
                "checked_by": ", ".join(sorted({source.checked_by for source in copied.values()})),
                "uploads_checked_by": reports.destination.upload_check,
            }
            if failures:
                raise _failure(context, failures, len(copied))
            return dg.Output(None, metadata=metadata)

    return copy_program_reports


def _needed(context: dg.OpExecutionContext, comparison: Comparison) -> list[str]:
    batch = next(batches(comparison.needed), [])
    context.log.info(
        "%s reports at the source, %s need a copy, %s of them in this run",
        f"{comparison.reports:,}",
        f"{len(comparison.needed):,}",
        f"{len(batch):,}",
    )
    if comparison.refused:
        context.log.warning(
            "Not copied, since their keys are unsafe: %s", ", ".join(first_and_more(comparison.refused))
        )
    return [each.key for each in batch]


def _failure(context: dg.OpExecutionContext, failures: dict[str, PipelineError], delivered: int) -> dg.Failure:
    lines = [f"{key}: {error}" for key, error in sorted(failures.items())]
    for line in lines:
        context.log.error("%s", line)
    head = f"{len(failures):,} of {delivered + len(failures):,} reports failed; the others were delivered"
    is_transient = any(error.is_transient for error in failures.values())
    return dg.Failure("\n".join([head, *first_and_more(lines)]), allow_retries=is_transient)
