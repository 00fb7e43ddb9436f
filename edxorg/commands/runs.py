"""Runs the location's jobs from the command line, on an instance that the UI can show."""

from __future__ import annotations

import re
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import click

from edxorg.commands import console
from edxorg.commands.homes import SECONDS_BETWEEN_LOOKS, tags_of_this_command
from edxorg.commands.stopping import raise_if_requested
from edxorg.lib.object_keys import SOURCE
from edxorg.lib.progress import current_observer
from edxorg.lib.settings import Settings
from edxorg.lib.settings.file_names import is_requested_package
from ol_orchestrate.landing_zone import SOURCE_URL
from ol_orchestrate.lib.addresses import decoded
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError
from ol_orchestrate.lib.private_folders import locked, make_private
from ol_orchestrate.lib.stores import StoreAccess, join_url, open_store, split_url
from ol_orchestrate.lib.stores.base import checked_key
from ol_orchestrate.resources.service_account import ServiceAccount

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import dagster as dg

    from edxorg.lib.progress import RunObserver
    from edxorg.lib.settings import FileNames
    from edxorg.source_files import SourceFiles
    from ol_orchestrate.lib.stores import ObjectStore, SourceInfo, VerifiedReader


QUIET: Any = {
    "raise_on_error": False,
    "run_config": {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
}
"""Run config of all jobs: their logs stay in the instance, and a failure is reported in one line."""


class SourceUrl(NamedTuple):
    """A file to be ingested.

    Attributes:
        folder: The URL of its folder.
        name: Its name in the folder.
        named: The partition's key and the date, if the name does not tell them; without a date, the store tells it.
    """

    folder: str
    name: str
    named: tuple[str, dt.date | None] | None = None

    @property
    def url(self) -> str:
        """The URL of the file."""
        return join_url(self.folder, self.name)


def as_url(place: str) -> str:
    """Return a URL as it is, and a path of this machine as a `file://` URL.

    Raises:
        click.UsageError: No store has such URLs.
    """
    is_url = re.match(r"[a-z][a-z0-9+.-]*:/", place, re.IGNORECASE)
    url = place if is_url else f"file://{Path(place).expanduser().absolute()}"
    try:
        if not is_url:
            _refuse_url_in_path(place)
        split_url(url)
    except BadInputError as error:
        raise click.UsageError(str(error)) from None
    return url


def _refuse_url_in_path(place: str) -> None:
    """Refuse a path that was meant to be a URL with credentials: `user:password@host`, or a URL in quotes.

    Raises:
        BadInputError: The path is such a URL; the message does not repeat it.
    """
    if re.search(r"[:/][^/@]+:[^@]*@|^[^/]*:[^@]*@", decoded(place)):
        raise BadInputError(
            "the name of a file looks like a URL with a user and a password, and is refused, as names are shown and "
            "stored. Write the URL without them and without quotes; for such a file, name its folder in a file:// URL"
        )


def source_urls(places: tuple[str, ...]) -> list[SourceUrl]:
    """Return the files that the user named.

    Raises:
        click.UsageError: No store has such URLs, or two files have one name.
    """
    sources = [SourceUrl(f"{folder}/", name) for folder, _, name in (as_url(each).rpartition("/") for each in places)]
    for source, place in zip(sources, places, strict=True):
        if not source.name:
            raise click.UsageError(f"{place!r} is a folder: name a file in it")
    _refuse_twice(sources)
    return sources


def named_source_urls(
    places: tuple[str, ...],
    names: FileNames,
    day: dt.datetime | None,
    name: str | None,
    *,
    may_be_requested: bool = False,
) -> list[SourceUrl]:
    """Return the files that the user named, with the date and the name that the user gave.

    Args:
        places: URLs or paths.
        names: The naming scheme of files of this kind.
        day: The date of a file whose name does not tell it.
        name: The name to record the file under.
        may_be_requested: True for archives: a package that a partner has asked edX for has no date in its name, and is
            recorded under that name.

    Raises:
        click.UsageError: As with `source_urls`, or the date and the name contradict each other.
    """
    if day is None and name is None:
        return [_settled(source, names, may_be_requested=may_be_requested) for source in source_urls(places)]
    if len(places) > 1:
        raise click.UsageError("--date and --name are for one file: name one")
    (source,) = source_urls(places)
    given = day.date() if day else None
    is_requested = may_be_requested and is_requested_package(source.name)
    if name is None and (names.date_in(source.name) or is_requested):
        name = source.name
    if name is None and given:
        name = names.name_of(given)
    if name is None:
        raise click.UsageError("--date alone does not tell the name to record the file under: give --name, too")
    try:
        in_name = names.date_in(checked_key(name))
    except BadInputError as error:
        raise click.UsageError(str(error)) from None
    if "/" in name:
        raise click.UsageError(f"--name {name!r} has a slash: it is the name of a file")
    if given and in_name and given != in_name:
        raise click.UsageError(f"--date {given} is not that of {name!r}: leave it out, or correct one of them")
    if (date := given or in_name) is None:
        raise click.UsageError(f"{name!r} is not named like {names.example}: give its --date, too")
    return [source._replace(named=(name, date))]


def _settled(source: SourceUrl, names: FileNames, *, may_be_requested: bool) -> SourceUrl:
    """Return a file that the user gave without date and name.

    Raises:
        click.UsageError: Nothing tells its date.
    """
    if names.date_in(source.name) is not None:
        return source
    if not (may_be_requested and is_requested_package(source.name)):
        raise click.UsageError(
            f"{source.name!r} is not named like {names.example}: say what it is with --date and --name, or whose files "
            "these are with EDXORG_INSTITUTION"
        )
    if source.folder.startswith("file://"):
        # A copy on this machine is as old as the download, in many cases.
        raise click.UsageError(
            f"{source.name!r} is a package of one request, whose name has no date: give --date, the day on which edX "
            "made it, since of two packages the later one counts"
        )
    return source._replace(named=(source.name, None))


def _refuse_twice(sources: list[SourceUrl]) -> None:
    twice = {source.name for source in sources if sum(source.name == other.name for other in sources) > 1}
    if twice:
        raise click.UsageError(f"{', '.join(sorted(twice))}: files of one name are one partition; name one of them")


def settings_for(landing_zone: str | None, courses: Path | None = None) -> Settings:
    """Return the settings, with another landing zone and a file of courses if these are given."""
    given: dict[str, Any] = {}
    if landing_zone is not None:
        given["landing_zone_url"] = as_url(landing_zone)
    if courses is not None:
        given["courses"] = _patterns_in(courses)
    return Settings(**given)


def _patterns_in(courses: Path) -> str:
    """Return the names and patterns in a file of courses, without lines that are comments.

    Raises:
        click.UsageError: There are none, which would stand for all courses, or the file is no UTF-8.
    """
    try:
        lines = courses.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise click.UsageError(f"{courses}: this file is not UTF-8: save it as UTF-8") from None
    patterns = " ".join(line for line in lines if not line.lstrip().startswith("#"))
    if not patterns.replace(",", " ").strip():
        raise click.UsageError(f"{courses}: this file names no course: write one a line, or leave out --courses")
    return patterns


def open_source(source: SourceUrl, settings: Settings) -> VerifiedReader:
    """Open a file that the user named, with the credentials for archives and logs, and without loading Dagster.

    Raises:
        click.UsageError: There is no such file.
    """
    try:
        return open_store(source.folder, access(source.folder, settings)).read(source.name)
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None


def open_landing_zone(url: str, settings: Settings) -> ObjectStore:
    """Open a landing zone, with the credentials that runs have for it; this may read secrets."""
    return open_store(url, StoreAccess(google_service_account=_google_account(url, settings)))


def check_landing_zone(settings: Settings) -> None:
    """Find out whether a landing zone in a bucket can be used, before anything is loaded.

    Raises:
        click.UsageError: There is no such bucket.
        PipelineError: The settings or the credentials cannot be used.
    """
    if settings.landing_zone_url.startswith("file:"):
        return
    store = open_landing_zone(settings.landing_zone_url, settings)
    try:
        next(store.list(f"{SOURCE}/"), None)
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None


def make_landing_zone(settings: Settings) -> None:
    """Make a landing zone that is a folder, if it is missing.

    Raises:
        click.UsageError: It cannot be made.
    """
    scheme, _, path = split_url(settings.landing_zone_url)
    if scheme == "file":
        console.make_folder(Path(path), make_private)


def access(url: str, settings: Settings) -> StoreAccess:
    """Return the credentials for archives and logs at a URL; this may read secrets."""
    if settings.archive_is_public:
        return StoreAccess(unsigned=True)
    return StoreAccess(
        aws_profile=settings.archive_profile,
        aws_profile_setting="EDXORG_ARCHIVE_PROFILE",
        google_service_account=_google_account(url, settings),
    )


def _google_account(url: str, settings: Settings) -> dict[str, str] | None:
    account = ServiceAccount(settings.vault.client(), settings.google_secret_path)
    return account.fields() if url.startswith("gs://") else None


def run_for_file(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    files: SourceFiles,
    source: SourceUrl,
    info: SourceInfo,
    *,
    tags: Mapping[str, str] | None = None,
) -> list[str]:
    """Record a file in Dagster, and run a job for it; return the reasons of failures.

    Args:
        info: The store's description of the file.
        tags: Further tags of the run.
    """
    from edxorg.source_files import NamedFile  # noqa: PLC0415 - loads Dagster

    named = None
    if source.named:
        name, day = source.named
        if day is None:
            day = info.created.date()
            click.echo(f"{name}: it is taken as of {day}, when its store got it; --date says otherwise", err=True)
        named = NamedFile(name, day)
    partition = files.register(instance, info, named)
    return run_job(job, instance, partition, url=info.url, tags=tags)


def run_job(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    partition: str | None = None,
    *,
    url: str | None = None,
    tags: Mapping[str, str] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
) -> list[str]:
    """Run a job in this process; return the reasons of failures, one for each step that failed.

    Args:
        url: The URL that the run is to read, even if another command records another one of the same name meanwhile.
        tags: Further tags of the run.
        assets: The assets to make; by default all of the job.
    """
    from edxorg.jobs.run_tags import source_tag  # noqa: PLC0415 - loads Dagster

    of_url = {SOURCE_URL: url, **source_tag(url)} if url else {}
    run, tags = str(uuid4()), {**tags_of_this_command(), **of_url, **(tags or {})}
    with _when_there_is_room(instance, run, job.graph.pools, current_observer()):
        result = job.execute_in_process(
            instance=instance, partition_key=partition, run_id=run, tags=tags, asset_selection=assets, **QUIET
        )
    return _reasons(result)


def materialize_downstream(defs: dg.Definitions, instance: dg.DagsterInstance, asset: str, partition: str) -> list[str]:
    """Run the assets that depend directly on an asset, for one partition; return the reasons of failures."""
    from ol_orchestrate.asset_keys import asset_key  # noqa: PLC0415 - loads Dagster

    graph = defs.resolve_asset_graph()
    job = defs.resolve_implicit_global_asset_job_def()
    selection = list(graph.get(asset_key(asset)).child_keys)
    tags = tags_of_this_command()
    return _reasons(
        job.execute_in_process(
            instance=instance, partition_key=partition, asset_selection=selection, tags=tags, **QUIET
        )
    )


@contextmanager
def _when_there_is_room(
    instance: dg.DagsterInstance, run: str, pools: Collection[str], observer: RunObserver
) -> Iterator[None]:
    """Wait until pools have room before a run begins, and tell its observer of that and of the run's own waiting.

    A run that waits by itself takes a whole processor for it, so it does only if another run was faster. On SQLite, two
    runs that ask Dagster for the last slot at the same moment both get it, so the commands of a home ask one by one.
    """
    told: str | None = None

    def look(run: str | None) -> str | None:
        nonlocal told
        reason = _why_it_waits(instance, pools, run)
        if reason != told:
            observer.waiting(reason)
        told = reason
        return reason

    def keep_looking() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            # A failure, such as a busy database, is tried again.
            with suppress(Exception):
                look(run)
                if all(_has_asked(instance, pool, run) for pool in pools):
                    turn.close()

    if not pools:
        yield
        return
    home, ended = Path(instance.root_directory), threading.Event()
    with ExitStack() as turn:
        turn.enter_context(locked(home))
        while look(None):
            turn.close()
            time.sleep(SECONDS_BETWEEN_LOOKS)
            turn.enter_context(locked(home))
        looks = threading.Thread(target=keep_looking, name="waiting")
        looks.start()
        try:
            yield
        finally:
            ended.set()
            looks.join()


def _has_asked(instance: dg.DagsterInstance, pool: str, run: str) -> bool:
    """Return True if a run has a slot of a pool, or has queued for one."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    return run in info.active_run_ids | info.pending_run_ids


def _why_it_waits(instance: dg.DagsterInstance, pools: Collection[str], run: str | None) -> str | None:
    """Return the reason for which a run waits, or without a run, for which one would wait if it began now."""
    for pool in pools:
        info = instance.event_log_storage.get_concurrency_info(pool)
        is_full = info.limit is not None and len(info.claimed_slots) >= info.limit
        if run in info.pending_run_ids if run else is_full:
            holders = ", ".join(f"run {each}" for each in sorted(info.active_run_ids))
            return f"waits for {holders or 'another run'}, as the pool {pool} is full"
    return None


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    raise_if_requested()
    reasons = []
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        reasons.append(failure.description if failure and failure.description else str(data.error_display_string))
    if not result.success and not reasons:
        reasons = ["the run failed before its first step"]
    return reasons
