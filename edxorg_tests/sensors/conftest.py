"""A daemon over folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.lib.settings import Settings
from edxorg_tests.support.sensors import (
    Daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Over folders."""
    settings = Settings(
        archive_url=f"file://{tmp_path}/archives",
        program_reports_url=f"file://{tmp_path}/reports",
        program_reports_destination_url=f"file://{tmp_path}/copies",
        archive_source_configured=True,
    )
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Daemon(settings, instance)
