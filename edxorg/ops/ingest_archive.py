"""The op that turns an archive of course exports into objects and materializations."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, Literal

import dagster as dg
from pydantic import Field
from upath import UPath

from edxorg.lib.archive.ingest_report import IngestReport, MemberOutcome, MemberResult
from edxorg.lib.archive.ingestion import Ingested, ingest_archive
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.object_keys import SOURCE, raw_data_asset
from edxorg.lib.private_keys import private_keys
from edxorg.lib.progress import current_observer
from edxorg.lib.settings import Settings
from edxorg.lib.tables import Dialect, Escapes, RowHash
from edxorg.location import organizations
from edxorg.ops.archive_reports import ArchiveReports
from edxorg.ops.checks import archive_evaluations
from edxorg.ops.reporting import reporter
from edxorg.ops.run_records import RunRecords
from edxorg.source_files import NamedFile, SourceFiles
from ol_orchestrate.failures import RETRIES, as_dagster_failure, failure
from ol_orchestrate.landing.attempts import attempt, shows_as_not_well
from ol_orchestrate.landing.batch import add_partitions, record
from ol_orchestrate.landing.records import metadata_of, upstream_tags
from ol_orchestrate.landing_zone import LANDING_ZONE, landing_zone
from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openpgp import told_of_unchecked
from ol_orchestrate.lib.shortening import SHOWN, first_and_more
from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader, join_url, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.location_names import LocationNames

ARCHIVE_STEP = "process_edxorg_archive"
"""The name of the op, and of its step in the location of that name."""

ArchiveEvents = Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation | dg.Output[None]]


def archive_op(archives: SourceFiles, settings: Settings) -> dg.OpDefinition:
    """Make the op; the settings are the defaults of its config."""
    location = archives.location

    class ArchiveConfig(dg.Config):
        """Options of the tables; the defaults are the location's settings."""

        escapes: Literal["keep", "decode"] = Field(
            default=settings.escapes.value,
            description="`decode` undoes the exporter's backslash escapes, and empties `NULL`.",
        )
        row_hash: Literal["record", "concatenated"] = Field(
            default=settings.row_hash.value,
            description="`concatenated` is the hash of an older pipeline, for lakes that merge on it.",
        )
        # A default, not the factory of one, which the launchpad would leave out.
        dialect: dict[str, str] = Field(
            default={},
            description="Dialects to force, `plain`, `escaped` or `quoted`, by table or by member; names can have "
            "wildcards.",
        )
        supersede: bool = Field(default=False, description="True lets this archive replace versions of later ones.")

    @dg.op(
        name=location.of(ARCHIVE_STEP),
        out=dg.Out(dg.Nothing),
        pool=location.of("edxorg_archive"),
        required_resource_keys={LANDING_ZONE},
        retry_policy=RETRIES,
    )
    def process_edxorg_archive(context: dg.OpExecutionContext, config: ArchiveConfig, archive: UPath) -> ArchiveEvents:
        """Deliver an archive's members to the landing zone, and record new versions."""
        with as_dagster_failure(context, location.permanent_failure), attempt(context, archives.key()):
            if not isinstance(archive, StorePath):
                raise TypeError(f"{archive!r} is no path of a store")
            source = archive.store.read(archive.key)
            options = replace(
                _options(context, source.info, archives, config.model_dump()), courses=settings.courses.split()
            )
            yield from _process(context, source, options, archives, settings)

    return process_edxorg_archive


def _options(
    context: dg.OpExecutionContext, source: SourceInfo, archives: SourceFiles, config: dict[str, Any]
) -> IngestOptions:
    zone = landing_zone(context)
    url = zone.base_url()
    try:
        dialect = {name: Dialect(reading) for name, reading in config["dialect"].items()}
    except ValueError as error:
        raise BadInputError(f"dialect: {error}; use plain, escaped or quoted") from None
    return IngestOptions(
        landing_zone=url,
        access=zone.access(url),
        archive_date=archives.date_of(context.instance, context.partition_key),
        supersede=config["supersede"],
        escapes=Escapes(config["escapes"]),
        row_hash=RowHash(config["row_hash"]),
        dialect=dialect,
        mark=RunMark(context.run_id, context.retry_number, context.partition_key, source.version),
    )


