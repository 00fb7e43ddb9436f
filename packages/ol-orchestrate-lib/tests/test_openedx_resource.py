"""The Open edX resources: nothing happens before first use, and no secret is in what Dagster stores."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import dagster as dg
import hvac
import pytest
from dagster import serialize_value
from dagster._core.remote_representation.external_data import RepositorySnap

from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError
from ol_orchestrate.resources.openedx import OpenEdxApiClient, OpenEdxApiClientFactory
from ol_orchestrate.resources.secrets.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ol_orchestrate.testing.servers import OpenBaoServer

SECRET = "canary-of-the-secret"  # noqa: S105 - of a server that lives for one test
CLIENT_ID = "canary-of-the-id"
VARIABLES = ("URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET")


class Deployment(ThreadingHTTPServer):
    """An LMS with one course; `clients` are the ids that asked for a token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clients: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Deployment

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.clients += form["client_id"]
        self._say({"access_token": f"token-for-{form['client_secret'][0]}", "expires_in": 3600})

    def do_GET(self) -> None:
        accepted = self.headers["Authorization"] == f"JWT token-for-{SECRET}"
        if accepted:
            self._say({"results": [{"id": "course-v1:a+b+c"}], "pagination": {"next": None, "count": 1}})
        else:
            self._say({"detail": "no"}, status=401)

    def _say(self, body: dict[str, object], status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Keep the test's output clean."""


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    server = Deployment()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"EDXORG_API_{name}", raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, deployment: Deployment) -> None:
    values = (deployment.url, f"{deployment.url}/oauth2/access_token", CLIENT_ID, SECRET)
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(f"EDXORG_API_{name}", value)


