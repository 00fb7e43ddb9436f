"""Licenses of dependencies, and what is said of their vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edxorg_tests import licenses
from edxorg_tests.support.processes import LOOPBACK
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

VULNERABLE = "jinja2"


class Advisories(BaseHTTPRequestHandler):
    """A list of vulnerabilities, as api.osv.dev has it, with one of them."""

    def do_POST(self) -> None:
        """Tell which of the packages asked for have any."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.answer({"results": [self.found(query["package"]["name"]) for query in asked]})

    def do_GET(self) -> None:
        """Describe the vulnerability."""
        versions = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
        affected = [{"package": {"ecosystem": "PyPI", "name": VULNERABLE}, "ranges": versions}]
        self.answer({"id": "TEST-1", "modified": "2026-01-01T00:00:00Z", "summary": "a hole", "affected": affected})

    def found(self, package: str) -> dict[str, object]:
        return {"vulns": [{"id": "TEST-1", "modified": "2026-01-01T00:00:00Z"}]} if package == VULNERABLE else {}

    def answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@pytest.fixture
def advisories() -> Iterator[str]:
    with ThreadingHTTPServer((LOOPBACK, 0), Advisories) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    just = Path(sysconfig.get_path("scripts")) / "just"
    return subprocess.run(  # noqa: S603
        [just, "audit", "--service-url", url], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_page_of_licenses_is_what_the_packages_say() -> None:
    assert (ROOT / licenses.PAGE).read_text(encoding="utf-8") == licenses.page()


def test_the_license_of_each_package_that_users_install_is_accepted() -> None:
    found = {package: licenses.license_of(package) for package in licenses.dependencies()}
    assert {"dagster", "dagster-webserver", "sentry-sdk", "uvloop"} <= found.keys()
    assert not {"pytest", "ruff", "pywin32"} & found.keys()
    assert licenses.refused(found) == []
    assert sorted(package for package, name in found.items() if "MPL" in name) == sorted(licenses.COPYLEFT)


@pytest.mark.parametrize("name", ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR AGPL-3.0)", "MPL-2.0", "not said"])
def test_a_license_that_nobody_has_accepted_is_refused(name: str) -> None:
    assert licenses.refused({"fine": "MIT OR Apache-2.0", "new": name}) == ["new"]


@pytest.mark.once
def test_the_audit_fails_with_the_name_of_a_vulnerable_package(advisories: str) -> None:
    found = audit(advisories)
    assert found.returncode == 1
    assert f"{VULNERABLE} " in found.stdout
    assert "TEST-1: a hole" in found.stdout
    assert "Fixed in: 99" in found.stdout


@pytest.mark.once
def test_the_audit_says_that_it_reached_no_list_of_vulnerabilities() -> None:
    found = audit(f"http://{LOOPBACK}:9")
    assert found.returncode == 0
    assert "No list of vulnerabilities was reached, so none were looked for." in found.stdout
