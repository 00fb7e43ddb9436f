"""The catalogue's job against an API behind a proxy, with an untrusted certificate, or one that means harm."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import dagster as dg
import pytest

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.catalogue import courses_of
from edxorg.lib.settings import Settings
from ol_orchestrate.lib.errors import AccessRefusedError
from ol_orchestrate.lib.openedx_api import ApiCredentials, OpenEdxApi
from ol_orchestrate.testing.loopback_certificates import certify_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SECRET = "canary+of/the=secret"  # noqa: S105 - of a server that lives for one test
TOKEN = "canary-of-the-token"  # noqa: S105
CLIENT_ID = "canary-of-the-id"

COURSES = courses_of(10)

Response = tuple[int, bytes]


class Api(ThreadingHTTPServer):
    """Issues one token, and answers all else as the test says."""

    def __init__(self, answer: Callable[[str, Mapping[str, str]], Response], certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.scheme = "http"
        self.asked: list[str] = []
        self.refused_handshakes = 0
        if certificate:
            self.scheme = "https"
            self.socket = certify_loopback(certificate).wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError:  # the client does not trust the certificate
            self.refused_handshakes += 1
            raise

    def credentials(self) -> ApiCredentials:
        return ApiCredentials(CLIENT_ID, SECRET, self.url)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        status, body = self.server.answer(self.path, dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"access_token": TOKEN, "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        thread.join()
        api.server_close()


def page_behind_a_proxy(path: str, headers: Mapping[str, str]) -> Response:
    """Of four courses, two a page, whose `next` the server believes to be plain HTTP."""
    offset = int(parse_qs(urlsplit(path).query).get("offset", ["0"])[0])
    results = [{"key": f"ExX+{number}x", "course_runs": []} for number in range(offset, offset + 2)]
    following = f"http://{headers.get('Host')}{COURSES.path}?limit=2&offset={offset + 2}" if offset < 2 else None
    return 200, json.dumps({"count": 4, "next": following, "results": results}).encode()


def course_keys(credentials: Callable[[], ApiCredentials]) -> list[str]:
    with OpenEdxApi.connect(credentials) as api:
        return [course.key for page in api.pages(COURSES.path, COURSES.page) for course in page.results]


def test_a_catalogue_behind_a_proxy_that_ends_tls_is_read_whole_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    with serving(Api(page_behind_a_proxy, certificate)) as api:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert course_keys(api.credentials) == [f"ExX+{number}x" for number in range(4)]
        assert [urlsplit(path).query for path in api.asked] == ["", "limit=2&offset=2"]


def test_the_field_server_behind_a_proxy_is_read_whole(
    real_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_of_the_field = real_data("field/fakediscovery.py")
    certificate = tmp_path / "certificate.pem"
    certify_loopback(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(server_of_the_field), str(port), "http-next", str(certificate), str(certificate)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:  # noqa: S603 - our own field input
        try:
            wait_for(port)
            read = course_keys(lambda: ApiCredentials("id", "secret-of-it", f"https://127.0.0.1:{port}"))
        finally:
            server.terminate()
    assert read == [f"ExX+{number}x" for number in range(4)]


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def test_an_untrusted_certificate_is_final_and_the_variable_to_set_is_named(tmp_path: Path) -> None:
    with serving(Api(page_behind_a_proxy, tmp_path / "certificate.pem")) as api:
        with pytest.raises(AccessRefusedError, match=r"certificate is not trusted\. Set SSL_CERT_FILE") as caught:
            course_keys(api.credentials)
        assert not caught.value.is_transient
    # Only a server that has ended has counted for sure.
    assert (api.asked, api.refused_handshakes) == ([], 1)


def run_the_catalogue(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], set[str], list[str]]:
    """Run the daily job; its failures, the steps tried again, and all that Dagster serializes of it."""
    monkeypatch.setenv("EDXORG_API_URL", api.url)
    monkeypatch.setenv("EDXORG_API_TOKEN_URL", f"{api.url}/oauth2/access_token")
    monkeypatch.setenv("EDXORG_API_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("EDXORG_API_CLIENT_SECRET", SECRET)
    monkeypatch.chdir(folder)
    job = build_definitions(Settings()).resolve_job_def("edxorg_api_daily_job")
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        told = [dg.serialize_value(each) for each in (instance.get_run_by_id(result.run_id), job.get_job_snapshot())]
        told += [dg.serialize_value(each) for each in instance.all_logs(result.run_id)]
    failures = [event.step_failure_data.user_failure_data for event in result.get_step_failure_events()]
    again = {str(event.step_key) for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"}
    return [str(failure and failure.description) for failure in failures], again, told


def echo(_: str, headers: Mapping[str, str]) -> Response:
    """An error that repeats all that is secret, in many spellings."""
    spelled = [SECRET, quote(SECRET, safe=""), json.dumps(SECRET), CLIENT_ID, headers.get("Authorization", "")]
    return 400, json.dumps({"detail": f"You sent {' '.join(spelled)}"}).encode()


def test_an_api_that_answers_with_the_secret_puts_it_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Api(echo)) as api:
        failures, again, told = run_the_catalogue(api, tmp_path, monkeypatch)
    assert len(failures) == 2
    assert all("status 400" in failure and "You sent" in failure for failure in failures)
    assert again == set()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(content.startswith(b"SQLite") for content in files)
    everything = "\n".join([*failures, *told, *capfd.readouterr(), *(content.decode("latin-1") for content in files)])
    assert not [spelled for spelled in ("canary", quote(SECRET, safe="")) if spelled in everything]


@pytest.mark.parametrize("opening", [b"[", b'{"count":1,"results":[{"key":"a","prerequisites":['])
def test_a_depth_bomb_from_the_api_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: bytes
) -> None:
    with serving(Api(lambda *_: (200, opening + b"[" * 300_000))) as api:
        failures, again, _ = run_the_catalogue(api, tmp_path, monkeypatch)
    assert len(failures) == 2
    assert again == set()
    assert len(api.asked) == 2


RUN_AND_MEASURE = r"""
import re, sys
from pathlib import Path
import dagster as dg
from edxorg.definitions import defs
with dg.instance_for_test(temp_dir=sys.argv[1]) as instance:
    result = defs.resolve_job_def("edxorg_api_daily_job").execute_in_process(instance=instance, raise_on_error=False)
