"""A deployment of the installed wheels and the files in `deploy/`, and what becomes of it when its parts are killed.

Postgres, the code server, the webserver, the daemon and each run are processes of their own; S3 is moto and Vault is
OpenBao. Everything is brought about by the daemon alone, and seen through the webserver.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import boto3
import hvac
import pytest

from edxorg.lib.object_keys import RAW_DATA_ARCHIVE
from edxorg.samples.sample_archive import write_sample_archive
from edxorg_tests.support.deployment import Deployment, Image
from edxorg_tests.support.docker_api import serving_docker
from edxorg_tests.support.postgres import running_postgres
from edxorg_tests.support.processes import wait_for
from edxorg_tests.support.s3_gate import gate_before

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg_tests.support.docker_api import Engine
    from edxorg_tests.support.postgres import Postgres
    from edxorg_tests.support.s3_gate import Gate
    from ol_orchestrate.testing.openpgp_keys import GnuPG
    from ol_orchestrate.testing.servers import OpenBaoServer, S3Server

RECIPIENT = "ada@example.org"
GOOD, BROKEN = "delftx-2024-01-31.tar.gz.gpg", "delftx-2024-02-07.tar.gz.gpg"
COURSES = 1
PATIENCE = 300
"""Seconds for what takes twenty where the machine has nothing else to do."""


class Lake:
    """The source and the landing zone, in S3."""

    def __init__(self, server: S3Server, folder: Path, gnupg: GnuPG) -> None:
        self.source, self.landing_zone = f"source-{folder.name}", f"lake-{folder.name}"
        self._client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
            region_name=server.region,
        )
        for bucket in (self.source, self.landing_zone):
            self._client.create_bucket(Bucket=bucket)
        self._folder, self._gnupg = folder, gnupg

    def publish(self, name: str, *, seed: int, complete: bool = True) -> None:
        """Put an archive, encrypted as edX does it, into the source."""
        file = self._folder / "archive"
        write_sample_archive(file, courses=COURSES, rows_per_course=200, seed=seed)
        content = file.read_bytes() if complete else file.read_bytes()[:100]
        message = self._gnupg.message(content, RECIPIENT)
        self._client.put_object(Bucket=self.source, Key=name, Body=message)

    def landed(self, prefix: str) -> list[str]:
        """Return the keys of what is there."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.landing_zone, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]


class Site:
    """All of it."""

    def __init__(self, lake: Lake, gate: Gate, postgres: Postgres, engine: Engine, deployment: Deployment) -> None:
        self.lake = lake
        self.gate = gate
        self.postgres = postgres
        self.engine = engine
        self.deployment = deployment

    def latest(self, partition: str) -> str | None:
        """Return the status of a partition's latest run."""
        runs = self.deployment.runs(partition)
        return runs[-1].status if runs else None

    def has_run(self, partition: str, number: int, statuses: set[str]) -> bool:
        """Whether a partition's run, counted from 1, is there and has one of the statuses."""
        runs = self.deployment.runs(partition)
        return len(runs) >= number and runs[number - 1].status in statuses

    def wait_for_run(self, partition: str, *, runs: int, status: str) -> None:
        """Wait until a partition has had so many runs at least, the last of which has ended so."""
        wait_for(
            lambda: len(self.deployment.runs(partition)) >= runs and self.latest(partition) == status,
            seconds=PATIENCE,
        )


SHORT_WAITS = {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 2}
AS_CHECKED_IN: dict[str, int] = {}


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    wheels_folder: Path,
    moto_server: S3Server,
    openbao_server: OpenBaoServer,
    gnupg: GnuPG,
) -> Iterator[Site]:
    """A deployment; its parameter are the waits of the run monitoring that differ from those of `dagster.yaml`."""
    vault = hvac.Client(openbao_server.address, token=openbao_server.token)
    key = gnupg.private_key(RECIPIENT).decode()
    vault.secrets.kv.v2.create_or_update_secret("edx/deployment", {"private_key": key})
    vault.adapter.close()
    image = Image(wheels_folder, tmp_path)
    image.check()
    lake = Lake(moto_server, tmp_path, gnupg)
    with (
        running_postgres() as postgres,
        gate_before(moto_server.endpoint_url) as (gate, s3_url),
        serving_docker(image.environment) as (engine, docker),
    ):
        variables = {
            **postgres.environment,
            **moto_server.environment,
            "AWS_ENDPOINT_URL": s3_url,
            "DAGSTER_COMPUTE_LOGS_BUCKET": lake.landing_zone,
            "DAGSTER_ENVIRONMENT": "production",
            "EDXORG_INSTITUTION": "delft",
            "EDXORG_ARCHIVE_URL": f"s3://{lake.source}",
            "EDXORG_ARCHIVE_NAME": "delftx-{date}.tar.gz.gpg",
            "EDXORG_LANDING_ZONE_URL": f"s3://{lake.landing_zone}/zone",
            "EDXORG_GPG_SECRET_PATH": "secret/edx/deployment",
            "EDXORG_SOURCE_INTERVAL_SECONDS": "5",
            "EDXORG_WORKERS": "2",
            "VAULT_ADDR": openbao_server.address,
            "VAULT_AUTH_METHOD": "token",
            "VAULT_TOKEN": openbao_server.token,
            "VAULT_ROLE_ID": "",
            "VAULT_SECRET_ID": "",
        }
        deployment = Deployment(tmp_path / "services", image.environment, variables, docker, request.param)
        try:
            deployment.start()
            yield Site(lake, gate, postgres, engine, deployment)
        finally:
            deployment.close()
            for container in engine.containers.values():
                sys.stdout.write(f"== {container.command[:3]}\n{container.service.log[-3000:]}\n")


