"""The command, for the tests of each part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def edxorg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDXORG_SETTINGS", "")  # which the option --settings sets
    return Shell(monkeypatch, capsys)