for event in result.get_step_failure_events():
    print(event.step_failure_data.user_failure_data.description)
# Not by getrusage, whose peak is that of the parent where the parent was larger before it started this.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10)
"""


def page_of(part: bytes, count: int) -> bytes:
    """One course with so many equal subjects, the costliest part of a record."""
    return b'{"count":1,"results":[{"key":"a","course_runs":[],"subjects":[' + b",".join([part] * count) + b"]}]}"


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        pytest.param(page_of(b"{}", (32 << 20) // 3 - 100), "JSON values, and the limit is 400,000", id="32 MiB of {}"),
        pytest.param(page_of(b"{}", 199_900), "", id="as many values as are read"),
        pytest.param(page_of(b"7", 399_900), "subjects no. 1: Input should be an object", id="an error in each value"),
    ],
)
def test_a_whole_run_stays_within_512_mb_whatever_the_api_answers(tmp_path: Path, body: bytes, failure: str) -> None:
    """In a process of its own, as the command of a run has it."""
    with serving(Api(lambda *_: (200, body))) as api:
        variables = {
            "EDXORG_API_URL": api.url,
            "EDXORG_API_TOKEN_URL": f"{api.url}/oauth2/access_token",
            "EDXORG_API_CLIENT_ID": CLIENT_ID,
            "EDXORG_API_CLIENT_SECRET": SECRET,
            "EDXORG_LANDING_ZONE_URL": f"file://{tmp_path}/lake",
        }
        ran = subprocess.run(  # noqa: S603 - this interpreter, and the text above
            [sys.executable, "-c", RUN_AND_MEASURE, str(tmp_path)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=True,
            timeout=280,
        )
    *failures, peak = ran.stdout.splitlines()
    assert any(failure in each for each in failures), failures
    assert int(peak) < 512