def _process(
    context: dg.OpExecutionContext,
    source: VerifiedReader,
    options: IngestOptions,
    archives: SourceFiles,
    settings: Settings,
) -> ArchiveEvents:
    url = options.landing_zone
    if url is None:
        raise ValueError("the job needs a landing zone")
    store = open_store(url, options.access)
    if swept := store.abort_old_uploads(SOURCE):
        context.log.info("%s", swept)
    records = RunRecords(context.instance, url, context.run_id, archives.location)
    reports = ArchiveReports(context.instance, archives)
    before = reports.before(context.partition_key)
    options = replace(options, empty_before=before.empty() if before else frozenset())
    with PendingRecords() as pending:
        progress = reporter(context.log, "members")
        ingested = ingest_archive(
            source,
            options,
            records,
            pending,
            keys=partial(private_keys, settings),
            progress=progress,
            workers=settings.workers,
        )
        current_observer().report(ingested.report)
        context.log.info("%s", ingested.report.sum_of_outcomes())
        courses = list(pending.courses())
        added = add_partitions(context.instance, archives.location.courses, courses)
        add_partitions(context.instance, organizations(archives.location), list(pending.organizations()))
        context.log.info("%d objects of %d courses to record, %d of them new", len(pending), len(courses), added)
        made_of = upstream_tags(context.instance, archives.key(), context.partition_key, source.info.version)
        describe = _Description(context.partition_key, source.info, options, archives.location, made_of)
        by_asset = pending.by_asset()
        for number, (asset, of_asset) in enumerate(by_asset.items(), 1):
            current_observer().stage(f"recording {number} of {len(by_asset)}")
            yield from record(context, of_asset, partial(_still_to_record, ingested, describe, asset))
        current_observer().stage("settling")
        ingested.finish(by_asset)
    metadata = report_metadata(ingested.report, source.info, store.upload_check)
    if not ingested.is_refused:
        yield from archive_evaluations(archives.key(), context.partition_key, ingested.report)
        shown, observation = reports.tell(context.partition_key, ingested.report, source.info, store, before)
        metadata |= shown
        if observation is not None:
            yield observation
    failed = ingested.problem is not None or ingested.report.failed
    if not failed and shows_as_not_well(context.instance, context.job_name, archives.key(), context.partition_key):
        yield _arrived(archives, context, source.info, options.archive_date)
    yield dg.Output(None, metadata=metadata)
    if failed:
        raise _failure(ingested)


def _arrived(
    archives: SourceFiles, context: dg.OpExecutionContext, info: SourceInfo, day: date | None
) -> dg.AssetMaterialization:
    named = NamedFile(context.partition_key, day) if day else None
    return archives.arrived(info.url, size=info.size, created=info.created, version=info.version, named=named)


class _Description:
    """Makes the materializations of results."""

    def __init__(
        self,
        archive: str,
        source: SourceInfo,
        options: IngestOptions,
        location: LocationNames,
        made_of: dict[str, str],
    ) -> None:
        self._archive = archive
        self._source = source
        self._landing_zone = options.landing_zone or ""
        self._options = options
        self._location = location
        self._made_of = made_of

    def materialization(self, result: MemberResult) -> dg.AssetMaterialization:
        """Return the materialization of one member's result."""
        member, key = result.member, result.object_key
        course = member.course
        if member.partition is None or key is None or result.version is None:
            raise ValueError(f"{member.path} has no object to record")
        is_table = result.stats.rows is not None
        rejects = result.rejects_key
        return dg.AssetMaterialization(
            self._location.key(raw_data_asset(member.kind, member.table)),
            partition=member.partition,
            metadata=metadata_of(
                self._landing_zone,
                key,
                result.size,
                row_count=result.stats.rows,
                source=self._location.source,
                source_system=course.site.value if course else None,
                course_id=course.course_id if course else None,
                organization=member.organization,
                archive=self._archive,
                archive_version=self._source.version,
                member=member.label,
                rejected=sum(result.rejected.values()) if is_table else None,
                rejects=join_url(self._landing_zone, rejects) if rejects else None,
                **result.facts,
            ),
            tags=self._location.tags.of(
                result.version,
                self._landing_zone,
                source_date=self._options.archive_date,
                stats=result.stats,
                before=result.before,
                made_from=result.made_from,
            )
            | self._made_of,
        )


