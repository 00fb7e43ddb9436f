"""The reports of archives: their summaries as observations of the raw archives, and pages in the landing zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive_report import ArchiveSummary, page, summarize, text
from edxorg.lib.object_keys import archive_report_key
from edxorg.lib.settings.file_names import is_of_preferences
from ol_orchestrate.console_links import console_link
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from datetime import date

    from edxorg.lib.archive.ingest_report import IngestReport
    from edxorg.source_files import SourceFiles
    from ol_orchestrate.lib.stores import ObjectStore, SourceInfo

SUMMARY = "summary"
"""Metadata that a report is written from again."""


class ArchiveReports:
    """All that is recorded of the archives of a location."""

    def __init__(self, instance: dg.DagsterInstance, archives: SourceFiles) -> None:
        self._instance = instance
        self._archives = archives

    def latest(self) -> str | None:
        """Return the name of the last archive, by date, that has a report."""
        return next((name for name in self._latest_first() if self.of(name)), None)

    def of(self, archive: str) -> ArchiveSummary | None:
        """Return the latest summary of an archive."""
        wanted = dg.AssetRecordsFilter(asset_key=self._archives.key(), asset_partitions=[archive])
        cursor, has_more = None, True
        while has_more:  # attempts that did not end well are observations too
            found = self._instance.fetch_observations(wanted, limit=10, cursor=cursor)
            for record in found.records:
                observation = record.asset_observation
                if observation is not None and SUMMARY in observation.metadata:
                    return ArchiveSummary.model_validate(observation.metadata[SUMMARY].value)
            cursor, has_more = found.cursor, found.has_more
        return None

    def before(self, archive: str) -> ArchiveSummary | None:
        """Return the summary of the last archive before, by date, that was read whole.

        Packages of e-mail preferences, which hold no course, and other archives are each compared with their own kind.
        """
        day = self._archives.names.date_in(archive)
        if day is None:
            return None
        kind = is_of_preferences(archive)
        earlier = (self.of(name) for name in self._latest_first(before=day) if is_of_preferences(name) is kind)
        return next((summary for summary in earlier if summary and not summary.problem), None)

    def tell(
        self,
        archive: str,
        report: IngestReport,
        source: SourceInfo,
        store: ObjectStore,
        before: ArchiveSummary | None,
    ) -> tuple[dict[str, object], dg.AssetObservation | None]:
        """Write the report of an archive that was read.

        Returns:
            The metadata that its run shows, and what is to be recorded: nothing if the run has found all as it was, and
            this version of the archive has its report.
        """
        known = self.of(archive) if not report.outcomes[MemberOutcome.DELIVERED] and not report.failed else None
        if known is not None and known.version == source.version:
            return _shown(known, store), None
        summary = summarize(report, archive, source, before=before).model_copy(update={"landing_zone": store.url})
        write_page(summary, store)
        shown = _shown(summary, store)
        numbers = summary.archive.model_dump(exclude={"archive"})
        counts = {outcome.name.lower(): report.outcomes[outcome] for outcome in MemberOutcome}
        metadata = {**shown, **numbers, **counts, SUMMARY: dg.MetadataValue.json(summary.model_dump())}
        return shown, dg.AssetObservation(self._archives.key(), partition=archive, metadata=metadata)

    def _latest_first(self, before: date | None = None) -> list[str]:
        """Return observed archives, the latest first; an observation can also tell of a canceled run."""
        observed = self._instance.event_log_storage.get_latest_storage_id_by_partition(
            self._archives.key(), dg.DagsterEventType.ASSET_OBSERVATION
        )
        dated = [(day, name) for name in observed if (day := self._archives.names.date_in(name))]
        return [name for day, name in sorted(dated, reverse=True) if before is None or day < before]


def write_page(summary: ArchiveSummary, store: ObjectStore) -> str:
    """Write the page of a report into a landing zone, and return its URL."""
    key = archive_report_key(summary.archive.archive)
    store.write(key, page(summary).encode())
    return join_url(store.url, key)


def _shown(summary: ArchiveSummary, store: ObjectStore) -> dict[str, object]:
    url = join_url(store.url, archive_report_key(summary.archive.archive))
    return {"report": dg.MetadataValue.md(text(summary)), "whole report": console_link(url)}
