"""A hundred hostile inputs; the command brings in as many as it is told, and the known attacks as well."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edxorg_tests.support.repository import ROOT


@pytest.mark.once
@pytest.mark.timeout(900)  # a busy machine takes ten times as long
def test_hostile_inputs_end_in_rejects_or_clear_errors_and_harm_nothing_beside_them() -> None:
    # In a process of its own: the memory of this one counts for each process that it forks.
    command = [sys.executable, "-m", "edxorg_tests.hostile", "--inputs", "100", "--no-attacks"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    assert "100 inputs, 100 of them generated (seed 1): 0 faults" in result.stdout
