"""A deployment as `deploy/` describes it, from the installed wheels: each of its services is a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from dagster_shared.yaml_utils import safe_load_yaml

from edxorg_tests.support.processes import LOOPBACK, Service, free_port, sealed, wait_for
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: Mapping[str, Any] = safe_load_yaml((DEPLOY / "docker-compose.yaml").read_text())
HOME = "/opt/dagster"
"""`DAGSTER_HOME` in the image."""

SERVICES = ("migrate", "edxorg", "webserver", "daemon")
"""Those of `docker-compose.yaml` that are Dagster's, in the order of their start."""

LOG_SHOWN = 5000
"""Characters."""

ATTEMPTS = 10

SCRIPT = """#!{python}
import sys
from importlib.metadata import entry_points

(found,) = entry_points(group="console_scripts", name={name!r})
sys.exit(found.load()())
"""


def image_command() -> list[str]:
    """What the image runs."""
    command: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    return command


def install_wheels(folder: Path) -> Path:
    """Build both packages and install them from their wheels, without what they depend on."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on PATH")
    wheels, installed = folder / "wheels", folder / "installed"
    for package in (ROOT, ROOT / "packages/ol-orchestrate-lib"):
        # From uv's cache alone: `uv run` put the build backend there when it installed these packages.
        command = [uv, "build", "--offline", "--wheel", "--out-dir", str(wheels), str(package)]
        built = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)  # noqa: S603
        if "network was disabled" in built.stderr:
            pytest.skip("the build backend, hatchling, is not in uv's cache: build a wheel once with network")
        assert built.returncode == 0, built.stderr
    command = [uv, "pip", "install", "--offline", "--no-deps", "--python", sys.executable, "--target", str(installed)]
    subprocess.run([*command, *map(str, wheels.glob("*.whl"))], check=True, capture_output=True, cwd=folder)  # noqa: S603
    return installed


@dataclass(frozen=True, slots=True)
class Image:
    """The environment of the image: programs, and the packages of the wheels with what they depend on.

    Args:
        wheels: What `install_wheels` has installed.
        folder: An empty folder, for the programs.
    """

    wheels: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("dagster", "dagster-daemon", "dagster-webserver"):
            script = programs / name
            # The interpreter below the environment: with the environment's own would come the editable checkout.
            script.write_text(SCRIPT.format(python=Path(sys.executable).resolve(), name=name))
            script.chmod(0o755)
        return {
            "PATH": os.pathsep.join([str(programs), os.defpath]),
            "PYTHONNOUSERSITE": "1",
            # As plain entries of the path, the environment's packages do not bring the editable checkout with them.
            "PYTHONPATH": os.pathsep.join([str(self.wheels), sysconfig.get_path("purelib")]),
            "no_grpc_proxy": LOOPBACK,
        }

    def check(self) -> None:
        """Check that it does not use the checkout."""
        code = "import sys, edxorg, ol_orchestrate as ol; print(edxorg.__path__, ol.__path__, *sys.path)"
        python = str(Path(sys.executable).resolve())
        found = subprocess.run(  # noqa: S603
            [python, "-c", code], check=True, capture_output=True, text=True, cwd=self.folder, env=self.environment
        ).stdout
        assert found.startswith(f"['{self.wheels}/edxorg'] ['{self.wheels}/ol_orchestrate']"), found
        assert str(ROOT) not in found.replace(sysconfig.get_path("purelib"), "")


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as the webserver shows it."""

    run_id: str
    job: str
    status: str
    tags: Mapping[str, str]

    @property
    def partition(self) -> str | None:
        return self.tags.get("dagster/partition")

    @property
    def is_finished(self) -> bool:
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


