"""The tags of an object's materialization: they say what the next run has to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from ol_orchestrate.lib.versions import NO_STATS, Recorded, TableStats, short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_VERSION = "dagster/data_version"


@dataclass(frozen=True, slots=True)
class RecordTags:
    """Tags whose names begin with a prefix, except the data version's; records with another prefix are not read.

    Attributes:
        prefix: The source of a location's data.
    """

    prefix: str

    @property
    def source_date(self) -> str:
        """The tag for the date of the source file."""
        return f"{self.prefix}/archive_date"

    def of(
        self,
        version: str,
        landing_zone: str,
        *,
        source_date: date | None = None,
        stats: TableStats = NO_STATS,
        before: TableStats = NO_STATS,
        made_from: str | None = None,
    ) -> dict[str, str]:
        """Return the tags of a materialization; see `Recorded`."""
        values = {
            "landing_zone": short_hash(landing_zone),
            "archive_date": source_date,
            "row_count": stats.rows,
            "columns": stats.columns,
            "row_count_before": before.rows,
            "columns_before": before.columns,
            "made_from": made_from,
        }
        tags = {f"{self.prefix}/{name}": str(value) for name, value in values.items() if value is not None}
        return {DATA_VERSION: version, **tags}

    def recorded(self, tags: Mapping[str, str], landing_zone: str) -> Recorded | None:
        """Return what tags say; `None` if they are of an object in another landing zone, or of no object."""
        if DATA_VERSION not in tags or tags.get(f"{self.prefix}/landing_zone") != short_hash(landing_zone):
            return None
        day = tags.get(self.source_date)
        return Recorded(
            version=tags[DATA_VERSION],
            source_date=date.fromisoformat(day) if day else None,
            stats=self._stats(tags, ""),
            before=self._stats(tags, "_before"),
            made_from=tags.get(f"{self.prefix}/made_from"),
        )

    def _stats(self, tags: Mapping[str, str], suffix: str) -> TableStats:
        rows = tags.get(f"{self.prefix}/row_count{suffix}")
        return TableStats(int(rows) if rows else None, tags.get(f"{self.prefix}/columns{suffix}"))
