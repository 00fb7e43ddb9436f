"""The tags of runs, by which operators find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.assets.edxorg_archive import raw_tracking_logs
from edxorg.commands.runs import SourceUrl, run_for_file
from edxorg.components.edxorg_location import build_definitions
from edxorg.jobs.run_tags import source_tag
from edxorg.lib.settings import Settings
from edxorg_tests.support.location import EVENTS, LOG, LogLocation, log_location_in
from ol_orchestrate.lib.redaction import remember_secrets
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "correct-horse-battery-staple"  # noqa: S105 - made up
JOBS = {
    "retrieve_edxorg_raw_data": ("gs://archives", "s3://lake"),
    "refresh_edxorg_tracking_logs": ("gs://logs", "s3://lake"),
    "sync_edxorg_program_reports": ("s3://reports", "s3://copies"),
    "edxorg_api_daily_job": ("Discovery API", "s3://lake"),
}


@pytest.fixture
def location(tmp_path: Path) -> Iterator[LogLocation]:
    with log_location_in(tmp_path) as found:
        yield found


def of_edxorg(tags: dict[str, str]) -> dict[str, str]:
    return {name: tags[name] for name in ("edxorg/source", "edxorg/destination", "edxorg/owner") if name in tags}


def settings_of_a_lake(**more: str) -> Settings:
    return Settings(
        archive_url="gs://archives",
        tracking_log_url="gs://logs",
        landing_zone_url="s3://lake",
        program_reports_url="s3://reports",
        program_reports_destination_url="s3://copies",
        **more,
    )


@pytest.mark.parametrize("name", JOBS)
def test_each_job_tells_where_it_reads_and_writes_and_whose_it_is(name: str) -> None:
    job = build_definitions(settings_of_a_lake(owner="team:data")).resolve_job_def(name)
    source, destination = JOBS[name]
    assert of_edxorg(dict(job.run_tags or {})) == {
        "edxorg/source": source,
        "edxorg/destination": destination,
        "edxorg/owner": "team:data",
    }


def test_the_daemon_is_told_the_tags_of_the_scheduled_job() -> None:
    repository = build_definitions(settings_of_a_lake(owner="team:data")).get_repository_def()
    context = dg.build_schedule_context(repository_def=repository)
    (requested,) = repository.get_schedule_def("edxorg_api_daily_schedule").evaluate_tick(context).run_requests or ()
    job = repository.get_job(requested.job_name or "edxorg_api_daily_job")
    assert of_edxorg(dict(job.run_tags or {}))["edxorg/source"] == "Discovery API"


def test_a_run_has_the_tags_of_its_job(location: LogLocation) -> None:
    location.write(*EVENTS)
    result = location.run(LOG)
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert of_edxorg(dict(run.tags)) == {
        "edxorg/source": location.settings.archive_url,
        "edxorg/destination": location.settings.landing_zone_url,
        **({"edxorg/owner": location.settings.owner} if location.settings.owner else {}),
    }


def test_the_run_of_a_command_tells_which_file_it_reads(location: LogLocation) -> None:
    location.write(*EVENTS)
    elsewhere = location.archives.rename(location.archives.with_name("elsewhere"))
    job = build_definitions(location.settings).resolve_job_def("refresh_edxorg_tracking_logs")
    source = SourceUrl(f"file://{elsewhere}/", LOG)
    info = open_store(source.folder).read(LOG).info
    assert run_for_file(job, location.instance, raw_tracking_logs(location.settings), source, info) == []
    (run,) = location.instance.get_runs()
    assert run.tags["edxorg/source"] == f"file://{elsewhere}/{LOG}"
    assert run.tags["edxorg/destination"] == location.settings.landing_zone_url


def test_known_secrets_are_taken_out_of_addresses() -> None:
    remember_secrets(SECRET)
    job = build_definitions(
        settings_of_a_lake().model_copy(update={"archive_url": f"gs://{SECRET}/x"})
    ).resolve_job_def("retrieve_edxorg_raw_data")
    assert SECRET not in str(job.run_tags)
    assert SECRET not in str(source_tag(f"gs://{SECRET}/x/y"))