class Deployment:
    """The services of `docker-compose.yaml`, with `dagster.yaml` and `workspace.yaml` in their home.

    Args:
        folder: An empty folder.
        image: The environment of the image.
        variables: Those of `docker-compose.yaml`, for the services and the runs, and others that tests need.
        docker: The address of Docker.
        waits: Shorter waits for `run_monitoring`, since tests have little time.
    """

    def __init__(
        self,
        folder: Path,
        image: Mapping[str, str],
        variables: Mapping[str, str],
        docker: str,
        waits: Mapping[str, int],
    ) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        ports = {"edxorg": free_port(), "webserver": free_port()}
        self.url = f"http://{LOOPBACK}:{ports['webserver']}/graphql"
        instance = safe_load_yaml((DEPLOY / "dagster.yaml").read_text())
        instance["run_monitoring"].update(waits)
        instance["run_coordinator"]["config"]["user_code_failure_retry_delay"] = 2
        for_runs = instance["run_launcher"]["config"]["env_vars"]
        for_runs += [name for name in variables if name not in for_runs]
        workspace = safe_load_yaml((DEPLOY / "workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"].update(host=LOOPBACK, port=ports["edxorg"])
        for name, content in {"dagster.yaml": instance, "workspace.yaml": workspace}.items():
            (self.home / name).write_text(json.dumps(content))
        self.services: dict[str, Service] = {}
        for name in SERVICES:
            described = COMPOSE["services"][name]
            of_service = folder / name
            of_service.mkdir()
            command = [each.replace(HOME, str(self.home)) for each in described.get("command", image_command())]
            for option, value in {"-h": LOOPBACK, "-p": str(ports.get(name))}.items():
                if option in command:
                    command[command.index(option) + 1] = value
            environment = {
                **image,
                **variables,
                "DAGSTER_HOME": str(self.home),
                "HOME": str(of_service),
                "TMPDIR": str(of_service),
                "DOCKER_HOST": docker,
            }
            if name == "edxorg":
                environment["DAGSTER_CURRENT_IMAGE"] = "edxorg:tested"
            if described["read_only"]:
                command = sealed(command, of_service)
            self.services[name] = Service(command, environment, of_service)

    def start(self) -> None:
        """Start all services, in the order of `depends_on`."""
        migration, *others = self.services.values()
        migration.start()
        wait_for(lambda: migration.exit_code is not None)
        assert migration.exit_code == 0, migration.log
        for service in others:
            service.start()
        wait_for(self.is_loaded)

    def close(self) -> None:
        """Kill all services, and print the ends of their logs, which pytest shows if the test has failed."""
        for name, service in self.services.items():
            service.kill()
            sys.stdout.write(f"== {name}\n{service.log[-LOG_SHOWN:]}\n")

    def is_loaded(self) -> bool:
        """Whether the webserver has loaded the location."""
        query = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
        try:
            entries = self.ask(query)["workspaceOrError"]["locationEntries"]
        except httpx.TransportError:
            return False
        return [each["locationOrLoadError"]["__typename"] for each in entries] == ["RepositoryLocation"]

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 - as the query says
        """Ask the webserver, and once more where the connection it had to Postgres is gone."""
        for _ in range(ATTEMPTS):
            response = httpx.post(self.url, json={"query": query, "variables": variables}, timeout=60, trust_env=False)
            answer = response.json()
            if "errors" not in answer:
                return answer["data"]
            time.sleep(1)
        raise AssertionError(answer["errors"])

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on, as a user does."""
        selector = {"repositoryLocationName": "edxorg", "repositoryName": "__repository__", "sensorName": name}
        query = "mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }"
        assert self.ask(query, selector=selector)["startSensor"]["__typename"] == "Sensor"

    def runs(self, partition: str | None = None) -> list[Run]:
        """Return all runs, or those of a partition, the first one first."""
        query = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
        found = [
            Run(each["runId"], each["jobName"], each["status"], {tag["key"]: tag["value"] for tag in each["tags"]})
            for each in self.ask(query)["runsOrError"]["results"]
        ]
        return [run for run in reversed(found) if partition is None or run.partition == partition]

    def materialized(self, *path: str) -> set[str]:
        """Return the partitions of an asset that are recorded."""
        query = """query ($key: AssetKeyInput!) { assetOrError(assetKey: $key) {
            ... on Asset { assetMaterializations(limit: 10000) { partition } } } }"""
        found = self.ask(query, key={"path": path})["assetOrError"]
        return {each["partition"] for each in found.get("assetMaterializations", [])}

    def check(self, name: str, partition: str, *path: str) -> list[bool]:
        """Return if a check of an asset's partition passed, the latest evaluation first."""
        query = """query ($key: AssetKeyInput!, $name: String!, $partition: String!) { assetCheckExecutions(
            assetKey: $key, checkName: $name, partition: $partition, limit: 10) { evaluation { success } } }"""
        found = self.ask(query, key={"path": path}, name=name, partition=partition)["assetCheckExecutions"]
        return [each["evaluation"]["success"] for each in found]

    def slots_taken(self) -> int:
        """Return how many slots of pools are taken."""
        query = "{ instance { concurrencyLimits { activeSlotCount } } }"
        return sum(each["activeSlotCount"] for each in self.ask(query)["instance"]["concurrencyLimits"])
