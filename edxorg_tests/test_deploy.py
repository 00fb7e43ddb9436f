"""What `deploy/` promises: files that Dagster accepts, and wheels from which the code server serves the location."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import pytest
from dagster._config import post_process_config, resolve_to_config_type
from dagster._core.definitions.declarative_automation.automation_condition_evaluator import (
    AUTOMATION_TICK_SETTLE_SECONDS_ENV_VAR,
    get_automation_tick_settle_delay_seconds,
)
from dagster._core.definitions.sensor_definition import SensorType
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.scheduler.instigation import InstigatorType, TickStatus
from dagster._core.storage.config import pg_config
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load import location_origins_from_config
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml
from dagster_docker import DockerRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from dagster_postgres.utils import pg_url_from_config
from dagster_shared.yaml_utils import safe_load_yaml
from kubernetes.client import V1Container, V1PodSpec, V1Probe
from sqlalchemy import make_url

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.alert_addresses import are_alerts_configured
from edxorg.lib.settings import Settings
from edxorg.samples.sample_archive import write_sample_archive
from edxorg_tests.support.deployment import COMPOSE, DEPLOY, DOCKERFILE, Image, image_command
from edxorg_tests.support.processes import LOOPBACK, Service, free_port, wait_for
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.runs_under_way import ABANDONED_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.remote_representation.code_location import CodeLocation

HELM: dict[str, Any] = safe_load_yaml((DEPLOY / "helm/values.yaml").read_text())
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


def test_nothing_waits_for_ten_minutes_for_what_was_killed(instance: dg.DagsterInstance) -> None:
    """Until the daemon looks, the run fails, and its slot of the pool is free: each after the other."""
    settings = instance.run_monitoring_settings
    waits = settings["poll_interval_seconds"], settings["free_slots_after_run_end_seconds"]
    assert sum(waits) + instance.run_monitoring_poll_interval_seconds <= 300
    assert instance.run_monitoring_start_timeout_seconds + sum(waits) < 600
    assert instance.run_launcher.supports_check_run_worker_health


def test_a_restart_of_the_code_server_drops_no_run_from_the_queue(instance: dg.DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay >= 3600


@pytest.mark.parametrize("kind", [InstigatorType.SENSOR, InstigatorType.SCHEDULE, InstigatorType.AUTO_MATERIALIZE])
def test_the_instance_keeps_no_tick_for_ever(instance: dg.DagsterInstance, kind: InstigatorType) -> None:
    days = instance.get_tick_retention_settings(kind)
    assert set(days) == set(TickStatus)
    assert all(0 < kept <= 365 for kept in days.values())


def test_no_dialog_greets_and_no_debugging_is_printed(instance: dg.DagsterInstance) -> None:
    assert not instance.nux_enabled
    assert instance.python_log_level == "INFO"


def test_what_runs_print_goes_to_a_bucket(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_COMPUTE_LOGS_BUCKET", "lake")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    assert isinstance(instance.compute_log_manager, S3ComputeLogManager)


def test_each_job_says_how_long_its_runs_may_take() -> None:
    defs = build_definitions(Settings(archive_url="file:///archives"))
    jobs = [job for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    assert len(jobs) == 4
    for job in jobs:
        assert 0 < int(job.run_tags["dagster/max_runtime"]) <= ABANDONED_AFTER, job.name


def test_the_instance_queues_runs_retries_lost_ones_and_reports_to_nobody(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert 0 < instance.run_retries_max_retries <= 3
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled
    assert instance.auto_materialize_use_sensors


def test_the_storage_is_postgres_through_the_driver_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "db", "PORT": "6432", "USER": "me", "PASSWORD": "p@ss", "DB": "dagster"}.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)

    storage = safe_load_yaml((DEPLOY / "dagster.yaml").read_text())["storage"]["postgres"]
    configured = post_process_config(resolve_to_config_type(pg_config()), storage)

    assert configured.success, configured.errors
    assert configured.value is not None
    url = make_url(pg_url_from_config(configured.value))
    assert (url.host, url.username, url.password, url.database, url.port) == ("db", "me", "p@ss", "dagster", 6432)
    assert url.get_dialect().driver == "psycopg2"


def test_no_run_is_asked_if_it_is_a_code_server(instance: dg.DagsterInstance) -> None:
    assert "HEALTHCHECK" in DOCKERFILE
    assert isinstance(instance.run_launcher, DockerRunLauncher)
    assert instance.run_launcher.container_kwargs["healthcheck"] == {"test": ["NONE"]}


def services() -> dict[str, dict[str, Any]]:
    """Those of `docker-compose.yaml`, with what they share merged in."""
    return {name: dict(service) for name, service in COMPOSE["services"].items()}


def test_each_run_gets_the_variables_that_the_daemon_has(instance: dg.DagsterInstance) -> None:
    """The launcher fails for a variable that is not set."""
    launcher = instance.run_launcher
    assert isinstance(launcher, DockerRunLauncher)
    assert set(launcher.env_vars) == set(services()["daemon"]["environment"])
    assert launcher.networks == [COMPOSE["networks"]["edxorg"]["name"]]


def test_compose_passes_on_what_operators_are_told_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/operating.md").read_text()
    sections = [
        re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[0]
        for title in ("Deploy", "Alerts")
    ]
    told = {name for section in sections for name in re.findall(r"`([A-Z]+_[A-Z_]+|PG[A-Z]+)`", section)}
    given = services()["edxorg"]["environment"]

    assert {"PGSSLROOTCERT", "EDXORG_SOURCE_INTERVAL_SECONDS", "EDXORG_ALERT_URLS"} <= told <= set(given)
    for name in told:
        assert given[name].startswith(f"${{{name}:") or name == "DAGSTER_POSTGRES_HOST", "it can be set in deploy/.env"
    for name in (name for name in told if name.startswith("EDXORG_")):
        default = re.fullmatch(r"\$\{\w+:-(.*)\}", given[name])
        assert default is not None
        monkeypatch.setenv(name, default[1])
    settings = Settings()
    assert settings.source_interval_seconds == Settings.model_fields["source_interval_seconds"].default
    assert not are_alerts_configured(settings)


def test_all_of_dagster_runs_from_one_image_without_rights() -> None:
    of_dagster = {name: services()[name] for name in ("migrate", "edxorg", "webserver", "daemon")}
    assert {each["image"] for each in of_dagster.values()} == {"${EDXORG_IMAGE:-edxorg:latest}"}
    for each in of_dagster.values():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in each["security_opt"]
        assert each["logging"]["options"]["max-size"]
    assert of_dagster["edxorg"]["environment"]["DAGSTER_CURRENT_IMAGE"] == of_dagster["edxorg"]["image"]


def test_only_who_starts_runs_may_use_docker_and_only_loopback_is_published() -> None:
    with_socket = {name for name, each in services().items() if "docker.sock" in str(each.get("volumes"))}
    assert with_socket == {"webserver", "daemon"}
    published = [port for each in services().values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_a_postgres_of_an_exact_version_keeps_its_data() -> None:
    postgres = services()["postgres"]
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", postgres["image"])
    (volume,) = postgres["volumes"]
    assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_kubernetes_has_the_instance_that_compose_has() -> None:
    instance = safe_load_yaml((DEPLOY / "dagster.yaml").read_text())
    additional = HELM["additionalInstanceConfig"]

    assert additional == {name: instance[name] for name in additional}
    assert set(instance) - set(additional) == {"storage", "compute_logs", "run_launcher", "python_logs", "telemetry"}
    assert HELM["pythonLogs"]["pythonLogLevel"] == instance["python_logs"]["python_log_level"]
    assert HELM["telemetry"] == instance["telemetry"]
    # Each would be in the chart's dagster.yaml twice.
    assert not any(HELM["dagsterDaemon"][name]["enabled"] for name in ("runCoordinator", "runMonitoring", "runRetries"))


def chart_account_of_services() -> str:
    """The account that the chart gives to the webserver and the daemon, to runs by default, and its role."""
    return HELM["global"].get("serviceAccountName") or HELM["serviceAccount"]["name"]  # type: ignore[no-any-return]


def chart_account_of_code_server() -> str:
    """The account that the chart gives to the code server."""
    chart = HELM["dagster-user-deployments"]
    (code_server,) = chart["deployments"]
    of_one, of_all = code_server.get("serviceAccount", {}), chart.get("serviceAccount", {})
    made = "edxorg-dagster-user-deployments-user-deployments"
    return of_one.get("name") or HELM["global"].get("serviceAccountName") or of_all.get("name") or made


def chart_pod_of_runs() -> UserDefinedDagsterK8sConfig:
    """The pod of a run, put together by Dagster from what the chart says to the launcher and to the code server."""
    launcher = HELM["runLauncher"]["config"]["k8sRunLauncher"]
    asked = launcher["runK8sConfig"]
    of_launcher = K8sContainerContext(
        service_account_name=chart_account_of_services(),
        env_config_maps=[each["name"] for each in launcher["envConfigMaps"]],
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(  # type: ignore[no-untyped-call]
            {re.sub("(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in asked.items()}
        ),
    )
    (code_server,) = HELM["dagster-user-deployments"]["deployments"]
    of_location = {
        "service_account_name": chart_account_of_code_server(),
        "env_config_maps": [f"edxorg-dagster-user-deployments-{code_server['name']}-user-env"],
        "volumes": code_server["volumes"],
        "volume_mounts": code_server["volumeMounts"],
        "resources": code_server["resources"],
    }
    included = of_location if code_server["includeConfigInLaunchedRuns"]["enabled"] else {}
    return of_launcher.merge(K8sContainerContext.create_from_config({"k8s": included})).run_k8s_config


def test_kubernetes_takes_the_pods_of_runs() -> None:
    """Dagster's own parser of such configurations, and Kubernetes's client behind it, refuse mistakes."""
    merged = chart_pod_of_runs()
    container = k8s_model_from_dict(V1Container, {"name": "run", **merged.container_config})
    pod = k8s_model_from_dict(V1PodSpec, {"containers": [], **merged.pod_spec_config})

    assert container.resources.requests == {"cpu": "1", "memory": "768Mi", "ephemeral-storage": "2Gi"}
    assert container.resources.limits["memory"] == "1Gi"
    assert container.security_context.read_only_root_filesystem
    assert [mount.mount_path for mount in container.volume_mounts] == ["/tmp"]  # noqa: S108
    assert [volume.name for volume in pod.volumes] == [mount.name for mount in container.volume_mounts]
    (code_server,) = HELM["dagster-user-deployments"]["deployments"]
    (variables,) = container.env_from
    assert variables.config_map_ref.name == f"edxorg-dagster-user-deployments-{code_server['name']}-user-env"
    assert not code_server.keys() & {"envSecrets", "envConfigMaps"}, "which runs would not get"


def test_kubernetes_gives_runs_and_code_server_the_account_that_vault_knows_and_no_right_to_start_pods() -> None:
    account = safe_load_yaml((DEPLOY / "helm/service-account.yaml").read_text())["metadata"]["name"]
    chart = HELM["dagster-user-deployments"]

    assert chart_pod_of_runs().pod_spec_config["service_account_name"] == account
    assert chart_account_of_code_server() == account
    # Helm refuses to make one that is there.
    assert not chart["serviceAccount"]["create"]
    assert not chart["rbacEnabled"]
    assert chart_account_of_services() != account
    assert HELM["serviceAccount"]["create"]
    assert HELM["rbacEnabled"]
    assert "eks.amazonaws.com/role-arn" in HELM["serviceAccount"]["annotations"]


def test_kubernetes_takes_the_pods_of_the_services() -> None:
    (code_server,) = HELM["dagster-user-deployments"]["deployments"]
    for service in (code_server, HELM["dagsterWebserver"], HELM["dagsterDaemon"]):
        fields = {"volumeMounts": service["volumeMounts"], "resources": service["resources"]}
        described = {"name": "service", "securityContext": service["securityContext"], **fields}
        container = k8s_model_from_dict(V1Container, k8s_snake_case_dict(V1Container, described))
        assert container.security_context.run_as_non_root
        assert [mount.mount_path for mount in container.volume_mounts] == ["/tmp"]  # noqa: S108
        assert service["image"] == code_server["image"]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        # The chart leaves a startup probe out where this is not said.
        assert code_server[name].get("enabled", name != "startupProbe"), name
        probe = {key: value for key, value in code_server[name].items() if key != "enabled"}
        assert k8s_model_from_dict(V1Probe, k8s_snake_case_dict(V1Probe, probe)).timeout_seconds >= 30
    # Loading the location may take three minutes, as Dagster itself allows for.
    startup = code_server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 180
    command = image_command()
    assert code_server["codeServerArgs"] == command[command.index("-m") :]
    assert code_server["port"] == workspace_origin().port


def test_kubernetes_has_no_setting_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    (code_server,) = HELM["dagster-user-deployments"]["deployments"]
    for name, value in code_server["env"].items():
        monkeypatch.setenv(name, value)

    assert Settings().environment == "production"


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
    assert location.container_context is not None
    of_helm = HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    of_runs = location.container_context["k8s"]["run_k8s_config"]
    assert of_helm["containerConfig"].items() <= of_runs["container_config"].items()
    assert of_helm["podSpecConfig"].items() <= of_runs["pod_spec_config"].items()
    context = K8sContainerContext.create_from_config(location.container_context)
    accounts = [
        each.pod_spec_config["service_account_name"] for each in (context.run_k8s_config, context.server_k8s_config)
    ]
    assert accounts == [of_helm["podSpecConfig"]["serviceAccountName"]] * 2
    # Left out of the image, the lock file would not fix its versions.
    assert (ROOT / (location.build.directory or "")).samefile(ROOT)


def workspace_origin(**server: object) -> GrpcServerCodeLocationOrigin:
    """The origin that `workspace.yaml` names, with parts of its server replaced."""
    workspace = safe_load_yaml((DEPLOY / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"].update(server)
    (origin,) = location_origins_from_config(workspace, str(DEPLOY)).values()
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    return origin


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


class CodeServer(NamedTuple):
    """A server and its port."""

    port: int
    service: Service


@contextmanager
def code_server(wheels_folder: Path, home: Path, **variables: str) -> Iterator[CodeServer]:
    """The image's command on the installed wheels; in the end none of its processes is left."""
    image = Image(wheels_folder, home)
    image.check()
    port = free_port()
    command = image_command()
    command[command.index("-h") + 1] = LOOPBACK
    command[command.index("-p") + 1] = str(port)
    server = Service(command, {**image.environment, "HOME": str(home), **variables}, home)
    server.start()
    try:
        yield CodeServer(port, server)
    finally:
        server.kill()


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
        server.service.signal(signal.SIGTERM)
        wait_for(lambda: server.service.is_gone)
        run = instance.get_run_by_id(run_id)

    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert "edxorg/permanent_failure" not in run.tags
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []


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


def test_the_image_sets_the_variable_that_dagsters_automation_waits_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the code server, which evaluates this location's sensor, as well as in the daemon: they have one image."""
    (value,) = re.findall(rf"\b{AUTOMATION_TICK_SETTLE_SECONDS_ENV_VAR}=(\S+)", DOCKERFILE)
    monkeypatch.setenv(AUTOMATION_TICK_SETTLE_SECONDS_ENV_VAR, value)
    assert 0 < get_automation_tick_settle_delay_seconds() <= 5
    (sensor,) = (
        each
        for each in build_definitions(Settings(archive_url="file:///archives")).sensors or ()
        if each.name == "default_automation_condition_sensor"
    )
    assert sensor.sensor_type == SensorType.AUTOMATION, "not AUTO_MATERIALIZE, which the daemon evaluates"


def test_docker_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:  # noqa: S603
        pytest.skip("there is no docker with its plugin compose")
    asked_for = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "docker-compose.yaml").read_text()))
    command = [docker, "compose", "--file", str(DEPLOY / "docker-compose.yaml"), "config", "--quiet"]
    environment = {**os.environ, **dict.fromkeys(asked_for, "any")}
    checked = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603
    assert checked.returncode == 0, checked.stderr
