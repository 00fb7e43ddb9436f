"""A day's tracking log, normalized for ingestion."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from edxorg.lib import code_versions
from edxorg.lib.dictionary import TRACKING_LOG
from edxorg.lib.object_keys import SOURCE, TRACKING_LOGS, normalized_log_key
from edxorg.lib.private_keys import private_keys
from edxorg.lib.progress import Progress, current_observer
from edxorg.lib.settings import Settings
from edxorg.lib.tracking_log import LogReport, LogResult, NormalizedLog, normalize_log
from edxorg.lib.tracking_log.log_rejects import write_rejects
from edxorg.lib.workers import WorkerPool
from edxorg.ops.checks import log_evaluation
from edxorg.ops.reporting import reporter
from edxorg.source_files import SourceFiles
from ol_orchestrate.described import described
from ol_orchestrate.each_alone import EachAlone
from ol_orchestrate.failures import RETRIES, as_dagster_failure, failure_of_partitions
from ol_orchestrate.landing.batch import others_wait
from ol_orchestrate.landing.land import Artifact, is_landed, land, recorded_version
from ol_orchestrate.landing.records import upstream_tags
from ol_orchestrate.landing.unchanged import record_unchanged
from ol_orchestrate.landing_zone import LANDING_ZONE, SOURCE_BUCKET, SOURCE_URL, landing_zone, source_bucket
from ol_orchestrate.lib.archive_files import in_clear
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openpgp import LazyKeyRing, told_of_unchecked
from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader, join_url
from ol_orchestrate.lib.versions import SingleObject, VersionOutcome, short_hash

LogEvents = Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]


def normalize_edxorg_tracking_log(logs: SourceFiles, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset, on the partitions of the raw logs."""

    @dg.asset(
        key=logs.location.key(TRACKING_LOGS),
        group_name=logs.location.group("tracking_logs"),
        partitions_def=logs.partitions_def(),
        deps=[logs.key()],
        io_manager_key=LANDING_ZONE,
        # The raw log is not an argument: where a run has several days, one that is gone must not stop the others.
        required_resource_keys={SOURCE_BUCKET, LANDING_ZONE},
        # A log that is unchanged is not recorded again.
        output_required=False,
        code_version=code_versions.code_version(TRACKING_LOGS),
        retry_policy=RETRIES,
    )
    def normalize_edxorg_tracking_log(context: dg.AssetExecutionContext) -> LogEvents:
        with as_dagster_failure(context.op_execution_context, logs.location.permanent_failure):
            yield from _normalize_days(context, logs, settings)

    # As an argument of the decorator it warns that it is new.
    several = normalize_edxorg_tracking_log.with_attributes(
        backfill_policy=dg.BackfillPolicy.multi_run(settings.logs_a_run)
    )
    return several.map_asset_specs(lambda spec: described(spec, TRACKING_LOG))


def _normalize_days(context: dg.AssetExecutionContext, logs: SourceFiles, settings: Settings) -> LogEvents:
    """Normalize all days of a run, mostly one. Each succeeds or fails by itself; failures are raised at the end.

    Of several, those that are done are left alone, so that a run that was killed goes on where it was.
    """
    days = context.partition_keys
    if swept := landing_zone(context).store().abort_old_uploads(SOURCE):
        context.log.info("%s", swept)
    if len(days) == 1:
        yield from _normalize_day(context, _Log(days[0], logs, settings.tracking_log_url), settings, unless_done=False)
        yield from record_unchanged(context, days)
        return
    each = EachAlone(context.log)
    for number, name in enumerate(days, 1):
        if each.may_try(name):
            with each.trying(name):
                log = _Log(name, logs, settings.tracking_log_url)
                yield from _normalize_day(context, log, settings, unless_done=True)
        context.log.info("%d of %d logs, %d of them failed", number, len(days), len(each.failed))
    yield from record_unchanged(context, days, each.failed)
    if each.failed:
        raise failure_of_partitions(each.failed, len(days), "logs")


@dataclass(frozen=True, slots=True)
class _Log:
    """A partition: one log.

    Attributes:
        name: The partition's key, which is the file's name.
        files: All of them.
        folder: The URL that they lie at, where it is not that of the archives.
    """

    name: str
    files: SourceFiles
    folder: str

    def day(self, context: dg.AssetExecutionContext) -> date:
        day = self.files.date_of(context.instance, self.name)
        if day is None:
            raise BadInputError(
                f"{self.name!r} is not named like {self.files.names.example}: rename the file, and delete the "
                "partition; or say what it is with `edxorg ingest tracking-log --date`"
            )
        return day

    def open(self, context: dg.AssetExecutionContext) -> VerifiedReader:
        pinned = context.run.tags.get(SOURCE_URL)
        path = source_bucket(context).find(
            context.instance, self.files.key(), self.name, pinned=pinned, folder=self.folder
        )
        return path.store.read(path.key)


