"""Course bundles, from Cloud Storage to S3: what the sensor asks for, and what its runs copy."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.ops.course_bundles import bundle_runs
from edxorg_tests.support.location import QUIET
from edxorg_tests.support.sensors import Daemon
from ol_orchestrate.lib.stores import ObjectStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, S3Server

JOB, SENSOR = "edx_gcs_course_retrieval", "edxorg_course_bundle_sensor"
DAGSTERS_PATIENCE = 60
"""Seconds for a tick."""
BUNDLES = int(os.environ.get("COURSE_BUNDLES", "200"))


class Bundles:
    """Bundles in Cloud Storage, their copies in S3, and the daemon between them."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.source: ObjectStore = open_store(settings.course_bundles_url)
        self.copies: ObjectStore = open_store(settings.course_bundles_destination_url)
        self.daemon = Daemon(settings, instance)
        self.runs = bundle_runs(settings)
        self._job = build_definitions(settings).resolve_job_def(JOB)
        self._instance = instance

    def publish(self, bundles: Mapping[str, bytes], *also: ObjectStore) -> None:
        """Write bundles to the source, and then, at a later second, to other stores."""
        with ThreadPoolExecutor(16) as pool:
            for store in (self.source, *also):
                list(pool.map(lambda each, to=store: to.write(*each), bundles.items()))
                time.sleep(1.1)  # times have whole seconds

    def tick(self) -> list[list[str]]:
        """The keys of each run that the sensor asks for."""
        return [
            self.runs.requested_keys(request.run_config) for request in self.daemon.evaluate(SENSOR).run_requests or []
        ]

    def run(self, *keys: str) -> dg.ExecuteInProcessResult:
        config = self.runs.run_config(keys) if keys else {}
        return self._job.execute_in_process(
            instance=self._instance, run_config={**config, **QUIET}, raise_on_error=False
        )

    def copied(self) -> dict[str, bytes]:
        return {each.key: b"".join(self.copies.read(each.key)) for each in self.copies.list()}


@pytest.fixture
def bundles(
    gcs_server: GCSServer,
    gcs_bucket: str,
    moto_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bundles]:
    for name, value in {**gcs_server.environment, **moto_server.environment}.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        archive_url=f"file://{tmp_path}/archives",
        course_bundles_url=f"gs://{gcs_bucket}",
        course_bundles_destination_url=f"s3://{s3_bucket}",
        landing_zone_url=f"file://{tmp_path}/lake",
    )
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Bundles(settings, instance)


def test_bundles_that_are_new_changed_or_lost_are_copied_and_no_others(bundles: Bundles) -> None:
    first = {f"2024-01-{day:02}/MITx-{number}.tar.gz": os.urandom(200) for day in (3, 10) for number in range(3)}
    bundles.publish(first)
    (keys,) = bundles.tick()
    assert keys == sorted(first)
    result = bundles.run(*keys)
    assert result.success
    assert bundles.copied() == first
    (event,) = [each for each in result.all_events if each.event_type_value == "STEP_OUTPUT"]
    facts = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert (facts["bundles"], facts["bytes"], facts["checked_by"]) == (6, 1200, "crc32c")
    assert facts["uploads_checked_by"] == bundles.copies.upload_check
    assert bundles.tick() == []

    written = {each.key: each.modified for each in bundles.copies.list()}
    bundles.copies.delete("2024-01-03/MITx-0.tar.gz")
    changes = {
        "2024-01-10/MITx-1.tar.gz": b"of another size",
        "2024-01-10/MITx-2.tar.gz": os.urandom(200),
        "2024-01-17/MITx-0.tar.gz": b"new",
    }
    bundles.publish(changes)
    assert bundles.tick() == [sorted([*changes, "2024-01-03/MITx-0.tar.gz"])]
    assert bundles.run().success
    assert bundles.copied() == first | changes
    again = {each.key for each in bundles.copies.list() if each.modified != written.get(each.key)}
    assert again == {*changes, "2024-01-03/MITx-0.tar.gz"}
    assert bundles.tick() == []


def test_a_tick_over_many_bundles_ends_in_time(
    bundles: Bundles, record_property: Callable[[str, object], None]
) -> None:
    """By default over 200 bundles; `COURSE_BUNDLES=10000` takes minutes to prepare, and passes as well."""
    many = {f"2024-{week:02}/MITx-{number}.tar.gz": b"1" for week in range(20) for number in range(BUNDLES // 20)}
    bundles.publish(many, bundles.copies)
    bundles.publish({"2024-99/new.tar.gz": b"1"})
    start = time.monotonic()
    assert bundles.tick() == [["2024-99/new.tar.gz"]]
    seconds = time.monotonic() - start
    record_property("seconds of a tick", seconds)
    assert seconds < DAGSTERS_PATIENCE


def test_there_is_a_job_only_where_bundles_are_configured() -> None:
    def names(settings: Settings) -> set[str]:
        defs = build_definitions(settings)
        return {each.name for each in [*(defs.jobs or ()), *(defs.sensors or ())]}

    assert names(Settings(course_bundles_url="gs://x")) - names(Settings()) == {JOB, SENSOR}
    sensors = build_definitions(Settings(course_bundles_url="gs://x")).sensors or ()
    (sensor,) = [each for each in sensors if each.name == SENSOR]
    assert (sensor.default_status, sensor.minimum_interval_seconds) == (dg.DefaultSensorStatus.STOPPED, 24 * 60 * 60)


def test_copies_go_to_mits_buckets_by_environment() -> None:
    assert Settings(environment="qa").course_bundles_destination_url == "s3://edxorg-qa-edxapp-courses"
    other = Settings(institution="delftx", landing_zone_url="s3://lake")
    assert other.course_bundles_destination_url == "s3://lake/edxorg-course-bundles"
