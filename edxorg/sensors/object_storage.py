"""Notices files that edX puts into a bucket: new ones, those published again, and those whose run failed.

A tick costs one listing and five queries, whatever the number of files. It keeps no cursor, but reads the records of
files and runs, so a tick that is lost or cut short loses nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from edxorg.lib.object_keys import SOURCE
from edxorg.lib.settings.file_names import AmbiguousNameError, FileNames
from edxorg.sensors.run_decision import (
    NEEDS_A_RUN,
    LatestRun,
    RunDecision,
    RunOutcome,
    decide_run,
)
from ol_orchestrate.dagster_tags import PARTITION, WILL_RETRY
from ol_orchestrate.failures import PERMANENT, UNTIL_MENDED, errors_without_secrets
from ol_orchestrate.landing_zone import SOURCE_BUCKET, source_bucket
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.stores import join_url, open_store
from ol_orchestrate.lib.stores.base import checked_key
from ol_orchestrate.lib.versions import short_hash
from ol_orchestrate.runs_under_way import is_under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from edxorg.source_files import SourceFiles
    from ol_orchestrate.lib.stores import StoredObject

ATTEMPT = f"{SOURCE}/attempt"
"""Tag of a run: the number of runs of this version of the file, this one included."""

RETRIED_BY = "dagster/auto_retry_run_id"
"""Tag of a failed run that the daemon has started anew by itself."""

RUN_KEY = "dagster/run_key"
"""Tag in which Dagster keeps the key of the request that a run came from."""


def source_files_sensor(
    name: str,
    files: SourceFiles,
    job_name: str,
    url: str,
    other_names: FileNames,
    *,
    setting: str,
    runs_a_tick: int,
    interval_seconds: int,
) -> dg.SensorDefinition:
    """Make a sensor that requests a run of each file that needs one.

    Args:
        files: The files.
        job_name: The job that takes a file's name as its partition.
        url: The folder they are in, or below; the resource `gcs_input` has the credentials.
        other_names: Names of the files that another sensor watches in the same folder; they are not reported.
        setting: The setting that names the folder.
        runs_a_tick: The number of runs that a tick requests at most; the next one goes on.
        interval_seconds: The time between two ticks.
    """

    @dg.sensor(
        name=name,
        job_name=job_name,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={SOURCE_BUCKET},
        description=f"Requests a run of `{job_name}` for each file named like `{files.names.example}` that is new, was "
        "published again, or failed for a reason that may pass.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        with errors_without_secrets():
            store = open_store(url, source_bucket(context).access(url))
            listing = _SourceListing.of(store.list(), files.names, other_names)
        if not listing.objects:
            return dg.SkipReason(
                f"{store.url} has no files, or is not there: make sure that {setting} names the folder that edX "
                "delivers to"
            )
        seen, result = _Tick(context.instance, files, job_name, store.url, listing).result(runs_a_tick)
        context.log.info("%s", seen)
        return result or dg.SensorResult(skip_reason=seen)

    return sensor


class FoundFile(NamedTuple):
    """A file at its source.

    Attributes:
        name: The partition's key.
        day: The date in it.
        stored: The object in its store.
        need: What the sensor would do about it.
    """

    name: str
    day: date
    stored: StoredObject
    need: RunDecision


def files_at(
    instance: dg.DagsterInstance,
    files: SourceFiles,
    job_name: str,
    url: str,
    objects: Iterable[StoredObject],
    other_names: FileNames,
    *,
    undated: Callable[[str], bool],
) -> list[FoundFile]:
    """Return the files in a folder and below, the oldest first, and what has become of them.

    Args:
        url: The folder's URL.
        objects: All objects in it and below.
        undated: Tells of a key if it is such a file without a date in its name; it is dated as its object is.
    """
    listing = _SourceListing.of(objects, files.names, other_names, undated)
    return _Tick(instance, files, job_name, url, listing).found()


@dataclass(slots=True)
class _SourceListing:
    """The files in the folder and below, by name. Of two with one name the one that is higher up counts."""

    files: dict[str, tuple[date, StoredObject]] = field(default_factory=dict)
    objects: int = 0
    of_others: int = 0
    ignored: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    """The reason why each file that two patterns fit is left alone."""

    @classmethod
    def of(
        cls,
        objects: Iterable[StoredObject],
        names: FileNames,
        other_names: FileNames,
        undated: Callable[[str], bool] = lambda _: False,
    ) -> _SourceListing:
        listing, either = cls(), FileNames(names.patterns + other_names.patterns)
        for each in objects:
            listing.objects += 1
            name = each.key.rpartition("/")[2]
            try:
                day = either.date_in(name) if _is_readable(each.key) else None
            except AmbiguousNameError as error:
                listing.ambiguous.append(str(error))
                continue
            if day is not None and names.date_in(name) is not None:
                listing._add(name, day, each)
            elif day is not None:
                listing.of_others += 1
            elif undated(each.key):
                listing._add(name, each.modified.date(), each)
            else:
                listing.ignored.append(each.key)
        return listing

    def _add(self, name: str, day: date, found: StoredObject) -> None:
        if name in self.files:
            other = self.files[name][1]
            first, second = sorted((other, found), key=lambda each: (each.key.count("/"), each.key))
            self.ambiguous.append(f"{second.key!r} has the name of {first.key!r}, which counts")
            found = first
        self.files[name] = (day, found)


def _is_readable(key: str) -> bool:
    """Return True unless stores refuse the key: it has a hidden folder, for example."""
    try:
        checked_key(key)
    except BadInputError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Tick:
    """An evaluation of the sensor."""

    instance: dg.DagsterInstance
    files: SourceFiles
    job_name: str
    url: str
    listing: _SourceListing

    def result(self, runs_a_tick: int) -> tuple[str, dg.SensorResult | None]:
        """Return a summary for operators, and the requests and records; `None` instead of these if there are none."""
        runs = self._latest_runs()
        needs = self.needs(runs)
        # Files that fail until a setting is mended come last, so that they keep no other file from its turn.
        waiting = [name for name, need in needs.items() if need in NEEDS_A_RUN]
        waiting.sort(key=lambda name: needs[name] is RunDecision.RETRY_IF_MENDED)
        chosen = waiting[:runs_a_tick]
        summary = self._summary(needs, len(chosen))
        if not chosen:
            return summary, None
        partitions = self.files.partitions_def()
        registered = set(self.instance.get_dynamic_partitions(str(partitions.name)))
        missing = [name for name in chosen if name not in registered]
        requests = {name: self._request(name, needs[name], runs.get(name)) for name in chosen}
        arrivals = [name for name in chosen if needs[name] is RunDecision.NEW_VERSION]
        return summary, dg.SensorResult(
            run_requests=list(requests.values()),
            asset_events=[self._arrival(name, requests[name].run_key) for name in arrivals],
            dynamic_partitions_requests=[partitions.build_add_request(missing)] if missing else [],
        )

    def needs(self, runs: Mapping[str, LatestRun]) -> dict[str, RunDecision]:
        """Return the need of each file, the oldest first."""
        in_order = sorted(self.listing.files, key=lambda name: (self.listing.files[name][0], name))
        recorded = self.files.recorded(self.instance, in_order)
        never_launched = self._never_launched(recorded, runs)
        return {
            name: decide_run(
                self._version(name), recorded.get(name), runs.get(name), never_launched=name in never_launched
            )
            for name in in_order
        }

    def found(self) -> list[FoundFile]:
        """Return the files with their needs, the oldest first."""
        return [
            FoundFile(name, *self.listing.files[name], need) for name, need in self.needs(self._latest_runs()).items()
        ]

    def _request(self, name: str, decision: RunDecision, run: LatestRun | None) -> dg.RunRequest:
        # The previous run is in the key, so that no outcome blocks the next attempt, and a version can come back.
        key = f"{self._run_key(name)}-{short_hash(run.run_id if run else '')}"
        attempt = run.attempt + 1 if decision is RunDecision.RETRY and run is not None else 1
        # Without the partition's tag Dagster would look up each partition, which exists or is requested in this tick.
        return dg.RunRequest(run_key=key, partition_key=name, tags={PARTITION: name, ATTEMPT: str(attempt)})

    def _arrival(self, name: str, request: str | None) -> dg.AssetMaterialization:
        found = self.listing.files[name][1]
        url = join_url(self.url, found.key)
        return self.files.arrived(url, size=found.size, created=found.modified, version=found.version, request=request)

    def _version(self, name: str) -> str:
        return self.listing.files[name][1].version

    def _run_key(self, name: str) -> str:
        """Return the prefix of the run keys of this version of a file."""
        return f"{self.files.partitions}-{short_hash(f'{name} {self._version(name)}')}"

    def _never_launched(self, recorded: Mapping[str, str], runs: Mapping[str, LatestRun]) -> set[str]:
        """Return the files whose record asks for a run that was never launched."""
        tags = self.instance.get_run_tags([RUN_KEY], value_prefix=f"{self.files.partitions}-")
        launched = {key.rpartition("-")[0] for _, keys in tags for key in keys}
        suspicious = [
            name
            for name, version in recorded.items()
            if version == self._version(name) and name in runs and self._run_key(name) not in launched
        ]
        # A file that was recorded by hand, or ingested by a command, has no such request.
        return self.files.asking(self.instance, suspicious) if suspicious else set()

    def _latest_runs(self) -> dict[str, LatestRun]:
        """Return the latest run of each file in the bucket that has one."""
        of_job = self.instance.get_run_partition_data(dg.RunsFilter(job_name=self.job_name))
        latest = {run.partition: run for run in of_job if run.partition in self.listing.files}
        # An abandoned run counts as failed.
        unsuccessful = [
            run.run_id
            for run in latest.values()
            if run.status not in {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
            and not is_under_way(run.status, run.start_time)
        ]
        tags = _tags_of_runs(self.instance, unsuccessful)
        permanent = self.files.location.permanent_failure
        return {
            name: LatestRun(
                run.run_id,
                _outcome(run.status, tags.get(run.run_id), permanent),
                int(tags.get(run.run_id, {}).get(ATTEMPT, "1")),
                (time.time() - run.end_time) / 3600 if run.end_time else 0.0,
            )
            for name, run in latest.items()
        }

    def _summary(self, needs: Mapping[str, RunDecision], requested: int) -> str:
        listing = self.listing
        counts = Counter(needs.values())
        parts = [f"{counts[each]:,} {each.value}" for each in RunDecision if counts[each]]
        waiting = sum(counts[each] for each in NEEDS_A_RUN) - requested
        seen = f"{len(needs):,} files in {self.url}" + (f": {', '.join(parts)}" if parts else "")
        asked = f"{requested} runs requested" + (f", {waiting:,} left for the next tick" if waiting else "")
        beside = [f"{listing.of_others:,} of another sensor"] if listing.of_others else []
        if listing.ignored:
            names = ", ".join(first_and_more(list(map(repr, sorted(listing.ignored)))))
            beside.append(f"{len(listing.ignored):,} ignored for their names: {names}")
        beside += listing.ambiguous[:1]
        if len(listing.ambiguous) > 1:
            beside.append(f"and {len(listing.ambiguous) - 1:,} more such names")
        return ". ".join([seen, asked, *([f"Beside them {', '.join(beside)}"] if beside else [])])


_FAILURES = {PERMANENT: RunOutcome.FAILED_PERMANENTLY, UNTIL_MENDED: RunOutcome.FAILED_UNTIL_MENDED}


def _outcome(status: dg.DagsterRunStatus, tags: Mapping[str, str] | None, permanent: str) -> RunOutcome:
    match status:
        case dg.DagsterRunStatus.SUCCESS:
            return RunOutcome.SUCCEEDED
        case dg.DagsterRunStatus.CANCELED:
            return RunOutcome.CANCELED
        case _ if tags is None or (tags.get(WILL_RETRY) == "true" and RETRIED_BY not in tags):
            return RunOutcome.UNDER_WAY
        case _:
            return _FAILURES.get(tags.get(permanent, ""), RunOutcome.FAILED)


def _tags_of_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> dict[str, Mapping[str, str]]:
    if not run_ids:
        return {}
    return {run.run_id: run.tags for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids))}
