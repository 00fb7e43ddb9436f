"""Samples that are stopped leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg.samples.sample_log import write_sample_log
from edxorg.samples.whole_files import whole_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_interrupted_is_not_there(tmp_path: Path) -> None:
    def stop() -> None:
        with whole_file(tmp_path / "x.csv") as partial:
            partial.write_text("a half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_interrupted_is_not_there(tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_log(tmp_path / "mitx-edx-events-2024-01-30.log.gz", events=100, seed=1, progress=stop)
    assert list(tmp_path.iterdir()) == []
