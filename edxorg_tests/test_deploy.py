"""What `deploy/` promises: files that Dagster accepts, and wheels from which the code server serves the location."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._config import post_process_config, resolve_to_config_type
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.storage.config import pg_config
from dagster._core.workspace.load import location_origins_from_config
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml
from dagster_postgres.utils import pg_url_from_config
from dagster_shared.yaml_utils import safe_load_yaml
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster._core.remote_representation.code_location import CodeLocation

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
LOOPBACK = "127.0.0.1"
SECONDS_TO_START = 120


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of `dagster.yaml`, with SQLite in the place of Postgres."""
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)
    reference = InstanceRef.from_dir(
        str(tmp_path), overrides={"storage": {"sqlite": {"base_dir": str(tmp_path / "storage")}}}
    )
    with dg.DagsterInstance.from_ref(reference) as instance:
        yield instance


def test_the_instance_limits_the_pool_of_archives_and_frees_it(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.initialize_concurrency_limit_to_default("edxorg_archive")

    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {"edxorg_archive": 1}
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
    assert instance.run_monitoring_max_runtime_seconds > 0


def test_the_instance_queues_runs_retries_lost_ones_and_reports_to_nobody(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert 0 < instance.run_retries_max_retries <= 3
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled
    assert instance.auto_materialize_use_sensors


def test_the_storage_is_postgres_through_the_driver_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "db", "USER": "me", "PASSWORD": "p@ss", "DB": "dagster"}.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)

    storage = safe_load_yaml((DEPLOY / "dagster.yaml").read_text())["storage"]["postgres"]
    configured = post_process_config(resolve_to_config_type(pg_config()), storage)

    assert configured.success, configured.errors
    assert configured.value is not None
    url = make_url(pg_url_from_config(configured.value))
    assert (url.host, url.username, url.password, url.database, url.port) == ("db", "me", "p@ss", "dagster", 5432)
    assert url.get_dialect().driver == "psycopg2"


def test_dagster_plus_accepts_its_file() -> None:
    (location,) = load_dagster_cloud_yaml((DEPLOY / "dagster_cloud.yaml").read_text()).locations

    assert location.location_name == "edxorg"
    assert location.code_source is not None
    assert location.code_source.module_name == "edxorg.definitions"
    assert location.build is not None
    # Left out of the image, the lock file would not fix its versions.
    assert (ROOT / (location.build.directory or "")).samefile(ROOT)


def workspace_origin(**server: object) -> GrpcServerCodeLocationOrigin:
    """The origin that `workspace.yaml` names, with parts of its server replaced."""
    workspace = safe_load_yaml((DEPLOY / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"].update(server)
    (origin,) = location_origins_from_config(workspace, str(DEPLOY)).values()
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    return origin


def image_command() -> list[str]:
    """What the image runs."""
    command: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    return command


def test_the_image_serves_where_the_workspace_looks() -> None:
    command = image_command()

    origin = workspace_origin()
    assert origin.location_name == "edxorg"
    assert command[command.index("-p") + 1] == str(origin.port)
    assert f"EXPOSE {origin.port}\n" in DOCKERFILE
    assert command[command.index("-h") + 1] == "0.0.0.0"  # noqa: S104 - other containers ask it


def test_the_image_runs_as_another_user_than_root_and_copies_what_is_there() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert any(source == kept or source.startswith(f"{kept}/") for kept in allowed), source


@pytest.fixture
def wheels_folder(tmp_path: Path) -> Path:
    """Both packages, installed from their wheels and without what they depend on."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on PATH")
    wheels, folder = tmp_path / "wheels", tmp_path / "installed"
    for package in (ROOT, ROOT / "packages/ol-orchestrate-lib"):
        # From uv's cache alone: `uv run` put the build backend there when it installed these packages.
        command = [uv, "build", "--offline", "--wheel", "--out-dir", str(wheels), str(package)]
        built = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603
        if "network was disabled" in built.stderr:
            pytest.skip("the build backend, hatchling, is not in uv's cache: build a wheel once with network")
        assert built.returncode == 0, built.stderr
    command = [uv, "pip", "install", "--offline", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*command, *map(str, wheels.glob("*.whl"))], check=True, capture_output=True, cwd=tmp_path)  # noqa: S603
    return folder


@contextmanager
def code_server(wheels_folder: Path, home: Path) -> Iterator[int]:
    """The image's command on the installed wheels; gives its port, and ends all of its processes."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    program, *arguments = image_command()
    arguments[arguments.index("-h") + 1] = LOOPBACK
    arguments[arguments.index("-p") + 1] = str(port)
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONNOUSERSITE": "1",
        # As plain entries of the path, the environment's packages do not bring the editable checkout with them.
        "PYTHONPATH": os.pathsep.join([str(wheels_folder), sysconfig.get_path("purelib")]),
    }
    # The interpreter below the environment, for the same reason.
    python = str(Path(sys.executable).resolve())
    found = subprocess.run(  # noqa: S603
        [python, "-c", "import sys, edxorg, ol_orchestrate as ol; print(edxorg.__path__, ol.__path__, *sys.path)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=home,
        env=environment,
    )
    assert found.stdout.startswith(f"['{wheels_folder}/edxorg'] ['{wheels_folder}/ol_orchestrate']"), found.stdout
    assert str(ROOT) not in found.stdout.replace(sysconfig.get_path("purelib"), "")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [python, "-m", program, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
    try:
        yield port
    finally:
        # The code server has a process that loads the location: both are of this group.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def load_location(port: int, instance: dg.DagsterInstance) -> CodeLocation:
    """What Dagster's webserver would load, as soon as the server answers."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return workspace_origin(host=LOOPBACK, port=port).create_location(instance)
        except DagsterUserCodeUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_the_code_server_serves_the_location_from_its_wheels(
    wheels_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_grpc_proxy", LOOPBACK)
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.ephemeral() as instance, code_server(wheels_folder, home) as port:
        location = load_location(port, instance)
        try:
            (repository,) = location.get_repositories().values()
            jobs = {job.name for job in repository.get_all_jobs()}
        finally:
            location.cleanup()

    assert jobs >= {"retrieve_edxorg_raw_data", "refresh_edxorg_tracking_logs", "sync_edxorg_program_reports"}
