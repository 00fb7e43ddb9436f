"""VersionedObjects of program reports: which are needed, and how each is made; knows nothing of Dagster.

A report keeps its whole key: `s3://source/reports_v2/MITx/a.csv` lands as `{destination}/reports_v2/MITx/a.csv`. Of a
source that is a folder, a report's key is its path below the folder.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import BadInputError, ServiceError, SourceChangedError
from ol_orchestrate.lib.retrying import retried
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, join_url, open_store, split_url
from ol_orchestrate.lib.stores.base import checked_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ol_orchestrate.lib.stores import SourceInfo, StoredObject

REPORTS_A_RUN = 500

BYTES_A_RUN = 20 * 10**9
"""What a run copies at most, unless a single report is larger."""

RETRIES = 2
"""How often a report is copied again that changed meanwhile. Stores repeat their requests themselves."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where the reports come from and where their copies go."""

    source: ObjectStore
    destination: ObjectStore
    prefix: str
    """What the keys of the copies start with."""

    @classmethod
    def between(
        cls, source_url: str, source_access: StoreAccess, destination_url: str, destination_access: StoreAccess
    ) -> Reports:
        """The reports at one URL and their copies at another. Connects to nothing yet."""
        scheme, _, prefix = split_url(source_url)
        return cls(
            open_store(source_url, source_access),
            open_store(destination_url, destination_access),
            "" if scheme == "file" or not prefix else f"{prefix}/",
        )

    def key_in_source(self, key: str) -> str:
        """From a report's whole key to its key below the source's URL.

        Raises:
            BadInputError: It is none of the source's, or could name something else.
        """
        if not key.startswith(self.prefix):
            raise BadInputError(f"{key!r} is not in {self.source.url}: give a whole key, which starts {self.prefix!r}")
        return checked_key(key.removeprefix(self.prefix))

    def compare(self) -> Comparison:
        """Which reports need a copy: two listings, and nothing kept from earlier ones.

        Raises:
            AccessRefusedError, ServiceError: A listing failed.
        """
        copies = {copy.key: copy for copy in self.destination.list(self.prefix)}
        comparison = Comparison()
        for report in self.source.list():
            key = self.prefix + report.key
            comparison.reports += 1
            try:
                checked_key(report.key)
            except BadInputError:
                comparison.refused.append(key)
                continue
            if needs_copy(report, copies.get(key)):
                comparison.needed.append(Needed(key, report.size))
        comparison.needed.sort()
        return comparison


@dataclass(frozen=True, slots=True, order=True)
class Needed:
    """A report that needs a copy: its whole key, and its size in bytes."""

    key: str
    size: int


@dataclass(slots=True)
class Comparison:
    """What two listings say."""

    reports: int = 0
    needed: list[Needed] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Keys that could name something outside their folder."""


def needs_copy(report: StoredObject, copy: StoredObject | None) -> bool:
    """Whether a copy is missing, of another size, or not younger than its report.

    Stores tell whole seconds, so a copy of the same second may be of what was there before.
    """
    return copy is None or copy.size != report.size or report.modified >= copy.modified


def batches(needed: Iterable[Needed]) -> Iterator[list[Needed]]:
    """Reports for one run each: at most `REPORTS_A_RUN` and `BYTES_A_RUN`, or one that is larger by itself."""
    batch: list[Needed] = []
    size = 0
    for each in needed:
        if batch and (len(batch) == REPORTS_A_RUN or size + each.size > BYTES_A_RUN):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += each.size
    if batch:
        yield batch


def copy(reports: Reports, key: str, path: Path) -> SourceInfo:
    """Copy a report, pinned to one version and checked against the store's checksum, and say what it was.

    A report that changed meanwhile is copied once more: its copy is younger than the change and may be of the same
    size, so that no later comparison would notice.

    Args:
        reports: Where it comes from and where it goes.
        key: Its whole key.
        path: A file that holds it in between, and is gone afterwards.

    Raises:
        PipelineError: It is gone, is refused, does not arrive, or does not come to rest.
    """
    key_in_source = reports.key_in_source(key)

    def copy_once() -> SourceInfo:
        source = reports.source.read(key_in_source)
        with _disk(key), path.open("wb") as file:
            for block in source:
                file.write(block)
        with _disk(key), path.open("rb") as file:
            reports.destination.write(key, file)
        now = reports.source.find(key_in_source)
        if now is not None and now.version != source.info.version:
            raise SourceChangedError(
                f"{join_url(reports.source.url, key_in_source)}: it changes faster than it is copied. Run again"
            )
        return source.info

    try:
        return retried(copy_once, on=SourceChangedError, retries=RETRIES)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _disk(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(f"{key}: the temporary folder failed: {error.strerror}. Make room and run again") from error
