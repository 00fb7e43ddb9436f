"""Asset checks on the files of edX and on its catalogue: they warn an operator, and block nothing.

The jobs evaluate those of files by partition while they read a file, because they read each file only once.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import dagster as dg

from edxorg.lib.archive.ingest_report import IngestReport, MemberOutcome, NamedItems
from edxorg.lib.job_names import ARCHIVE_JOB, LOG_JOB
from edxorg.lib.tracking_log import LogReport
from edxorg.source_files import SourceFiles
from ol_orchestrate.landing.records import latest_evaluation
from ol_orchestrate.lib import markdown


class CheckText(NamedTuple):
    """A check's name and description."""

    name: str
    description: str


REJECTED_LINES = CheckText(
    "rejected_lines", "Lines that hold no event that can be delivered; they are among the rejects."
)

REJECTED_ROWS = CheckText("rejected_rows", "Rows of tables that fit no dialect; they are among the rejects.")
MISSING_TABLES = CheckText("missing_tables", "Tables that edX could not export this time: members named `….failed`.")
UNCLEAR_MEMBERS = CheckText(
    "unclear_members", "Members that match no known name, and courses with more than one reading."
)
SHRUNKEN_TABLES = CheckText("shrunken_tables", "Tables of a course with less than half the rows of their last version.")
CHANGED_COLUMNS = CheckText("changed_columns", "Tables of a course with other columns than their last version.")


def raw_archive_checks(archives: SourceFiles) -> dg.AssetChecksDefinition:
    """Declare the checks that `retrieve_edxorg_raw_data` evaluates for an archive."""
    checks = (REJECTED_ROWS, MISSING_TABLES, UNCLEAR_MEMBERS, SHRUNKEN_TABLES, CHANGED_COLUMNS)
    return _evaluated_by(ARCHIVE_JOB, archives, checks)


def raw_log_checks(logs: SourceFiles) -> dg.AssetChecksDefinition:
    """Declare the check that `refresh_edxorg_tracking_logs` evaluates for a tracking log."""
    return _evaluated_by(LOG_JOB, logs, (REJECTED_LINES,))


CATALOGUE_AGE = CheckText("catalogue_age", "The time since all pages of the catalogue were last read.")


def catalogue_age_check(asset: dg.AssetKey, job: str, max_age: timedelta) -> dg.AssetChecksDefinition:
    """Make a check that warns if the last complete run of the catalogue's job is too old; hourly, with automation on.

    A freshness policy would count from the last materialization, and a catalogue that stays as it was has none.

    Args:
        asset: The asset to show it on.
        job: The job that reads all listings.
        max_age: The age from which it warns.
    """
    hourly: dg.AutomationCondition[dg.AssetCheckKey] = dg.AutomationCondition.cron_tick_passed("30 * * * *")

    @dg.asset_check(
        name=CATALOGUE_AGE.name,
        asset=asset,
        description=CATALOGUE_AGE.description,
        automation_condition=hourly,
    )
    def catalogue_age(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        complete = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
        runs = context.instance.get_run_records(complete, limit=1)
        last = runs[0].end_time if runs else None
        return dg.AssetCheckResult(
            passed=last is not None and time.time() - last < max_age.total_seconds(),
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Counts as stale after {max_age.total_seconds() / 3600:,.0f} hours"
            if last
            else f"{job} has never succeeded: run it, and switch its schedule on",
            metadata={"last complete run": dg.MetadataValue.timestamp(last)} if last else {},
        )

    return catalogue_age


def _evaluated_by(job: str, files: SourceFiles, checks: Sequence[CheckText]) -> dg.AssetChecksDefinition:
    """Declare checks whose evaluations a job records.

    A check on an external asset must have a step of its own. Run by hand, it leaves what a job has found as it is.
    """
    with warnings.catch_warnings():
        # Partitions of checks are new in Dagster; without them a check shows the partition that ran last, and no other.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                check.name, asset=files.key(), description=check.description, partitions_def=files.partitions_def()
            )
            for check in checks
        ]

    @dg.multi_asset_check(name=f"{'__'.join(files.key().path)}__checks", specs=specs, can_subset=True)
    def tell_again(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckEvaluation]:
        for check in sorted(context.selected_asset_check_keys):
            latest = latest_evaluation(context.instance, check)
            if latest is None:
                raise dg.Failure(
                    f"The job {files.location.of(job)} evaluates this check: run it for the partition",
                    allow_retries=False,
                )
            # A result would ask for the partition of the run, which has none.
            yield dg.AssetCheckEvaluation(
                check.asset_key,
                check.name,
                passed=latest.passed,
                severity=latest.severity,
                metadata={**latest.metadata, "found in": latest.partition or ""},
            )

    return tell_again