@pytest.fixture
def vault(openbao_server: OpenBaoServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """A Vault that holds the secret of the deployment `edxorg`."""
    for name, value in openbao_server.environment.items():
        monkeypatch.setenv(name, value)
    client = hvac.Client(openbao_server.address, token=openbao_server.token)
    client.secrets.kv.v2.create_or_update_secret(
        "pipelines/edx/edxorg/edx-oauth-client",
        {"id": CLIENT_ID, "secret": SECRET, "url": deployment.url, "studio_url": deployment.url},
        mount_point="secret",
    )
    return Vault(address=openbao_server.address)


IN_THE_TEST_VAULT = "secret/pipelines/edx/{deployment}/edx-oauth-client"


@pytest.fixture
def unreachable_vault() -> Vault:
    return Vault(address="http://127.0.0.1:1")


class TestFactory:
    def test_the_factory_reads_the_credentials_from_vault(self, vault: Vault, deployment: Deployment) -> None:
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=vault, secret_path=IN_THE_TEST_VAULT)
        assert deployment.clients == []
        assert list(resource.client.course_ids()) == ["course-v1:a+b+c"]
        assert deployment.clients == [CLIENT_ID]
        resource.client.close()

    def test_the_path_of_the_secret_contains_the_deployment(self, unreachable_vault: Vault) -> None:
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault)
        with pytest.raises(PipelineError, match="secret-data/pipelines/edx/edxorg/edx-oauth-client"):
            resource.credentials()

    def test_four_variables_win_over_vault(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_variables(monkeypatch, deployment)
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault)
        assert list(resource.client.course_ids()) == ["course-v1:a+b+c"]
        resource.client.close()

    def test_some_of_the_four_variables_are_an_error(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_variables(monkeypatch, deployment)
        monkeypatch.delenv("EDXORG_API_CLIENT_SECRET")
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault)
        with pytest.raises(AccessRefusedError, match="EDXORG_API_CLIENT_SECRET not set"):
            next(resource.client.course_ids())

    def test_variables_of_another_deployment_are_ignored(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in zip(VARIABLES, (deployment.url, deployment.url, "i", "s"), strict=True):
            monkeypatch.setenv(f"MITX_STAGING_API_{name}", value)
        resource = OpenEdxApiClientFactory(deployment="mitx-staging", vault=unreachable_vault)
        assert resource.credentials().client_id == "i"

    def test_threads_share_one_client(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_variables(monkeypatch, deployment)
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault)
        with ThreadPoolExecutor(8) as pool:
            clients = set(pool.map(lambda _: resource.client, range(32)))
            answers = list(pool.map(lambda _: list(resource.client.course_ids()), range(8)))
        assert len(clients) == 1
        assert answers == [["course-v1:a+b+c"]] * 8
        assert deployment.clients == [CLIENT_ID]
        resource.client.close()

    def test_the_end_of_a_run_closes_its_connections(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_variables(monkeypatch, deployment)
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault)
        used = resource.client
        list(used.course_ids())
        resource.teardown_after_execution(dg.build_init_resource_context())
        with pytest.raises(RuntimeError, match="client has been closed"):
            list(used.course_ids())
        assert list(resource.client.course_ids()) == ["course-v1:a+b+c"]
        resource.client.close()

    def test_the_budget_reaches_the_client(
        self, unreachable_vault: Vault, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_variables(monkeypatch, deployment)
        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=unreachable_vault, requests_per_hour=2)
        list(resource.client.course_ids())  # a token and a page
        with pytest.raises(ServiceError, match="2 requests within an hour"):
            list(resource.client.course_ids())
        resource.client.close()


class TestClient:
    def test_the_client_reads_two_variables_at_first_use(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resource = OpenEdxApiClient(
            base_url=deployment.url,
            client_id_variable="SOME_ID",
            client_secret_variable="SOME_SECRET",  # noqa: S106 - a name
        )
        client = resource.client
        with pytest.raises(AccessRefusedError, match=f"{deployment.url}. Set SOME_ID and SOME_SECRET"):
            list(client.course_ids())
        monkeypatch.setenv("SOME_ID", CLIENT_ID)
        monkeypatch.setenv("SOME_SECRET", SECRET)
        assert list(client.course_ids()) == ["course-v1:a+b+c"]
        client.close()


# Dagster itself uses what it deprecates, wherever one resource holds another.
@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning")
class TestInDagster:
    def test_a_run_uses_the_api_and_nothing_stored_holds_a_secret(
        self, vault: Vault, deployment: Deployment, capfd: pytest.CaptureFixture[str]
    ) -> None:
        @dg.op
        def ask(edxorg_api: OpenEdxApiClientFactory) -> list[str]:
            return list(edxorg_api.client.course_ids())

        @dg.op
        def ask_again(edxorg_api: OpenEdxApiClientFactory, courses: list[str]) -> None:
            assert list(edxorg_api.client.course_ids()) == courses
            edxorg_api.client.course_outline("..")  # refused: a failure is stored as well

        @dg.job
        def asking() -> None:
            ask_again(ask())

        resource = OpenEdxApiClientFactory(deployment="edxorg", vault=vault, secret_path=IN_THE_TEST_VAULT)
        defs = dg.Definitions(jobs=[asking], resources={"edxorg_api": resource, "vault": vault})
        job = defs.resolve_job_def("asking")
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance, raise_on_error=False)
            events = [serialize_value(entry) for entry in instance.all_logs(result.run_id)]
            snapshot = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            assert run.job_snapshot_id is not None
            of_the_run = serialize_value(run) + serialize_value(instance.get_job_snapshot(run.job_snapshot_id))
        captured = capfd.readouterr()
        stored = "".join([*events, snapshot, of_the_run, repr(resource), captured.out, captured.err])
        assert not result.success
        assert result.output_for_node("ask") == ["course-v1:a+b+c"]
        assert deployment.clients == [CLIENT_ID]
        assert "edx-oauth-client" in stored  # where to look is no secret
        assert "is no course id" in stored
        for canary in (CLIENT_ID, SECRET):
            assert canary not in stored
