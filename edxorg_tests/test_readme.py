"""The README's commands run as they are written, in their order, and its example is what the demo prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from edxorg_tests.support.shell import Shell

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]

EDXORG = "uv run edxorg "

ELSEWHERE = {
    "uv run edxorg demo": "commands/test_doctor_and_demo.py",
    "~/uv/bin/uv run edxorg demo": "commands/test_doctor_and_demo.py",
}
"""Commands that the tests of a module run."""

FROM_THE_NETWORK = "~/uv/bin/pip install uv"
UI = "DAGSTER_HOME=$PWD/.edxorg/dagster_home uv run dg dev"
SECONDS_TO_START = 200


def test_every_command_is_run_here_or_in_another_test() -> None:
    begun = ("git clone URL", "python3 -m venv ~/uv", FROM_THE_NETWORK, EDXORG, UI)
    assert [each for each in COMMANDS if not each.startswith(begun) and each not in ELSEWHERE] == []
    assert [each for each in ELSEWHERE if each not in COMMANDS] == []
    for module in ELSEWHERE.values():
        assert (ROOT / "edxorg_tests" / module).exists()


@pytest.mark.once
@pytest.mark.timeout(900)
def test_the_commands_run_in_their_order(edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME")
    for variable in ("EDXORG_ARCHIVE_URL", "EDXORG_LANDING_ZONE_URL", "VAULT_ADDR"):
        monkeypatch.delenv(variable, raising=False)
    asked = [each for each in COMMANDS if each.startswith(EDXORG) and each not in ELSEWHERE]
    assert len(asked) > 5
    for command in asked:
        code, printed = edxorg.printed(*shlex.split(command.removeprefix(EDXORG)))
        assert code == 0, (command, printed)
    assert (tmp_path / "report.html").exists()


@pytest.mark.once
def test_the_repository_is_cloned_and_an_environment_made_with_python_alone(tmp_path: Path) -> None:
    (clone,) = (each for each in COMMANDS if each.startswith("git clone"))
    (venv,) = (each for each in COMMANDS if each.startswith("python3 -m venv"))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    (programs / "git").symlink_to(str(shutil.which("git")))
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    for command, place in ((clone.replace(" URL ", f" {ROOT} ") + " && ls pyproject.toml", "edxorg"), (venv, "uv/bin")):
        subprocess.run(["/bin/sh", "-c", command], check=True, cwd=tmp_path, env=environment, capture_output=True)  # noqa: S603
        assert (tmp_path / place).is_dir()
    program = FROM_THE_NETWORK.split(maxsplit=1)[0].replace("~", str(tmp_path))
    subprocess.run([program, "install", "--help"], check=True, cwd=tmp_path, env=environment, capture_output=True)  # noqa: S603


@pytest.mark.once
def test_the_ui_starts_with_the_location_in_it(tmp_path: Path) -> None:
    assert UI in COMMANDS
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    program, *arguments = UI.partition(" uv run ")[2].split()
    (tmp_path / "home").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path / "home")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [str(Path(sys.executable).with_name(program)), *arguments, "--port", str(port)],
            cwd=ROOT,
            env=environment | {"EDXORG_LANDING_ZONE_URL": f"file://{tmp_path}/lake"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        query = json.dumps(
            {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"}
        )
        answer = wait_for_answer(f"http://127.0.0.1:{port}/graphql", query, server, tmp_path / "log")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
    assert "retrieve_edxorg_raw_data" in answer


def wait_for_answer(url: str, query: str, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return httpx.post(url, content=query, headers={"Content-Type": "application/json"}, timeout=60).text
        except httpx.TransportError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