def _normalize_day(context: dg.AssetExecutionContext, raw: _Log, settings: Settings, *, unless_done: bool) -> LogEvents:
    day = raw.day(context)
    store = landing_zone(context).store()
    source = raw.open(context)
    to = SingleObject(store, normalized_log_key(raw.name))
    tags = raw.files.location.tags
    made_from = _made_from(source.info)
    if unless_done and is_landed(context.instance, context.asset_key, made_from, to=to, tags=tags, partition=raw.name):
        context.log.info("%s: done before, left alone", raw.name)
        return
    report_progress = reporter(context.log, "lines")

    def progress(report: LogReport) -> None:
        report_progress(Progress(report.bytes_in, source.info.size, report.lines_in, report.lines_out))

    with WorkerPool(object, workers=settings.workers) as pool, LazyKeyRing(partial(private_keys, settings)) as ring:
        blocks = in_clear(source, source.info.url, ring.decryptor)
        log = normalize_log(blocks, name=source.info.url, pool=pool, progress=progress)
        if unchecked := told_of_unchecked(ring.unchecked_signers()):
            context.log.info("%s: %s", raw.name, unchecked)
    with closing(log):
        # Nothing may come of bytes that are not those that the store announced.
        source.drain()
        current_observer().stage("writing")
        rejects_key = write_rejects(log.rejects, log.oversized, store, raw.name) if log.whole else None
        rejects = rejects_key and join_url(store.url, rejects_key)
        recorded = None
        if log.output is not None:
            recorded = land(
                context.asset_key,
                _made(log, day, raw.name, source.info, rejects, store.upload_check),
                recorded_version(context.instance, context.asset_key, store.url, tags, partition=raw.name),
                to=to,
                tags=tags,
            )
    context.log.info("%s: %s", raw.name, log.report.sum_of_lines())
    outcome = (VersionOutcome.DELIVERED if recorded else VersionOutcome.UNCHANGED) if log.output is not None else None
    problem = str(log.problem) if log.problem else None
    current_observer().report(LogResult(log.report, outcome, rejects, problem))
    if recorded is not None:
        made_of = upstream_tags(context.instance, raw.files.key(), raw.name, source.info.version)
        # The asset's output would stand for all days of the run, so this is an event of its own.
        with others_wait(context.instance):
            yield dg.AssetMaterialization(
                context.asset_key,
                partition=raw.name,
                metadata=recorded.metadata,
                tags={**(recorded.tags or {}), **made_of},
            )
    if log.whole:
        yield log_evaluation(raw.files.key(), raw.name, log.report, rejects)
    if log.problem is not None:
        raise log.problem


def _made_from(source: SourceInfo) -> str:
    return short_hash(f"{source.version} {code_versions.OF_TRACKING_LOGS}")


def _made(
    log: NormalizedLog, day: date, name: str, source: SourceInfo, rejects: str | None, upload_check: str
) -> Artifact:
    if log.output is None:
        raise ValueError(f"{name} has no output")
    report = log.report
    metadata: dict[str, Any] = {
        "source": SOURCE,
        "archive": name,
        "archive_version": source.version,
        "checked_by": source.checked_by,
        "uploads_checked_by": upload_check,
        "sum": report.sum_of_lines(),
        "lines_in": report.lines_in,
        "rejected": report.rejected_lines,
        "rejected_by_reason": {str(reason): count for reason, count in report.rejected.items()},
        "rejects": rejects,
        "blank": report.blank,
        "nul_bytes": report.nul_bytes,
        "syslog_prefixes": report.syslog_prefixes,
        "exact_path_lines": report.exact_path_lines,
        "exact_path_share": report.exact_path_lines / report.lines_out,
        "columns": len(report.columns),
        "source_size": source.size,
        "unpacked_source_size": report.bytes_unpacked,
        "unpacked_size": report.bytes_normalized,
    }
    return Artifact(
        version=log.version,
        content=log.output.reader(),
        source_date=day,
        row_count=report.lines_out,
        made_from=_made_from(source),
        schema=dg.TableSchema([dg.TableColumn(column, "string") for column in report.named_columns]),
        metadata=metadata,
    )
