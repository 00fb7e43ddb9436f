"""Docker's interface on loopback, as far as `dagster_docker` uses it: a container is a group of processes here.

The machine of the tests has no Docker. The launcher, its configuration, and what becomes of a run whose container
dies are real; the image, networks and limits of memory are not.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from edxorg_tests.support.processes import Service, sealed
from ol_orchestrate.testing.scripted import Request, Response, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(slots=True)
class Container:
    """One container, and what was asked for."""

    asked: Mapping[str, Any]
    service: Service

    @property
    def command(self) -> list[str]:
        return list(self.asked["Cmd"])

    @property
    def run_id(self) -> str:
        """The run that the launcher started it for."""
        return str(self.asked["Labels"]["dagster/run_id"])

    @property
    def host(self) -> Mapping[str, Any]:
        """Docker's `HostConfig`."""
        found: Mapping[str, Any] = self.asked["HostConfig"]
        return found

    @property
    def status(self) -> str:
        if self.service.process is None:
            return "created"
        return "running" if self.service.exit_code is None else "exited"


@dataclass(slots=True)
class Engine:
    """The containers, of which each has a folder, which is its home and its `/tmp`.

    Args:
        folder: The folder for these folders; its path is short, since GnuPG's sockets are below it.
        image: The environment that the image brings along.
    """

    folder: Path
    image: Mapping[str, str] = field(repr=False)
    containers: dict[str, Container] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, request: Request) -> Response:
        """Answer the client of Docker."""
        path = re.sub(r"^/v[0-9.]+", "", request.path)
        if path == "/version":
            return _json(200, {"ApiVersion": "1.44", "MinAPIVersion": "1.24"})
        if path == "/containers/create":
            return _json(201, {"Id": self._create(json.loads(request.body)), "Warnings": []})
        _, _, name, action = path.split("/")
        container = self.containers.get(unquote(name))
        # Docker forgets a container with auto_remove as soon as it has ended.
        if container is None or (container.status == "exited" and container.host.get("AutoRemove")):
            return _json(404, {"message": f"No such container: {name}"})
        match action:
            case "start":
                container.service.start()
            case "stop":
                container.service.stop(float(request.query.get("t", 10)))
            case _:
                state = {"Status": container.status, "ExitCode": container.service.exit_code or 0}
                return _json(200, {"Id": name, "Name": f"/{name}", "State": state, "Config": {}})
        return Response(204)

    def _create(self, asked: Mapping[str, Any]) -> str:
        name = secrets.token_hex(32)
        folder = self.folder / name[:8]
        temporary = folder / "tmp"
        temporary.mkdir(parents=True)
        given = dict(each.partition("=")[::2] for each in asked["Env"])
        environment = {**self.image, **given, "HOME": str(temporary), "TMPDIR": str(temporary)}
        command = list(asked["Cmd"])
        if asked["HostConfig"].get("ReadonlyRootfs"):
            command = sealed(command, temporary)
        with self.lock:
            self.containers[name] = Container(asked, Service(command, environment, folder))
        return name

    @property
    def running(self) -> list[Container]:
        return [each for each in self.containers.values() if each.status == "running"]


@contextmanager
def serving_docker(image: Mapping[str, str]) -> Iterator[tuple[Engine, str]]:
    """Serve until the block ends; yield the containers, and the address for `DOCKER_HOST`."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="docker-")), image)
    try:
        with serving(engine.respond) as server:
            yield engine, server.url.replace("http://", "tcp://")
    finally:
        for container in engine.containers.values():
            container.service.kill()
        shutil.rmtree(engine.folder, ignore_errors=True)


def _json(status: int, document: object) -> Response:
    return Response(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