def _still_to_record(
    ingested: Ingested, describe: _Description, asset: str, results: Sequence[MemberResult]
) -> Iterator[dg.AssetMaterialization]:
    return map(describe.materialization, ingested.still_to_record(asset, results))


def report_metadata(report: IngestReport, source: SourceInfo, upload_check: str) -> dict[str, Any]:
    """Return the report of an archive for the run: sums first, then tables of delivered and undelivered members."""
    outcomes = [MemberOutcome.MISSING_AT_SOURCE, MemberOutcome.FAILED, MemberOutcome.UNRECOGNISED]
    metadata: dict[str, Any] = {
        "members": report.members,
        "sum": report.sum_of_outcomes(),
        **{outcome.name.lower(): report.outcomes[outcome] for outcome in MemberOutcome},
        "rows": report.rows_delivered,
        "rejected_rows": sum(report.rows_rejected.values()),
        "source": source.url,
        "archive_version": source.version,
        "checked_by": source.checked_by,
        "uploads_checked_by": upload_check,
    }
    for outcome in outcomes:
        if listed := report.listed.get(outcome):
            name = f"list of {outcome}"
            metadata[name] = dg.MetadataValue.md(_not_delivered(listed, report.outcomes[outcome]))
    if report.ambiguous:
        metadata["ambiguous courses"] = _listed("course", list(report.ambiguous), len(report.ambiguous))
    if report.claimed_twice.total:
        twice = report.claimed_twice
        metadata["members with one name"] = _listed("member", twice.first, twice.total)
    if unchecked := told_of_unchecked(report.unchecked_signers):
        metadata["signatures"] = unchecked
    if report.tables:
        metadata["what landed"] = dg.MetadataValue.md(_landed(report))
    if report.problem:
        metadata["problem"] = report.problem
    if report.warning:
        metadata["warning"] = report.warning
    return metadata


def _listed(title: str, items: Sequence[str], total: int) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(markdown.listing(title, items, total))


def _not_delivered(listed: list[tuple[str, int, str]], total: int) -> str:
    return markdown.table({"member": str, "bytes": int, "why": str}, listed[:SHOWN], total=total)


def _landed(report: IngestReport) -> str:
    counts = (MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED, MemberOutcome.EMPTY, MemberOutcome.FAILED)
    return markdown.table(
        {"table": str, **dict.fromkeys((*(outcome.value for outcome in counts), "rows", "rejected"), int)},
        (
            (name, *(table.outcomes[outcome] for outcome in counts), table.rows, sum(table.rejected.values()))
            for name, table in sorted(report.tables.items())
        ),
    )


def _failure(ingested: Ingested) -> dg.Failure:
    """Return the failure of a run, which names the members that were not delivered."""
    report, problem, is_refused = ingested.report, ingested.problem, ingested.is_refused
    lines = [str(problem)] if problem else []
    listed = [f"{path}: {why}" for path, _, why in report.listed.get(MemberOutcome.FAILED, [])]
    lines += first_and_more(listed, total=report.failed)
    if is_refused:
        lines.append(f"Nothing of this archive is recorded. {_taken_back(ingested.taken_back)}")
    elif report.failed:
        lines.insert(0, f"{report.failed:,} of {report.members:,} members failed; the others were delivered")
    is_transient = problem is not None and problem.is_transient
    awaits_operator = problem is not None and problem.awaits_operator
    if not is_refused:
        is_transient |= report.failed_for_now > 0
        awaits_operator |= report.failed_until_mended > 0
    return failure("\n".join(lines), is_transient=is_transient, awaits_operator=awaits_operator)


def _taken_back(objects: int | None) -> str:
    if objects is None:
        return (
            "Its objects stay for now, since another run may be at work; the run that ends last deletes those that "
            "nobody has recorded by then"
        )
    return f"Its objects were deleted: {objects:,}" if objects else "None of its objects had to be deleted"
