"""The command, and the packages as wheels, for the tests of each part of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.deployment import install_wheels
from edxorg_tests.support.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def edxorg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDXORG_SETTINGS", "")  # which the option --settings sets
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def wheels_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages, installed from their wheels and without what they depend on."""
    return install_wheels(tmp_path_factory.mktemp("wheels"))
