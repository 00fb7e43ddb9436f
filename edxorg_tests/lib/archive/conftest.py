"""Fixtures of this folder's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.archives import ARCHIVE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archives" / ARCHIVE
