from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edxorg_tests.support.repository import ROOT


@pytest.mark.timeout(900)
def test_killed_runs_repeated_end_as_undisturbed_ones(tmp_path: Path) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - the runs wait for the disk again and again
    # In a process of its own, which has no threads, since it forks.
    command = [sys.executable, "-m", "edxorg_tests.support.kill_safety", "--points", "4", "--seed", str(os.getpid())]
    result = subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(memory if os.access(memory, os.W_OK) else tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    assert "points=4" in result.stdout
