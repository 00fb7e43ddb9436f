"""The checks of the files of edX, as people see them on the raw assets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation
from typing import TYPE_CHECKING, Never

import dagster as dg

from edxorg.ops import checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edxorg.components.source_files import SourceFiles
    from edxorg.ops.checks import CheckText


def raw_archive_checks(archives: SourceFiles) -> dg.AssetChecksDefinition:
    """What `retrieve_edxorg_raw_data` finds in an archive."""
    return _evaluated_by(
        "retrieve_edxorg_raw_data",
        archives,
        (
            checks.REJECTED_ROWS,
            checks.MISSING_TABLES,
            checks.UNCLEAR_MEMBERS,
            checks.SHRUNKEN_TABLES,
            checks.CHANGED_COLUMNS,
        ),
    )


def raw_log_checks(logs: SourceFiles) -> dg.AssetChecksDefinition:
    """What `refresh_edxorg_tracking_logs` finds in a tracking log."""
    return _evaluated_by("refresh_edxorg_tracking_logs", logs, (checks.REJECTED_LINES,))


def _evaluated_by(job: str, files: SourceFiles, which: Sequence[CheckText]) -> dg.AssetChecksDefinition:
    """Make checks known whose evaluations a job records.

    A check on an asset that nothing here makes has to have a step of its own; this one says what to run instead.
    """
    with warnings.catch_warnings():
        # Partitions of checks are new in Dagster; without them a check shows the partition that ran last, and no other.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                check.name, asset=files.key(), description=check.description, partitions_def=files.partitions_def()
            )
            for check in which
        ]

    @dg.multi_asset_check(name=f"{'__'.join(files.key().path)}__checks", specs=specs, can_subset=True)
    def evaluated_elsewhere() -> Iterator[Never]:
        yield from ()
        raise dg.Failure(f"This is evaluated by {job}: run that for the partition", allow_retries=False)

    return evaluated_elsewhere