def log_evaluation(
    raw_log: dg.AssetKey, partition: str, report: LogReport, rejects: str | None
) -> dg.AssetCheckEvaluation:
    """Evaluate the check of a tracking log; `rejects` is the URL of its rejects, if there are any."""
    reasons = {str(reason): count for reason, count in report.rejected.items()}
    metadata: dict[str, Any] = {"by reason": _counts("reason", reasons), "sum": report.sum_of_lines()}
    if rejects is not None:
        metadata["rejects"] = rejects
    return _evaluation(REJECTED_LINES, raw_log, partition, report.rejected_lines, metadata)


def archive_evaluations(
    raw_archive: dg.AssetKey, partition: str, report: IngestReport
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of an archive."""

    def evaluated(check: CheckText, found: int, metadata: Mapping[str, Any]) -> dg.AssetCheckEvaluation:
        return _evaluation(check, raw_archive, partition, found, metadata)

    by_table = {name: counts.rejected.total() for name, counts in report.tables.items() if counts.rejected}
    rejected = {
        "by reason": _counts("reason", report.rows_rejected),
        "by table": _counts("table", by_table),
        "new": _names("table", report.new_with_rejects),
    }
    yield evaluated(REJECTED_ROWS, report.rows_rejected.total(), rejected)
    missing, unclear = (
        report.outcomes[outcome] for outcome in (MemberOutcome.MISSING_AT_SOURCE, MemberOutcome.UNRECOGNISED)
    )
    yield evaluated(MISSING_TABLES, missing, {"members": _members(report, MemberOutcome.MISSING_AT_SOURCE)})
    ambiguous = {"ambiguous courses": _list("course", list(report.ambiguous), len(report.ambiguous))}
    unclear += len(report.ambiguous)
    yield evaluated(UNCLEAR_MEMBERS, unclear, {"members": _members(report, MemberOutcome.UNRECOGNISED), **ambiguous})
    yield evaluated(SHRUNKEN_TABLES, report.shrunken.total, {"tables": _names("table", report.shrunken)})
    yield evaluated(CHANGED_COLUMNS, report.other_columns.total, {"tables": _names("table", report.other_columns)})


def _members(report: IngestReport, outcome: MemberOutcome) -> dg.MetadataValue[Any] | None:
    return _list("member", [path for path, _, _ in report.listed.get(outcome, ())], report.outcomes[outcome])


def _names(title: str, listing: NamedItems) -> dg.MetadataValue[Any] | None:
    return _list(title, listing.first, listing.total)


def _list(title: str, items: Sequence[str], total: int) -> dg.MetadataValue[Any] | None:
    if not total:
        return None
    return dg.MetadataValue.md(markdown.listing(title, items, total))


def _counts(title: str, counts: Mapping[str, int]) -> dg.MetadataValue[Any] | None:
    if not counts:
        return None
    return dg.MetadataValue.md(markdown.table({title: str, "found": int}, sorted(counts.items())))


def _evaluation(
    check: CheckText, asset: dg.AssetKey, partition: str, found: int, metadata: Mapping[str, Any]
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset,
        check.name,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        partition=partition,
        metadata={"found": found, **{name: value for name, value in metadata.items() if value is not None}},
    )
