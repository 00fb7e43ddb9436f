"""Loading the code location, against importing only the libraries whose resources it has."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.table import Table

LIBRARIES = "import dagster, dagster_aws.s3, dagster_gcp.gcs"
LOCATION = "import edxorg.definitions"


def run(runs: int) -> None:
    """Load both by turns, each in a process of its own, and print the table."""
    _cpu_seconds(LIBRARIES)  # brings the files into memory, and compiles what was not
    _cpu_seconds(LOCATION)
    seconds: dict[str, list[float]] = {LIBRARIES: [], LOCATION: []}
    for _ in range(runs):
        for program, taken in seconds.items():
            taken.append(_cpu_seconds(program))
    table = Table(f"{runs} runs by turns", "CPU s, median", "least", "most", "x the libraries", "load")
    for program, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, seconds[LIBRARIES], strict=True)]
        table.add_row(
            program,
            f"{statistics.median(taken):.2f}",
            f"{min(taken):.2f}",
            f"{max(taken):.2f}",
            f"{statistics.median(ratios):.2f}",
            f"{os.getloadavg()[0]:.1f}",
        )
    Console().print(table)


def _cpu_seconds(program: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, "-c", program], cwd=folder)  # noqa: S603 - our own
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} failed")
    return usage.ru_utime + usage.ru_stime
