"""The op that turns an archive of course exports into objects and materializations."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from pydantic import Field
from upath import UPath

from edxorg.lib.archive.account import Account, Delivery, Fate
from edxorg.lib.archive.deliveries import Deliveries
from edxorg.lib.archive.ingest import ingest_archive
from edxorg.lib.archive.marks import RunMark
from edxorg.lib.archive.worker import Orders
from edxorg.lib.object_keys import RAW_DATA_ARCHIVE, raw_data_asset
from edxorg.lib.progress import watcher_of_this_run
from edxorg.lib.settings import Settings
from edxorg.lib.tables import Escapes, Reading, RowHash
from edxorg.ops import recording
from edxorg.ops.checks import archive_evaluations
from edxorg.ops.reporting import reporter
from ol_orchestrate.failures import RETRIES, failures_for_people
from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.errors import BadInputError, PipelineError
from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader, join_url, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.partitions.edxorg import course_and_source_partitions
from ol_orchestrate.recording import metadata_of, tags_of

if TYPE_CHECKING:
    from ol_orchestrate.io_managers.filepath import FileObjectIOManager

LISTED_IN_UI = 50
"""Rows of a list in a run's metadata; the rest is counted, and whole in the log."""


def archive_op(settings: Settings) -> dg.OpDefinition:
    """The op, with the settings' defaults in its config."""

    class ArchiveConfig(dg.Config):
        """How the tables are read and written; the defaults are the location's settings."""

        escapes: Literal["keep", "decode"] = settings.escapes.value
        """`decode` undoes the exporter's backslash escapes, and empties `NULL`."""
        row_hash: Literal["record", "concatenated"] = settings.row_hash.value
        """`concatenated` is the hash of an older pipeline, for lakes that merge on it."""
        dialect: dict[str, str] = Field(default_factory=dict)
        """Readings to force, `plain`, `escaped` or `quoted`, by table or by member; names can have wildcards."""
        supersede: bool = False
        """Let this archive replace what a later one brought."""

    @dg.op(
        name="process_edxorg_archive",
        out=dg.Out(dg.Nothing),
        pool="edxorg_archive",
        required_resource_keys={"s3file_io_manager"},
        retry_policy=RETRIES,
    )
    def process_edxorg_archive(
        context: dg.OpExecutionContext, config: ArchiveConfig, archive: UPath
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]]:
        """Deliver an archive's members to the landing zone, and record what is new."""
        with failures_for_people(context):
            if not isinstance(archive, StorePath):
                raise TypeError(f"{archive!r} is no path of a store")
            source = archive.store.read(archive.key)
            orders = _orders(context, source.info, config.model_dump(), settings)
            yield from _process(context, source, orders, settings)

    return process_edxorg_archive


def _orders(context: dg.OpExecutionContext, source: SourceInfo, config: dict[str, Any], settings: Settings) -> Orders:
    landing_zone: FileObjectIOManager = context.resources.s3file_io_manager
    url = landing_zone.base_url()
    try:
        dialect = {name: Reading(reading) for name, reading in config["dialect"].items()}
    except ValueError as error:
        raise BadInputError(f"dialect: {error}; a reading is plain, escaped or quoted") from None
    return Orders(
        landing_zone=url,
        access=landing_zone.access(url),
        archive_date=settings.archive_name.date_in(context.partition_key),
        supersede=config["supersede"],
        escapes=Escapes(config["escapes"]),
        row_hash=RowHash(config["row_hash"]),
        dialect=dialect,
        mark=RunMark(context.run_id, context.retry_number, context.partition_key, source.version),
    )


def _process(
    context: dg.OpExecutionContext, source: VerifiedReader, orders: Orders, settings: Settings
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]]:
    landing_zone = orders.landing_zone
    if landing_zone is None:
        raise ValueError("the job writes to a landing zone")
    store = open_store(landing_zone, orders.access)
    if swept := store.abort_old_uploads():
        context.log.info("%s", swept)
    records = recording.RunRecords(context.instance, landing_zone, context.run_id)
    with Deliveries() as deliveries:
        progress = reporter(context.log, "members")
        ingested = ingest_archive(source, orders, records, deliveries, naming=settings.member_naming, progress=progress)
        watcher_of_this_run().account(ingested.account)
        context.log.info("%s", ingested.account.sum_of_fates())
        courses = list(deliveries.partitions())
        added = recording.add_partitions(context.instance, course_and_source_partitions, courses)
        context.log.info("%d objects of %d courses to record, %d of them new", len(deliveries), len(courses), added)
        describe = _Description(context.partition_key, source.info, landing_zone, orders)
        by_asset = deliveries.by_asset()
        for asset, of_asset in by_asset.items():
            still_to_record = ingested.still_to_record(asset, of_asset)
            yield from recording.record(context, map(describe.materialization, still_to_record))
        ingested.finish(by_asset)
    if not ingested.is_refused:
        yield from archive_evaluations(recording.asset_key(RAW_DATA_ARCHIVE), context.partition_key, ingested.account)
    yield dg.Output(None, metadata=account_metadata(ingested.account, source.info, store.upload_check))
    if ingested.problem is not None or ingested.account.failed:
        raise failure(ingested.account, ingested.problem, is_refused=ingested.is_refused)


