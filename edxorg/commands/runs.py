"""Running the location's jobs from the command line, on an instance that the UI can show."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import click

from edxorg.commands.homes import SECONDS_BETWEEN_LOOKS, tags_of_this_command
from edxorg.lib.progress import current_observer
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.addresses import decoded
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError
from ol_orchestrate.lib.stores import StoreAccess, join_url, open_store, split_url
from ol_orchestrate.lib.stores.base import checked_key

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator

    import dagster as dg

    from edxorg.assets.source_files import SourceFiles
    from edxorg.lib.progress import RunObserver
    from edxorg.lib.settings import FileNames


QUIET: Any = {
    "raise_on_error": False,
    "run_config": {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
}
"""How jobs are run from here: what they log stays in the instance, and a failure is said in a line."""


class SourceUrl(NamedTuple):
    """A file to be ingested.

    Attributes:
        folder: The URL of its folder.
        name: Its name there.
        named: The partition's key and the date, if a call tells them and not the name.
    """

    folder: str
    name: str
    named: tuple[str, dt.date] | None = None

    @property
    def url(self) -> str:
        """The whole."""
        return join_url(self.folder, self.name)


def as_url(place: str) -> str:
    """A URL as it is; a path of this machine as a `file://` URL.

    Raises:
        click.UsageError: It is a URL of no store.
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
    """Refuse a path that was meant for a URL, if that holds credentials: `user:password@host`, or a URL in quotes.

    Raises:
        BadInputError: It does; the message does not repeat it.
    """
    if re.search(r"[:/][^/@]+:[^@]*@|^[^/]*:[^@]*@", decoded(place)):
        raise BadInputError(
            "the name of a file looks like a URL with a user and a password, and is refused, as names are shown and "
            "stored. Write the URL without them and without quotes; for such a file, name its folder in a file:// URL"
        )


def source_urls(places: tuple[str, ...], names: FileNames | None) -> list[SourceUrl]:
    """The files that a call names.

    Raises:
        click.UsageError: A name fits no pattern, a URL is none of a store, or two files have one name.
    """
    sources = [SourceUrl(f"{folder}/", name) for folder, _, name in (as_url(each).rpartition("/") for each in places)]
    for source, place in zip(sources, places, strict=True):
        if not source.name:
            raise click.UsageError(f"{place!r} is a folder: name a file in it")
        if names is not None and names.date_in(source.name) is None:
            raise click.UsageError(
                f"{source.name!r} is not named like {names.example}: say what it is with --date and --name"
            )
    _refuse_twice(sources)
    return sources


def named_source_urls(
    places: tuple[str, ...], names: FileNames, day: dt.datetime | None, name: str | None
) -> list[SourceUrl]:
    """The files that a call names, with what it tells of them.

    Args:
        places: Their URLs.
        names: How files of this kind are named.
        day: The date of a file whose name does not tell it.
        name: The name to give it.

    Raises:
        click.UsageError: As with `source_urls`, or what is told does not fit together.
    """
    if day is None and name is None:
        return source_urls(places, names)
    if len(places) > 1:
        raise click.UsageError("--date and --name are for one file: name one")
    (source,) = source_urls(places, None)
    said = day.date() if day else None
    if name is None and names.date_in(source.name):
        name = source.name
    if name is None and said:
        name = names.name_of(said)
    if name is None:
        raise click.UsageError("--date alone does not tell what to call the file: give --name, too")
    try:
        in_name = names.date_in(checked_key(name))
    except BadInputError as error:
        raise click.UsageError(str(error)) from None
    if "/" in name:
        raise click.UsageError(f"--name {name!r} has a slash: it is the name of a file")
    if said and in_name and said != in_name:
        raise click.UsageError(f"--date {said} is not that of {name!r}: leave it out, or correct one of them")
    if (date := said or in_name) is None:
        raise click.UsageError(f"{name!r} is not named like {names.example}: give its --date, too")
    return [source._replace(named=(name, date))]


def _refuse_twice(sources: list[SourceUrl]) -> None:
    twice = {source.name for source in sources if sum(source.name == other.name for other in sources) > 1}
    if twice:
        raise click.UsageError(f"{', '.join(sorted(twice))}: files of one name are one partition; name one of them")


def settings_for(landing_zone: str | None) -> Settings:
    """The settings, with another landing zone if one is given."""
    return Settings() if landing_zone is None else Settings(landing_zone_url=as_url(landing_zone))


def source_access(settings: Settings) -> StoreAccess:
    """How to get at files that a call names; Dagster's resources find a service account in Vault as well."""
    return StoreAccess(unsigned=settings.archive_is_public, aws_profile=settings.archive_profile)


def register(instance: dg.DagsterInstance, files: SourceFiles, source: SourceUrl, access: StoreAccess) -> str:
    """Make a file known to Dagster; return its partition key.

    Raises:
        click.UsageError: There is no such file.
    """
    from edxorg.assets.source_files import NamedFile  # noqa: PLC0415 - loads Dagster

    try:
        info = open_store(source.folder, access).read(source.name).info
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None
    return files.register(instance, info, NamedFile(*source.named) if source.named else None)


def run_job(job: dg.JobDefinition, instance: dg.DagsterInstance, partition: str | None = None) -> list[str]:
    """Run a job in this process; return why it failed, one reason for each step that did."""
    run, tags = str(uuid4()), tags_of_this_command()
    with _when_there_is_room(instance, run, job.graph.pools, current_observer()):
        return _reasons(
            job.execute_in_process(instance=instance, partition_key=partition, run_id=run, tags=tags, **QUIET)
        )


def materialize_downstream(defs: dg.Definitions, instance: dg.DagsterInstance, asset: str, partition: str) -> list[str]:
    """Run what is made directly of an asset, for one partition; return why it failed."""
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
    """Wait until pools have room before a run begins, and tell its observer of that and of any waiting of its own.

    A run that waits by itself takes a whole processor for it, so it shall only where another one was faster.
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
            # Whatever failed, such as a database that is busy, is tried again.
            with suppress(Exception):
                look(run)

    while look(None):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    ended = threading.Event()
    looks = threading.Thread(target=keep_looking, name="waiting")
    looks.start()
    try:
        yield
    finally:
        ended.set()
        looks.join()


def _why_it_waits(instance: dg.DagsterInstance, pools: Collection[str], run: str | None) -> str | None:
    """The reason for which a run waits, or without one, for which it would if it began now."""
    for pool in pools:
        info = instance.event_log_storage.get_concurrency_info(pool)
        is_full = info.limit is not None and len(info.claimed_slots) >= info.limit
        if run in info.pending_run_ids if run else is_full:
            holders = ", ".join(f"run {each}" for each in sorted(info.active_run_ids))
            return f"waits for {holders or 'another run'}, as the pool {pool} is full"
    return None


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    reasons = []
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        reasons.append(failure.description if failure and failure.description else str(data.error_display_string))
    if not result.success and not reasons:
        reasons = ["the run failed before its first step"]
    return reasons
