"""Running the location's jobs from the command line, on an instance that the UI can show."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edxorg.commands.homes import tags_of_this_command
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.addresses import decoded
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError
from ol_orchestrate.lib.stores import join_url, open_store, split_url

if TYPE_CHECKING:
    import dagster as dg

    from edxorg.components.source_files import SourceFiles
    from edxorg.lib.settings import DatedFileName


QUIET: Any = {
    "raise_on_error": False,
    "run_config": {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
}
"""How jobs are run from here: what they log stays in the instance, and a failure is said in a line."""


class SourceUrl(NamedTuple):
    """A file to be ingested."""

    folder: str
    name: str

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


def source_urls(places: tuple[str, ...], names: DatedFileName | None) -> list[SourceUrl]:
    """The files that a call names.

    Raises:
        click.UsageError: A name fits no pattern, a URL is none of a store, or two files have one name.
    """
    sources = [SourceUrl(f"{folder}/", name) for folder, _, name in (as_url(each).rpartition("/") for each in places)]
    for source, place in zip(sources, places, strict=True):
        if not source.name:
            raise click.UsageError(f"{place!r} is a folder: name a file in it")
        if names is not None and names.date_in(source.name) is None:
            raise click.UsageError(f"{source.name!r} is not named like {names.example}: rename the file")
    twice = {source.name for source in sources if sum(source.name == other.name for other in sources) > 1}
    if twice:
        raise click.UsageError(f"{', '.join(sorted(twice))}: files of one name are one partition; name one of them")
    return sources


def settings_for(landing_zone: str | None) -> Settings:
    """The settings of the environment, with another landing zone if one is given."""
    settings = Settings.from_environ(os.environ)
    if landing_zone is None:
        return settings
    return replace(settings, landing_zone_url=as_url(landing_zone).rstrip("/"))


def register(instance: dg.DagsterInstance, files: SourceFiles, source: SourceUrl) -> str:
    """Make a file known to Dagster; return its partition key.

    Raises:
        click.UsageError: There is no such file.
    """
    try:
        info = open_store(source.folder).read(source.name).info
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None
    return files.register(instance, info)


def run_job(job: dg.JobDefinition, instance: dg.DagsterInstance, partition: str | None = None) -> list[str]:
    """Run a job in this process; return why it failed, one reason for each step that did."""
    tags = tags_of_this_command()
    return _reasons(job.execute_in_process(instance=instance, partition_key=partition, tags=tags, **QUIET))


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


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    reasons = []
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        reasons.append(failure.description if failure and failure.description else str(data.error_display_string))
    if not result.success and not reasons:
        reasons = ["the run failed before its first step"]
    return reasons