@pytest.mark.once
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("site", [SHORT_WAITS], indirect=True, ids=["short-waits"])
def test_archives_land_by_the_daemon_alone_whatever_is_killed_meanwhile(site: Site) -> None:
    deployment, lake = site.deployment, site.lake
    server, daemon = deployment.services["edxorg"], deployment.services["daemon"]

    # The code server and a run in the middle of an archive, as on a machine without memory.
    lake.publish(GOOD, seed=0)
    lake.publish(BROKEN, seed=1, complete=False)
    deployment.start_sensor("gcs_edxorg_archive_sensor")
    deployment.start_sensor("default_automation_condition_sensor")
    wait_for(lambda: lake.landed("zone/edxorg/raw_data/"), seconds=PATIENCE, pause=0.05)
    (killed,) = [run.run_id for run in deployment.runs(GOOD)]
    server.kill()
    (container,) = [each for each in site.engine.running if each.run_id == killed]
    container.service.kill()
    daemon.kill()
    daemon.start()
    server.start()
    site.wait_for_run(GOOD, runs=2, status="SUCCESS")
    site.wait_for_run(BROKEN, runs=1, status="FAILURE")
    first, second = deployment.runs(GOOD)
    assert (first.run_id, first.status) == (killed, "FAILURE")
    # Dagster starts it anew, unless it tries to while the code server is away; then the sensor asks again.
    assert second.tags.get("dagster/parent_run_id") == killed or second.tags["edxorg/attempt"] == "2"
    (broken,) = deployment.runs(BROKEN)
    assert "edxorg/permanent_failure" in broken.tags

    # The database, while courses are brought up to date.
    structures = deployment.materialized("edxorg", "raw_data", "course_structure")
    assert len(structures) == COURSES
    wait_for(lambda: site.engine.running, seconds=PATIENCE)
    site.postgres.kill()
    site.postgres.start()
    outputs = [("edxorg", "processed_data", name) for name in ("flattened_course_structure", "course_metadata")]
    wait_for(lambda: all(deployment.materialized(*each) == structures for each in outputs), seconds=PATIENCE, pause=1)

    # The landing zone, while a new version of the archive lands.
    before = lake.landed("zone/edxorg/raw_data/db_table/auth_user/")
    site.gate.refuses = f"/{lake.landing_zone}/zone"
    lake.publish(GOOD, seed=2)
    wait_for(lambda: site.gate.refused > 3, seconds=PATIENCE)
    site.gate.refuses = None
    site.wait_for_run(GOOD, runs=3, status="SUCCESS")
    assert set(lake.landed("zone/edxorg/raw_data/db_table/auth_user/")) > set(before)

    # No run hangs, none was started twice, and what landed can be seen.
    wait_for(lambda: all(run.is_finished for run in deployment.runs()), seconds=PATIENCE, pause=1)
    wait_for(lambda: deployment.slots_taken() == 0, seconds=PATIENCE)
    started = [each.run_id for each in site.engine.containers.values()]
    assert len(started) == len(set(started))
    archive = RAW_DATA_ARCHIVE.split("/")
    assert deployment.check("missing_tables", GOOD, *archive)
    assert f"zone/edxorg/reports/{GOOD}.html" in lake.landed("zone/edxorg/reports/")
    assert lake.landed("dagster-compute-logs/")
    for each in site.engine.containers.values():
        assert each.host["ReadonlyRootfs"]
        assert each.host["Memory"] == 1 << 30
        assert each.asked["Image"] == "edxorg:tested"


@pytest.mark.once
@pytest.mark.by_hand
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("site", [AS_CHECKED_IN], indirect=True, ids=["as-checked-in"])
def test_how_long_it_takes_with_the_waits_of_dagster_yaml(site: Site) -> None:
    """Print the figures of `docs/operating.md`, with `-s`."""
    deployment, lake = site.deployment, site.lake
    lake.publish(GOOD, seed=0)
    deployment.start_sensor("gcs_edxorg_archive_sensor")
    wait_for(lambda: lake.landed("zone/edxorg/raw_data/"), seconds=PATIENCE, pause=0.05)
    site.engine.running[0].service.kill()
    killed = time.monotonic()
    for what, runs, statuses in (
        ("the run has failed", 1, {"FAILURE"}),
        ("the next one has started", 2, {"STARTED", "SUCCESS"}),
        ("it has succeeded", 2, {"SUCCESS"}),
    ):
        wait_for(partial(site.has_run, GOOD, runs, statuses), seconds=600)
        sys.stdout.write(f"{time.monotonic() - killed:.0f} s after a run was killed {what}\n")

    site.gate.refuses = f"/{lake.landing_zone}/zone"
    lake.publish(GOOD, seed=2)
    wait_for(lambda: site.gate.refused > 0, seconds=PATIENCE)
    time.sleep(60)
    site.gate.refuses = None
    site.wait_for_run(GOOD, runs=3, status="SUCCESS")
    attempts = len(deployment.runs(GOOD)) - 2
    sys.stdout.write(f"{site.gate.refused} requests were refused within a minute; it took {attempts} run\n")
    assert attempts == 1
