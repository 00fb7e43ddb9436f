"""`edxorg reload`: history comes in again, oldest first."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import click
from rich.table import Table

from edxorg.commands import console, homes, runs
from edxorg.commands.places import Period, period_options
from edxorg.jobs import max_runtime
from edxorg.lib.job_names import ARCHIVE_JOB, LOG_JOB
from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML, SOURCE
from edxorg.lib.progress import observed_by
from ol_orchestrate import long_tags
from ol_orchestrate.dagster_tags import PARTITION
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.record_tags import DATA_VERSION
from ol_orchestrate.lib.stores import join_url, open_store
from ol_orchestrate.lib.versions import short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    import dagster as dg

    from edxorg.lib.settings import Settings

TABLES, LOGS, CONTENT = KINDS = ("tables", "logs", "content")

RELOAD = f"{SOURCE}/reload"
"""Tag of the runs of a reload: a name that all of them share."""

Work = tuple[str, str, "tuple[dg.AssetKey, ...]"]
"""A kind, a file or a course, and the assets that are made of a course: the least of what runs do."""

Done = dict[Work, str]
"""A hash of the version in which each was done."""

VERSIONS = f"{RELOAD}_versions"
"""Tags, as `long_tags` writes them, with a hash of the version of the file, or of each course, that a run is for."""

RUNS_MEASURED = 20
"""Latest successful runs of a kind from which its speed is taken."""

RECORDS_AT_ONCE = 100
"""Observations of archives that are read in one query, to find the records of reloads among them."""


@click.command()
@period_options
@click.option("--only", type=click.Choice(KINDS), help="Only archives, only tracking logs, or only course content.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it takes, and do nothing.")
@click.option("--landing-zone", metavar="URL", help="Where to: s3://bucket/prefix, gs://bucket/prefix or a folder.")
def command(*, period: Period, only: str | None, dry_run: bool, landing_zone: str | None) -> None:
    """Bring history in again, the oldest first: archives, tracking logs, and what is made of courses.

    Takes the files at EDXORG_ARCHIVE_URL and EDXORG_TRACKING_LOG_URL, in this process, one after the other. What is
    there and recorded already is not written again. A reload that is stopped or killed goes on where it was if it is
    started again with the same options and settings. Dagster keeps a record of its start and its end, on the asset of
    archives.
    """
    if None in period:
        raise click.UsageError("say which days: --from and --to")
    settings = runs.settings_for(landing_zone)
    with homes.dagster_instance() as instance:
        with console.loading("Looking for the files"):
            reload = _Reload(instance, settings, period, only)
            files = reload.files()
            courses = reload.courses() if dry_run or not files else []
        if not files and not courses:
            click.echo("There is nothing of these days")
            return
        if dry_run:
            _show([*files, *courses], {kind: reload.rate(kind) for kind in KINDS})
            return
        runs.check_landing_zone(settings)
        runs.make_landing_zone(settings)
        failed = reload.run(files)
    sys.exit(1 if failed else 0)


class Piece(NamedTuple):
    """A run of a reload.

    Attributes:
        kind: One of `KINDS`.
        name: The partition: the name of a file, or the first course.
        size: The bytes of a file, or the number of courses.
        versions: A hash of the version of the file, or of each course.
        url: The URL of a file.
        courses: All partitions, if they are courses.
        assets: What is made of these.
    """

    kind: str
    name: str
    size: int
    versions: tuple[str, ...]
    url: str = ""
    courses: tuple[str, ...] = ()
    assets: tuple[dg.AssetKey, ...] = ()

    @property
    def does(self) -> Done:
        """All that is done once it has ended."""
        return _done(self.kind, self.courses or [self.name], self.versions, self.assets)


class Rate(NamedTuple):
    """The speed of a kind, as measured in a Dagster instance.

    Attributes:
        runs: The number of runs that were measured.
        seconds: Seconds for each byte or course.
        events: Materializations for each byte or course.
    """

    runs: int
    seconds: float
    events: float


class _Reload:
    """All runs of a reload, and its records."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, period: Period, only: str | None) -> None:
        from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs  # noqa: PLC0415 - loads Dagster
        from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415

        self._instance = instance
        self._settings = settings
        self._period = period
        self._kinds = (only,) if only else KINDS
        self._definitions = build_definitions(settings)
        self._files = {TABLES: raw_data_archives(settings), LOGS: raw_tracking_logs(settings)}
        location = self._files[TABLES].location
        self._location = location
        self._jobs = {
            TABLES: location.of(ARCHIVE_JOB),
            LOGS: location.of(LOG_JOB),
            CONTENT: "__ASSET_JOB",
        }

    def files(self) -> list[Piece]:
        """Return the runs of files, by date."""
        dated = [each for kind in (TABLES, LOGS) if kind in self._kinds for each in self._of_files(kind)]
        return [piece for _, piece in sorted(dated, key=lambda each: each[0])]

    def courses(self, done: Done | None = None) -> list[Piece]:
        """Return the runs of courses, as far as these are recorded now and not done."""
        return list(self._of_courses(done or {})) if CONTENT in self._kinds else []

    def _of_files(self, kind: str) -> Iterator[tuple[date, Piece]]:
        from edxorg.sensors.object_storage import files_at  # noqa: PLC0415 - loads Dagster

        settings, files = self._settings, self._files[kind]
        url, other_names = settings.archive_url, settings.tracking_log_name
        if kind == LOGS:
            url, other_names = settings.logs_url, settings.archive_name
        if not url:
            raise click.UsageError("there is no source to take history from: set EDXORG_ARCHIVE_URL")
        objects = open_store(url, runs.access(url, settings)).list()
        job = self._jobs[kind]
        for found in files_at(self._instance, files, job, url, objects, other_names, undated=lambda _: False):
            if self._period.has(found.day):
                versions = (short_hash(found.stored.version),)
                yield found.day, Piece(kind, found.name, found.stored.size, versions, join_url(url, found.stored.key))

    def _of_courses(self, done: Done) -> Iterator[Piece]:
        """Yield runs of the courses whose recorded file is of these days, and not done."""
        from ol_orchestrate.landing.records import latest_tags  # noqa: PLC0415 - loads Dagster

        graph = self._definitions.resolve_asset_graph()
        day_tag = self._location.tags.source_date
        since, until = (day.isoformat() if day else "" for day in self._period)
        for made_of in (COURSE_STRUCTURE, COURSE_XML):
            upstream = self._location.key(made_of)
            tags = latest_tags(self._instance, upstream)
            versions = {
                course: short_hash(tag.get(DATA_VERSION, ""))
                for course, tag in sorted(tags.items())
                if since <= tag.get(day_tag, "") <= until
            }
            group = self._location.group("course_content")
            assets = tuple(sorted(key for key in graph.get(upstream).child_keys if graph.get(key).group_name == group))
            left = [each for each in versions.items() if done.get((CONTENT, each[0], assets)) != each[1]]
            for some in batched(left, self._settings.courses_a_run):
                courses, of_courses = zip(*some, strict=True)
                yield Piece(CONTENT, courses[0], len(some), of_courses, courses=courses, assets=assets)

    def rate(self, kind: str) -> Rate:
        """Return the speed of the latest successful runs of a kind."""
        import dagster as dg  # noqa: PLC0415

        filters = dg.RunsFilter(job_name=self._jobs[kind], statuses=[dg.DagsterRunStatus.SUCCESS])
        records = self._instance.get_run_records(filters, limit=RUNS_MEASURED)
        seconds = size = events = measured = 0.0
        for record in records:
            of_run = self._size(kind, record.dagster_run)
            if of_run and record.start_time and record.end_time:
                measured += 1
                size += of_run
                seconds += record.end_time - record.start_time
                events += self._instance.get_run_stats(record.dagster_run.run_id).materializations
        return Rate(int(measured), seconds / size, events / size) if size else Rate(0, 0, 0)

    def _size(self, kind: str, run: dg.DagsterRun) -> int:
        """Return the bytes or courses that a run had; 0 if they are not known."""
        partition = run.tags.get(PARTITION)
        if partition is None:
            return 0
        if kind == CONTENT:
            group = self._location.key(f"{SOURCE}/processed_data").path[:2]
            selected = [key for key in run.asset_selection or () if list(key.path[:2]) == list(group)]
            return len(_courses_of(run)) if selected else 0
        from ol_orchestrate.landing.records import latest_materialization  # noqa: PLC0415 - loads Dagster

        record = latest_materialization(self._instance, self._files[kind].key(), partition)
        recorded = record.asset_materialization if record else None
        return int(str(recorded.metadata["size"].value)) if recorded and "size" in recorded.metadata else 0

    def run(self, files: Sequence[Piece]) -> int:
        """Run all that an earlier attempt has not done; return the number of those that failed."""
        name, done = self._name()
        start = time.monotonic()
        failed = self._run_all(files, name, done)
        failed += self._run_all(self.courses(done), name, done)
        ended = {"ended": True, "seconds": time.monotonic() - start, "failed": failed}
        self._record({"reload": name, **ended, "done_before": len(done)})
        return len(failed)

    def _run_all(self, pieces: Sequence[Piece], name: str, done: Done) -> list[str]:
        """Run pieces one after the other; return the names of those that failed."""
        failed = []
        for number, piece in enumerate(pieces, 1):
            if piece.does.items() <= done.items():
                continue
            with console.progress_bar(piece.name, piece.size if piece.url else None) as bar, observed_by(bar):
                reasons = self._run(piece, name)
            click.echo(f"{number:,} of {len(pieces):,}: {piece.kind}, {piece.name}{', failed' if reasons else ''}")
            for reason in reasons:
                click.echo(f"Error: {reason}", err=True)
            if reasons:
                failed.append(piece.name)
        return failed

    def _run(self, piece: Piece, name: str) -> list[str]:
        from ol_orchestrate.landing.course_outputs import tags_of_courses  # noqa: PLC0415 - loads Dagster

        if piece.courses:
            job = self._definitions.resolve_implicit_global_asset_job_def()
            tags = _tags(name, piece.versions) | tags_of_courses(piece.courses[1:]) | max_runtime.OTHERS
            return runs.run_job(job, self._instance, piece.name, tags=tags, assets=piece.assets)
        folder, _, file = piece.url.rpartition("/")
        source = runs.SourceUrl(f"{folder}/", file)
        info = runs.open_source(source, self._settings).info
        job = self._definitions.resolve_job_def(self._jobs[piece.kind])
        tags = _tags(name, [short_hash(info.version)])
        return runs.run_for_file(job, self._instance, self._files[piece.kind], source, info, tags=tags)

    def _name(self) -> tuple[str, Done]:
        """Return the name of this reload, and what was done under it before it was stopped."""
        import dagster as dg  # noqa: PLC0415

        options = self._options()
        ended = set()
        for about in self._records():
            ended |= {about["reload"]} if about.get("ended") else set()
            if about.get("options") == options:  # the latest one with these options
                if about["reload"] in ended:
                    break
                latest_first = self._instance.get_runs(
                    dg.RunsFilter(tags={RELOAD: about["reload"]}, statuses=[dg.DagsterRunStatus.SUCCESS])
                )
                done: Done = {}
                for run in reversed(latest_first):
                    done |= self._done_by(run)
                return about["reload"], done
        name = uuid4().hex
        since, until = self._period
        about = {"from": str(since), "to": str(until), "only": ", ".join(self._kinds)}
        self._record({"reload": name, "options": options, **about})
        return name, {}

    def _options(self) -> str:
        """Return a hash of all that decides what comes out: with a newer parser or another source, a reload is another.

        The size of a run is not among it.
        """
        settings, graph = self._settings, self._definitions.resolve_asset_graph()
        places = (settings.archive_url, settings.logs_url, settings.landing_zone_url)
        made = (settings.courses, settings.escapes, settings.row_hash)
        code = sorted((key.to_user_string(), graph.get(key).code_version) for key in graph.get_all_asset_keys())
        return short_hash(f"{self._period} {self._kinds} {places} {made} {code}")

    def _done_by(self, run: dg.DagsterRun) -> Done:
        kind = next(kind for kind, job in self._jobs.items() if job == run.job_name)
        assets = tuple(sorted(run.asset_selection or ())) if kind == CONTENT else ()
        return _done(kind, _courses_of(run), long_tags.joined(VERSIONS, run.tags), assets)

    def _records(self) -> Iterator[dict[str, Any]]:
        """Yield what is recorded of reloads, the latest first. Each archive leaves observations among them."""
        cursor, has_more = None, True
        while has_more:
            page = self._instance.fetch_observations(self._files[TABLES].key(), limit=RECORDS_AT_ONCE, cursor=cursor)
            for observation in (record.asset_observation for record in page.records):
                if observation is not None and "reload" in observation.metadata:
                    yield {name: value.value for name, value in observation.metadata.items()}
            cursor, has_more = page.cursor, page.has_more

    def _record(self, about: dict[str, Any]) -> None:
        import dagster as dg  # noqa: PLC0415

        self._instance.report_runless_asset_event(dg.AssetObservation(self._files[TABLES].key(), metadata=about))


