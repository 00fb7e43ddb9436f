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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import pytest
from dagster._config import post_process_config, resolve_to_config_type
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.storage.config import pg_config
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load import location_origins_from_config
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml
from dagster_postgres.utils import pg_url_from_config
from dagster_shared.yaml_utils import safe_load_yaml
from sqlalchemy import make_url

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.lib.settings import Settings
from edxorg.samples.archive import write_sample_archive
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dagster._core.remote_representation.code_location import CodeLocation

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


def test_the_image_is_made_of_exact_versions() -> None:
    default = re.search(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert default is not None
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", default[1])
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    assert re.findall(r"pip install .*\b(uv\S*)", DOCKERFILE)[0].startswith("uv==")


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


@pytest.fixture(scope="module")
def wheels_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages, installed from their wheels and without what they depend on."""
    tmp_path = tmp_path_factory.mktemp("wheels")
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


class CodeServer(NamedTuple):
    """A server and all its processes, which are of one group."""

    port: int
    process: subprocess.Popen[bytes]

    def is_gone(self) -> bool:
        """Whether no process is left."""
        self.process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            return False
        return True


@contextmanager
def code_server(wheels_folder: Path, home: Path, **variables: str) -> Iterator[CodeServer]:
    """The image's command on the installed wheels; in the end none of its processes is left."""
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
        **variables,
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
    # A shell lets its background jobs ignore interrupts; who inherits that makes Dagster ignore SIGTERM as well.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [python, "-m", program, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
    signal.signal(signal.SIGINT, handler)
    try:
        yield CodeServer(port, server)
    finally:
        with suppress(ProcessLookupError):
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
    with dg.DagsterInstance.ephemeral() as instance, code_server(wheels_folder, tmp_path) as server:
        location = load_location(server.port, instance)
        try:
            (repository,) = location.get_repositories().values()
            jobs = {job.name for job in repository.get_all_jobs()}
        finally:
            location.cleanup()

    assert jobs >= {"retrieve_edxorg_raw_data", "refresh_edxorg_tracking_logs", "sync_edxorg_program_reports"}


def test_the_image_passes_a_request_to_stop_on_to_the_runs() -> None:
    assert json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1]) == ["tini", "-g", "--"]


def test_a_server_that_is_stopped_fails_its_runs_and_leaves_nothing(
    wheels_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without an end would wait for run monitoring, or for the sensor to give it up; a failed one heals."""
    monkeypatch.setenv("no_grpc_proxy", LOOPBACK)
    settings = Settings(archive_url=f"file://{tmp_path}/archives")
    name = "mitx-2024-01-31.tar.gz"
    (tmp_path / "archives").mkdir()
    # Delivering that much takes longer than it takes to be stopped.
    write_sample_archive(tmp_path / "archives" / name, courses=60, rows_per_course=2500, seed=0)
    for folder in ("home", "temporary", "dagster"):
        (tmp_path / folder).mkdir()
    variables = {
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "TMPDIR": str(tmp_path / "temporary"),
        "EDXORG_ARCHIVE_URL": settings.archive_url,
        "EDXORG_LANDING_ZONE_URL": f"file://{tmp_path}/lake",
    }
    with (
        dg.instance_for_test(temp_dir=variables["DAGSTER_HOME"]) as instance,
        code_server(wheels_folder, tmp_path / "home", **variables) as server,
    ):
        raw_data_archives(settings).register(instance, open_store(settings.archive_url).read(name).info)
        load_location(server.port, instance).cleanup()
        run_id = launch(server.port, instance, "retrieve_edxorg_raw_data", name)
        wait_for(lambda: any((tmp_path / "lake").rglob("*.tsv")))
        os.killpg(server.process.pid, signal.SIGTERM)
        wait_for(server.is_gone)
        run = instance.get_run_by_id(run_id)

    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert "edxorg/permanent_failure" not in run.tags
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def launch(port: int, instance: dg.DagsterInstance, job_name: str, partition: str) -> str:
    """Start a run in the code server, as Dagster's daemon does; return its ID."""
    target = GrpcServerTarget(host=LOOPBACK, port=port, socket=None, location_name="edxorg")
    with WorkspaceProcessContext(instance, target) as process:
        workspace = process.create_request_context()
        location = workspace.get_code_location("edxorg")
        (repository,) = location.get_repositories().values()
        job = repository.get_full_job(job_name)
        plan = location.get_execution_plan(job, {}, None, None, instance)
        run = instance.create_run(
            job_name=job.name,
            run_id=None,
            run_config={},
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags={"dagster/partition": partition},
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=plan.execution_plan_snapshot,
            job_snapshot=job.job_snapshot,
            parent_job_snapshot=None,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
            asset_graph=repository.asset_graph,
        )
        instance.launch_run(run.run_id, workspace)
    return run.run_id
