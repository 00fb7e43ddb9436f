"""Another partner's project: made by `create-dagster`, with our two wheels and nothing else of this repository."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.components import EdxorgLocation
from edxorg.samples.catalogue_server import serve_sample_catalogue
from edxorg_tests.support.archives import TABLE, table_name, write_archive
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from ol_orchestrate.testing.servers import S3Server

COURSE = "DelftX-CTB3365x-1T2024"
ARCHIVE, LOG = "delftx-2024-01-31.tar.gz", "delftx-edge-events-2024-01-31.log.gz"

DEFS = """\
type: edxorg.components.EdxorgLocation
attributes:
  institution: delftx
  name: delftx
  environment: production
  archive_url: s3://{bucket}/in
  landing_zone_url: s3://{bucket}/lake
  archive_name: delftx-{{date}}.tar.gz
  tracking_log_name:
    - delftx-{{site}}-events-{{date}}.log.gz
  catalogue_number: 42
"""


class Project:
    """The project in a folder, and the programs of its virtual environment."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder / "delft"
        self._python = folder / "venv/bin/python"
        kept = {name: os.environ[name] for name in ("NO_PROXY", "AWS_EC2_METADATA_DISABLED") if name in os.environ}
        self._variables = {
            "PATH": f"{self._python.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DAGSTER_HOME": str(folder / "dagster_home"),
            **kept,
            **variables,
        }
        (folder / "dagster_home").mkdir()
        (folder / "dagster_home/dagster.yaml").write_text("telemetry: {enabled: false}")
        self._install(folder)
        scripts = Path(sysconfig.get_path("scripts"))
        self._run(str(scripts / "create-dagster"), "project", "--no-uv-sync", "delft", folder=folder)

    def _install(self, folder: Path) -> None:
        """Both wheels; what they need is in this environment, whose own links to this repository are not followed."""
        venv.create(folder / "venv", symlinks=True)
        (site_packages,) = (folder / "venv/lib").glob("python*/site-packages")
        for package in (ROOT, ROOT / "packages/ol-orchestrate-lib"):
            build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "wheels")]
            self._run(sys.executable, *build, folder=package)
        for wheel in (folder / "wheels").iterdir():
            zipfile.ZipFile(wheel).extractall(site_packages)
        (site_packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{self.folder / 'src'}\n")

    def dg(self, *arguments: str) -> str:
        return self._run(str(self._python), "-c", "from dagster_dg_cli.cli import main; main()", *arguments)

    def _run(self, *command: str, folder: Path | None = None) -> str:
        result = subprocess.run(  # noqa: S603 - our own
            command, cwd=folder or self.folder, env=self._variables, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


def test_the_page_for_partners_makes_a_project_with_the_version_that_is_tested() -> None:
    text = (ROOT / "docs/partners.md").read_text(encoding="utf-8")
    assert re.findall(r"create-dagster@(\S+) project", text) == [version("create-dagster")]


@pytest.mark.once
def test_a_project_of_another_partner_brings_its_data_to_its_own_bucket(
    tmp_path: Path, moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    source = open_store(f"s3://{s3_bucket}/in")
    source.write(ARCHIVE, write_archive(tmp_path / "x", {table_name(course=COURSE): TABLE}).read_bytes())
    source.write(LOG, gzip.compress(b'{"time": "2024-01-31T12:00:00Z", "event_type": "a"}\n'))
    with serve_sample_catalogue(programs=2, courses=3, number=42) as catalogue:
        project = Project(
            tmp_path,
            **moto_server.environment,
            EDXORG_API_URL=catalogue.url,
            EDXORG_API_TOKEN_URL=f"{catalogue.url}/oauth2/access_token",
            EDXORG_API_CLIENT_ID=catalogue.client_id,
            EDXORG_API_CLIENT_SECRET=catalogue.client_secret,
        )
        project.dg("scaffold", "defs", "edxorg.components.EdxorgLocation", "delftx")
        (project.folder / "src/delft/defs/delftx/defs.yaml").write_text(DEFS.format(bucket=s3_bucket))
        project.dg("check", "defs")  # and YAML before that
        listed = json.loads(project.dg("list", "defs", "--json"))
        assert {asset["asset_key_parts"][0] for asset in listed["assets"]} == {"delftx"}
        assert {sensor["name"] for sensor in listed["sensors"]} >= {"gcs_delftx_archive_sensor"}
        with dg.DagsterInstance.from_config(str(tmp_path / "dagster_home")) as instance:
            instance.add_dynamic_partitions("delftx_archive", [ARCHIVE])
            instance.add_dynamic_partitions("delftx_tracking_log", [LOG])
        project.dg("launch", "--job", "retrieve_delftx_raw_data", "--partition", ARCHIVE)
        project.dg("launch", "--job", "refresh_delftx_tracking_logs", "--partition", LOG)
        project.dg("launch", "--job", "delftx_api_daily_job")
    landed = {each.key.rpartition("/")[0] for each in open_store(f"s3://{s3_bucket}/lake").list()}
    assert landed >= {
        f"edxorg/raw_data/db_table/auth_user/prod/{COURSE}",
        "edxorg/raw_data/tracking_logs",
        "edxorg/api_data/course_metadata",
        "edxorg/api_data/program_metadata",
    }
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster_home")) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS] * 3
        assert instance.get_dynamic_partitions("delftx_course_and_source") == [f"{COURSE}|prod"]


def test_two_locations_of_different_names_share_an_instance_and_nothing_in_it(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        for name in ("delftx", "epflx"):
            folder = tmp_path / name
            write_archive(folder / "in" / ARCHIVE, {table_name(course=f"{name}-a-1"): TABLE})
            location = EdxorgLocation(
                institution=name,
                name=name,
                archive_url=f"file://{folder}/in",
                archive_name="delftx-{date}.tar.gz",
                landing_zone_url=f"file://{folder}/lake",
                workers=1,
            )
            instance.add_dynamic_partitions(f"{name}_archive", [ARCHIVE])
            job = location.definitions().resolve_job_def(f"retrieve_{name}_raw_data")
            assert job.execute_in_process(instance=instance, partition_key=ARCHIVE).success
            # Again, with what the other has recorded.
            assert job.execute_in_process(instance=instance, partition_key=ARCHIVE).success
        for name in ("delftx", "epflx"):
            assert instance.get_dynamic_partitions(f"{name}_course_and_source") == [f"{name}-a-1|prod"]
            table = dg.AssetKey([name, "raw_data", "db_table", "auth_user"])
            assert instance.get_materialized_partitions(table) == {f"{name}-a-1|prod"}
            assert len(instance.get_runs(dg.RunsFilter(job_name=f"retrieve_{name}_raw_data"))) == 2
        assert {key.path[0] for key in instance.all_asset_keys()} == {"delftx", "epflx"}
