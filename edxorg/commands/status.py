"""`edxorg status`: what came in last, what failed, and what waits."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edxorg.commands import console, homes
from edxorg.commands.list import KINDS, files_at_source, objects_in
from edxorg.lib.job_names import ARCHIVE_JOB, CATALOGUE_JOB, LOG_JOB, REPORTS_JOB
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.errors import PipelineError, ServiceError
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.time_limit import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dagster as dg

    from edxorg.source_files import SourceFiles
    from ol_orchestrate.failed_partitions import FailedPartition
    from ol_orchestrate.lib.stores import StoredObject


SECONDS_FOR_THE_SOURCE = 15
"""The time after which a source that has not answered is left out."""

ARCHIVES, LOGS = "archives", "tracking logs"
"""Names of the parts that come from files at the source."""

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
"""Dagster's names of the states of runs that are over."""


class Part(NamedTuple):
    """The state of a part of the location.

    Attributes:
        name: Its name for the user.
        last: The file, course or job that came in last, and when its run ended; `None` if nothing has.
        failed: Name, reason and run of each whose latest run failed or was canceled.
        waiting: Names of those that have never had a run.
        under_way: Names of those whose run is queued or goes on.
        none: The text in place of the last one, if there is none.
    """

    name: str
    last: tuple[str, datetime] | None
    failed: list[FailedPartition]
    waiting: list[str]
    under_way: list[str]
    none: str = "nothing has come in"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "part": self.name,
            "last": {"name": self.last[0], "ended": self.last[1].isoformat()} if self.last else None,
            "failed": [{"name": each.partition, "why": each.why, "run": each.run_id} for each in self.failed],
            "waiting": self.waiting,
            "under_way": self.under_way,
        }

    def lines(self) -> Iterator[str]:
        """Yield the status as lines for a terminal."""
        last = f"{self.last[0]}, {self.last[1]:%Y-%m-%d %H:%M} UTC" if self.last else self.none
        yield f"{self.name}: {last}"
        for title, names in (
            ("failed", [f"{each.partition}: {each.why}" for each in self.failed]),
            ("waits for a run", self.waiting),
            ("under way", self.under_way),
        ):
            for each in first_and_more(names, console.LISTED):
                yield f"  {title}: {each}".replace("\n", "\n    ")


class AtSource(NamedTuple):
    """The files at the source that are new, or were published again, by part; or why nothing is known of them."""

    files: dict[str, list[str]]
    problem: str | None = None

    def lines(self, part: str) -> Iterator[str]:
        """Yield the files of a part as lines for a terminal."""
        for name in first_and_more(self.files.get(part, []), console.LISTED):
            yield f"  waits at the source: {name}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> None:
    """Show what came in last, what failed, and what waits.

    Looks into the Dagster instance of DAGSTER_HOME, and for a few seconds into EDXORG_ARCHIVE_URL and
    EDXORG_TRACKING_LOG_URL, if they are set up; `edxorg list --missing` takes its time for them. Starts nothing. Exit
    code 1 if the latest run of anything failed, or DAGSTER_HOME names a folder that is not there.
    """
    settings = Settings()
    home = homes.given_home()
    parts, at_source = [], AtSource({})
    has_run, has_source = homes.is_made(home), settings.archive_source_configured or settings.tracking_log_url
    if has_run or has_source:
        with console.loading("Starting Dagster"):
            import dagster as dg  # noqa: F401, PLC0415 - seconds
        with homes.instance_to_read() as instance:
            if has_run:
                with console.err.status("Looking at the runs …"):
                    parts = list(_parts(instance, settings))
            if has_source:
                with console.err.status("Looking at the source …"):
                    at_source = _at_source(instance, settings)
    if as_json:
        parts_as_json = [part.as_json() for part in parts]
        about = {"parts": parts_as_json, "at_source": at_source.files, "source_problem": at_source.problem}
        click.echo(json.dumps({"dagster_home": str(home), **about}))
    else:
        _show(str(home), parts, at_source)
    sys.exit(1 if any(part.failed for part in parts) else 0)


def _show(home: str, parts: list[Part], at_source: AtSource) -> None:
    if not parts:
        click.echo(
            f"Nothing has run yet: {home} is empty. `edxorg ingest archive FILE` brings in a file; DAGSTER_HOME names "
            "another instance"
        )
        for name in at_source.files:
            click.echo("\n".join([f"{name}:", *at_source.lines(name)]))
    else:
        click.echo(f"Dagster home: {home}")
        for part in parts:
            click.echo("\n".join([*part.lines(), *at_source.lines(part.name)]))
    if at_source.problem:
        click.echo(f"The source is not known: {at_source.problem}")


def _at_source(instance: dg.DagsterInstance, settings: Settings) -> AtSource:
    """Look for files that have not come in, for a few seconds."""
    from edxorg.sensors.run_decision import RunDecision  # noqa: PLC0415 - loads Dagster

    until = time.monotonic() + SECONDS_FOR_THE_SOURCE
    listings: dict[str, list[StoredObject]] = {}

    def listed(place: str, settings: Settings) -> list[StoredObject]:
        if place not in listings:
            listings[place] = _in_time(place, lambda: list(objects_in(place, settings)), until - time.monotonic())
        return listings[place]

    files: dict[str, list[str]] = {}
    try:
        kinds = KINDS if settings.archive_url else ("log",)
        for kind, _, found in files_at_source(settings, instance, kinds, listed):
            if found.need is RunDecision.NEW_VERSION:
                files.setdefault(LOGS if kind == "log" else ARCHIVES, []).append(found.name)
    except PipelineError as error:
        return AtSource(files, str(error))
    empty = [place for place, objects in listings.items() if not objects]
    return AtSource(files, f"{', '.join(empty)} has no files, or is not there" if empty else None)


