"""An archive of large tables, and a store that takes its time for each request."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edxorg_tests.archives import table_name, write_archive
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving

if TYPE_CHECKING:
    import pytest

TABLES = 6
TABLE_BYTES = 12 << 20

BUDGET = 4
"""Parts of uploads that a run sends at one time."""

MEASURED = (
    "import subprocess, sys\n"
    "from benchmarks.measure import measured\n"
    "with measured(own=False) as measurement:\n"
    "    code = subprocess.call(sys.argv[1:])\n"
    "print(code, measurement.peak_bytes >> 20)\n"
)


class SlowS3(ScriptedS3):
    """Takes a third of a second for each upload, and counts how many are under way; keeps no bytes."""

    def __init__(self) -> None:
        super().__init__(keep=False)
        self.most = 0
        self._now = 0
        self._counting = threading.Lock()

    def __call__(self, request: Request) -> Response:
        if request.method != "PUT" or len(request.body) <= 1 << 20:
            return super().__call__(request)
        self._count(1)
        time.sleep(0.3)
        self._count(-1)
        return super().__call__(request)

    def _count(self, more: int) -> None:
        with self._counting:
            self._now += more
            self.most = max(self.most, self._now)


def test_many_large_tables_and_a_slow_store_stay_within_the_memory_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = b"%07d\t" + b"x" * 400 + b"\n"
    table = b"id\tname\n" + b"".join(line % number for number in range(TABLE_BYTES // 409))
    members = {table_name(course=f"MITx-6.0{number}x-2012_Fall"): table for number in range(TABLES)}
    archive = write_archive(tmp_path / "mitx-2024-01-31.tar.gz", members)
    script = SlowS3()
    with serving(script) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_REGION": "us-east-1",
            "EDXORG_WORKERS": "4",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        command = [str(Path(sys.executable).with_name("edxorg")), "ingest", "archive", str(archive)]
        run = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-c", MEASURED, *command, "--landing-zone", "s3://lake/zone"],
            cwd=tmp_path,
            env=os.environ,
            check=True,
            capture_output=True,
            text=True,
            timeout=280,
        )
    code, peak = (int(word) for word in run.stdout.split()[-2:])
    assert code == 0, run.stdout + run.stderr
    assert len([key for key in script.objects if "/db_table/" in key]) == TABLES
    assert script.uploads == {}
    assert 1 < script.most <= BUDGET
    assert peak <= 512