class _Description:
    """How a delivery is recorded."""

    def __init__(self, archive: str, source: SourceInfo, landing_zone: str, orders: Orders) -> None:
        self._archive = archive
        self._source = source
        self._landing_zone = landing_zone
        self._orders = orders

    def materialization(self, delivery: Delivery) -> dg.AssetMaterialization:
        """The materialization of what one member became."""
        member, key = delivery.member, delivery.object_key
        if member.course is None or key is None or delivery.version is None:
            raise ValueError(f"{member.path} has no object to record")
        is_table = delivery.shape.rows is not None
        rejects = delivery.rejects_key
        return dg.AssetMaterialization(
            recording.asset_key(raw_data_asset(member.kind, member.table)),
            partition=member.course.key(),
            metadata=metadata_of(
                self._landing_zone,
                key,
                delivery.size,
                row_count=delivery.shape.rows,
                source="edxorg",
                source_system=member.course.site.value,
                course_id=member.course.course_id,
                archive=self._archive,
                archive_version=self._source.version,
                member=member.label,
                rejected=sum(delivery.rejected.values()) if is_table else None,
                rejects=join_url(self._landing_zone, rejects) if rejects else None,
                **delivery.facts,
            ),
            tags=tags_of(
                delivery.version,
                self._landing_zone,
                source_date=self._orders.archive_date,
                shape=delivery.shape,
                before=delivery.before,
                made_from=delivery.made_from,
            ),
        )


def account_metadata(account: Account, source: SourceInfo, upload_check: str) -> dict[str, Any]:
    """The account of an archive as the run shows it: sums first, then tables of what landed and what did not."""
    fates = [Fate.MISSING_AT_SOURCE, Fate.FAILED, Fate.UNRECOGNISED]
    metadata: dict[str, Any] = {
        "members": account.members,
        "sum": account.sum_of_fates(),
        **{fate.name.lower(): account.fates[fate] for fate in Fate},
        "rows": account.rows_delivered,
        "rejected_rows": sum(account.rows_rejected.values()),
        "source": source.url,
        "archive_version": source.version,
        "checked_by": source.checked_by,
        "uploads_checked_by": upload_check,
    }
    for fate in fates:
        if listed := account.listed.get(fate):
            name = f"list of {fate}"
            metadata[name] = dg.MetadataValue.md(_not_delivered(listed, account.fates[fate]))
    if account.ambiguous:
        metadata["ambiguous courses"] = list(account.ambiguous)[:LISTED_IN_UI]
    if account.claimed_twice.total:
        metadata["members with one name"] = account.claimed_twice.first[:LISTED_IN_UI]
    if account.tables:
        metadata["what landed"] = dg.MetadataValue.md(_landed(account))
    if account.problem:
        metadata["problem"] = account.problem
    return metadata


def _not_delivered(listed: list[tuple[str, int, str]], total: int) -> str:
    shown = listed[:LISTED_IN_UI]
    return markdown.table({"member": str, "bytes": int, "why": str}, shown, more=total - len(shown))


def _landed(account: Account) -> str:
    counts = (Fate.DELIVERED, Fate.UNCHANGED, Fate.EMPTY, Fate.FAILED)
    return markdown.table(
        {"table": str, **dict.fromkeys((*(fate.value for fate in counts), "rows", "rejected"), int)},
        (
            (name, *(table.fates[fate] for fate in counts), table.rows, sum(table.rejected.values()))
            for name, table in sorted(account.tables.items())
        ),
    )


def failure(account: Account, problem: PipelineError | None, *, is_refused: bool) -> dg.Failure:
    """The failure of a run that delivered what it could, naming what it could not."""
    lines = [str(problem)] if problem else []
    listed = account.listed.get(Fate.FAILED, [])
    lines += [f"{path}: {why}" for path, _, why in listed[:LISTED_IN_UI]]
    if is_refused:
        lines.append("Nothing of this archive is recorded, and what was written of it was taken back")
    elif account.failed > LISTED_IN_UI:
        lines.append(f"and {account.failed - LISTED_IN_UI:,} more")
    if account.failed and not is_refused:
        lines.insert(0, f"{account.failed:,} of {account.members:,} members failed; the others were delivered")
    may_pass = problem is not None and problem.may_pass
    may_pass |= account.failed_for_now > 0 and not is_refused
    return dg.Failure("\n".join(lines), allow_retries=may_pass)
