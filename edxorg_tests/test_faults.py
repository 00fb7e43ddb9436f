"""Some of the faults that `python -m edxorg_tests.faults` puts between jobs and their servers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edxorg_tests.support.repository import ROOT


@pytest.mark.once
@pytest.mark.timeout(900)
def test_no_fault_is_lost_in_silence() -> None:
    # In a process of its own, which has no threads, since it forks.
    command = [sys.executable, "-m", "edxorg_tests.faults", "--faults", "50", "--seed", "3"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    assert "50 faults" in result.stdout