def _done(kind: str, names: Sequence[str], versions: Sequence[str], assets: tuple[dg.AssetKey, ...]) -> Done:
    return {(kind, name, assets): version for name, version in zip(names, versions, strict=True)}


def _tags(name: str, versions: Sequence[str]) -> dict[str, str]:
    """Return the tags of a run of a reload of that name."""
    return {RELOAD: name, **long_tags.split(VERSIONS, list(versions))}


def _courses_of(run: dg.DagsterRun) -> list[str]:
    from ol_orchestrate.landing.course_outputs import more_courses  # noqa: PLC0415 - loads Dagster

    return [run.tags[PARTITION], *more_courses(run.tags)]


def _show(pieces: Sequence[Piece], rates: dict[str, Rate]) -> None:
    """Print what a reload would do, and how long it would take."""
    table = Table("what", box=None, pad_edge=False)
    for name in ("runs", "GB", "courses", "events", "hours", "measured in"):
        table.add_column(name, justify="right")
    for kind in KINDS:
        of_kind = [piece for piece in pieces if piece.kind == kind]
        if not of_kind:
            continue
        size, rate = sum(piece.size for piece in of_kind), rates[kind]
        sizes = ("", f"{size:,}") if kind == CONTENT else (f"{size / 1e9:,.2f}", "")
        known = (f"{size * rate.events:,.0f}", f"{size * rate.seconds / 3600:,.2f}") if rate.runs else ("?", "?")
        table.add_row(kind, f"{len(of_kind):,}", *sizes, *known, f"{rate.runs} runs")
    console.out.print(table)
    if any(not rates[piece.kind].runs for piece in pieces):
        click.echo("?: no run of this kind is recorded here yet, so its speed is not known")