def _in_time(place: str, work: Callable[[], list[StoredObject]], seconds: float) -> list[StoredObject]:
    """List a folder, unless it takes too long.

    Raises:
        PipelineError: The work raised it, or took too long.
    """
    try:
        return within(seconds, work)
    except TimeoutError:
        raise ServiceError(
            f"{place}: it was not listed within {SECONDS_FOR_THE_SOURCE} s. `edxorg list --missing` takes its time"
        ) from None


def _parts(instance: dg.DagsterInstance, settings: Settings) -> Iterator[Part]:
    from edxorg.assets.course_content import course_structure_rows  # noqa: PLC0415 - these load Dagster
    from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs  # noqa: PLC0415
    from edxorg.assets.tracking_logs import normalize_edxorg_tracking_log  # noqa: PLC0415
    from edxorg.location import location_names  # noqa: PLC0415
    from edxorg.ops.ingest_archive import ARCHIVE_STEP  # noqa: PLC0415
    from ol_orchestrate.assets.openedx_course_archives import courserun_metadata  # noqa: PLC0415
    from ol_orchestrate.failed_partitions import failed_partitions  # noqa: PLC0415

    location = location_names(settings.name)
    archives, logs = raw_data_archives(settings), raw_tracking_logs(settings)
    log = normalize_edxorg_tracking_log(logs, settings)
    yield _files(instance, ARCHIVES, archives, location.of(ARCHIVE_JOB), location.of(ARCHIVE_STEP))
    of_logs = _files(instance, LOGS, logs, location.of(LOG_JOB), log.op.name)
    # A backfill has runs of many days, which are not among the runs of a day.
    yield of_logs._replace(waiting=sorted(set(of_logs.waiting) - instance.get_materialized_partitions(log.key)))
    for name, definition in (
        ("course structures", course_structure_rows(location)),
        ("course XML", courserun_metadata(location)),
    ):
        last, failed = _last_course(instance, definition), failed_partitions(instance, definition)
        yield Part(name, last, failed, [], [], none="no output has been made of one")
    yield _job(instance, "catalogue", location.of(CATALOGUE_JOB))
    yield _job(instance, "program reports", location.of(REPORTS_JOB))


def _files(instance: dg.DagsterInstance, name: str, files: SourceFiles, job: str, step: str) -> Part:
    """Return the state of files that have a run each."""
    import dagster as dg  # noqa: PLC0415

    from ol_orchestrate.failed_partitions import PartitionedJob, failed_partitions_of_job  # noqa: PLC0415

    runs = {run.partition: run for run in instance.get_run_partition_data(dg.RunsFilter(job_name=job))}
    came_in = [run for run in runs.values() if run.status is dg.DagsterRunStatus.SUCCESS]
    newest = max(came_in, key=lambda run: run.end_time or 0, default=None)
    not_well = failed_partitions_of_job(instance, PartitionedJob(job, step, files.key(), files.partitions_def()))
    return Part(
        name,
        (newest.partition, _time(newest.end_time)) if newest else None,
        [each for each in not_well if each.run_id is not None],
        [each.partition for each in not_well if each.run_id is None],
        sorted(run.partition for run in runs.values() if run.status.value not in ENDED),
    )


def _last_course(instance: dg.DagsterInstance, definition: dg.AssetsDefinition) -> tuple[str, datetime] | None:
    """Return the course whose content was recorded last."""
    records = [
        record
        for key in definition.keys
        for record in instance.fetch_materializations(key, limit=1).records
        if record.partition_key is not None
    ]
    last = max(records, key=lambda record: record.timestamp, default=None)
    return (str(last.partition_key), _time(last.timestamp)) if last else None


def _job(instance: dg.DagsterInstance, name: str, job: str) -> Part:
    """Return the state of a job whose runs have no partitions."""
    import dagster as dg  # noqa: PLC0415

    from ol_orchestrate.failed_partitions import FailedPartition  # noqa: PLC0415
    from ol_orchestrate.failures import failed_steps  # noqa: PLC0415

    latest = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)
    successes = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    success = next(iter(instance.get_run_records(successes, limit=1)), None)
    failed = []
    if latest and latest.dagster_run.status.value in ENDED - {"SUCCESS"}:
        why = "; ".join(failed_steps(latest.dagster_run).values()) or "the run was canceled or killed: run it again"
        failed.append(FailedPartition(job, latest.dagster_run.run_id, why))
    goes_on = latest is not None and latest.dagster_run.status.value not in ENDED
    return Part(name, (job, _time(success.end_time)) if success else None, failed, [], [job] if goes_on else [])


def _time(seconds: float | None) -> datetime:
    return datetime.fromtimestamp(seconds or 0, UTC)
