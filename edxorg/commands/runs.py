"""Running the location's jobs from the command line, on an instance that the UI can show."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edxorg.lib.settings import LOCAL_FOLDER, Settings
from ol_orchestrate.lib.stores import open_store, split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        return f"{self.folder}/{self.name}"


def as_url(place: str) -> str:
    """A URL as it is; a path of this machine as a `file://` URL."""
    return place if "://" in place else f"file://{Path(place).expanduser().absolute()}"


def source_urls(places: tuple[str, ...], names: DatedFileName | None) -> list[SourceUrl]:
    """The files that a call names.

    Raises:
        click.UsageError: A name fits no pattern, or two files have one name.
    """
    sources = [SourceUrl(*as_url(place).rsplit("/", 1)) for place in places]
    for source in sources:
        split_url(source.folder)
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
    url = as_url(landing_zone)
    split_url(url)
    return replace(settings, landing_zone_url=url.rstrip("/"))


@contextmanager
def dagster_instance(home: Path | None = None) -> Iterator[dg.DagsterInstance]:
    """The instance of `DAGSTER_HOME`, or one in the working folder."""
    import dagster as dg  # noqa: PLC0415 - three seconds, and `--help` needs none of it

    folder = home or Path(os.environ.get("DAGSTER_HOME") or Path(LOCAL_FOLDER, "dagster_home")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    os.environ["DAGSTER_HOME"] = str(folder)
    with dg.DagsterInstance.get() as instance:
        yield instance


def register(instance: dg.DagsterInstance, files: SourceFiles, source: SourceUrl) -> str:
    """Make a file known to Dagster; return its partition key.

    Raises:
        click.UsageError: There is no such file.
    """
    from ol_orchestrate.lib.errors import MissingObjectError  # noqa: PLC0415

    try:
        info = open_store(source.folder).read(source.name).info
    except MissingObjectError as error:
        raise click.UsageError(str(error)) from None
    return files.register(instance, info)


def run_job(job: dg.JobDefinition, instance: dg.DagsterInstance, partition: str | None = None) -> list[str]:
    """Run a job in this process; return why it failed, one reason for each step that did."""
    return _reasons(job.execute_in_process(instance=instance, partition_key=partition, **QUIET))


def materialize_downstream(defs: dg.Definitions, instance: dg.DagsterInstance, asset: str, partition: str) -> list[str]:
    """Run what is made directly of an asset, for one partition; return why it failed."""
    import dagster as dg  # noqa: PLC0415

    upstream = dg.AssetKey(asset.split("/"))
    graph = defs.resolve_asset_graph()
    job = defs.resolve_implicit_global_asset_job_def()
    selection = list(graph.get(upstream).child_keys)
    return _reasons(
        job.execute_in_process(instance=instance, partition_key=partition, asset_selection=selection, **QUIET)
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
