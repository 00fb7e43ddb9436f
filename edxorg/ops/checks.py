"""What the jobs tell people to look at in the files of edX: asset checks that warn, and block nothing.

The jobs evaluate them on the way, by partition, since whatever there is to see passes through their hands once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from edxorg.lib.archive.account import Fate
from edxorg.lib.object_keys import raw_data_asset
from ol_orchestrate.recording import short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edxorg.lib.archive.account import Account, Delivery
    from edxorg.lib.tracking_log import LogReport
    from ol_orchestrate.lib.delivery import Recorded

LISTED = 50
"""Things of a kind that are named in a check's metadata; the others are counted."""


class Check(NamedTuple):
    """A check's name, and what it tells."""

    name: str
    description: str


REJECTED_LINES = Check("rejected_lines", "Lines that hold no event that can be delivered; they are among the rejects.")

REJECTED_ROWS = Check("rejected_rows", "Rows of tables that fit no reading; they are among the rejects.")
MISSING_TABLES = Check("missing_tables", "Tables that edX could not export this time: members named `….failed`.")
UNCLEAR_MEMBERS = Check("unclear_members", "Members that match no known name, and courses with more than one reading.")
SHRUNKEN_TABLES = Check("shrunken_tables", "Tables of a course with less than half the rows of their last version.")
CHANGED_COLUMNS = Check("changed_columns", "Tables of a course with other columns than their last version.")


def log_evaluation(
    raw_log: dg.AssetKey, partition: str, report: LogReport, rejects: str | None
) -> dg.AssetCheckEvaluation:
    """The check of a tracking log.

    Args:
        raw_log: The asset.
        partition: The log.
        report: Of the log.
        rejects: URL of its rejects, if there are any.
    """
    metadata: dict[str, Any] = {"by reason": dict(report.rejected), "sum": report.sum_of_lines()}
    if rejects is not None:
        metadata["rejects"] = rejects
    return _evaluation(REJECTED_LINES, raw_log, partition, report.rejected_lines, metadata)


def archive_evaluations(
    raw_archive: dg.AssetKey,
    partition: str,
    account: Account,
    deliveries: Sequence[Delivery],
    before: Mapping[str, Mapping[str, Recorded]],
) -> Iterator[dg.AssetCheckEvaluation]:
    """The checks of an archive.

    Args:
        raw_archive: The asset.
        partition: The archive.
        account: Of its members.
        deliveries: What is new, and to be recorded.
        before: What was recorded before this run: from an asset's name and a partition to the latest version.
    """
    rejected = [f"{each.member.label}: {sum(each.rejected.values()):,}" for each in deliveries if each.rejected]
    by_table = {name: of_table.rejected.total() for name, of_table in account.tables.items() if of_table.rejected}
    yield _evaluation(
        REJECTED_ROWS,
        raw_archive,
        partition,
        account.rows_rejected.total(),
        {"by reason": dict(account.rows_rejected), "by table": by_table, "new": _listed(rejected)},
    )
    for check, fate in ((MISSING_TABLES, Fate.MISSING_AT_SOURCE), (UNCLEAR_MEMBERS, Fate.UNRECOGNISED)):
        members = [path for path, _, _ in account.listed.get(fate, ())]
        metadata: dict[str, Any] = {"members": _listed(members, account.fates[fate])}
        found = account.fates[fate]
        if check is UNCLEAR_MEMBERS:
            metadata["ambiguous courses"] = _listed(list(account.ambiguous))
            found += len(account.ambiguous)
        yield _evaluation(check, raw_archive, partition, found, metadata)
    shrunken, changed = [], []
    for delivery in deliveries:
        known = _version_before(delivery, before)
        if known is None:
            continue
        if delivery.rows is not None and known.row_count is not None and 2 * delivery.rows < known.row_count:
            shrunken.append(f"{delivery.member.label}: {known.row_count:,} rows before, {delivery.rows:,} now")
        if known.columns is not None and known.columns != short_hash("\t".join(delivery.columns)):
            changed.append(delivery.member.label)
    yield _evaluation(SHRUNKEN_TABLES, raw_archive, partition, len(shrunken), {"tables": _listed(shrunken)})
    yield _evaluation(CHANGED_COLUMNS, raw_archive, partition, len(changed), {"tables": _listed(changed)})


def _version_before(delivery: Delivery, before: Mapping[str, Mapping[str, Recorded]]) -> Recorded | None:
    member = delivery.member
    if member.course is None:
        return None
    return before.get(raw_data_asset(member.kind, member.table), {}).get(member.course.key())


def _evaluation(
    check: Check, asset: dg.AssetKey, partition: str, found: int, metadata: Mapping[str, Any]
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset,
        check.name,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        partition=partition,
        metadata={"found": found, **metadata},
    )


def _listed(names: Sequence[str], total: int | None = None) -> list[str]:
    """The first of them, and how many more there are."""
    more = (len(names) if total is None else total) - LISTED
    return [*names[:LISTED], *([f"and {more:,} more"] if more > 0 else [])]
