from __future__ import annotations

import subprocess
import sys

import pytest

from edxorg_tests.support.repository import ROOT


@pytest.mark.once
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("place", "jobs", "kills"),
    [("folder", ["archive", "package", "log", "catalogue"], 13), ("S3", ["archive", "course content", "reports"], 7)],
)
def test_killed_runs_repeated_end_as_undisturbed_ones(place: str, jobs: list[str], kills: int) -> None:
    # In a process of its own, which has no threads, since it forks.
    command = [sys.executable, "-m", "edxorg_tests.crash", "--kills", str(kills), "--seed", "1"]
    command += ["--place", place, *(argument for job in jobs for argument in ("--job", job))]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    assert "again: 0" in result.stdout
