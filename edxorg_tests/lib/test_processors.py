from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.processors import available_processors

if TYPE_CHECKING:
    from pathlib import Path

V1 = "5:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/system\n"
QUOTA, PERIOD = "sys/fs/cgroup/cpu,cpuacct/{}cpu.cfs_quota_us", "sys/fs/cgroup/cpu,cpuacct/{}cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "300000 100000"}, 3),
        ("0::/../other\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (V1, {QUOTA.format("docker/x/"): "200000", PERIOD.format("docker/x/"): "100000"}, 2),
        (V1, {QUOTA.format(""): "100000", PERIOD.format(""): "100000"}, 1),
        (V1, {QUOTA.format(""): "-1", PERIOD.format(""): "100000"}, 8),
        (V1, {QUOTA.format(""): "200000"}, 8),
        (
            "4:cpuacct,cpu:/a\n",
            {f"sys/fs/cgroup/cpu/a/cpu.cfs_{name}_us": value for name, value in (("quota", "3"), ("period", "1"))},
            3,
        ),
        (None, {}, 8),
    ],
)
def test_a_containers_quota_bounds_the_processors(
    groups: str | None, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    if groups is not None:
        files = {"proc/self/cgroup": groups, **files}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_processors(tmp_path) == expected
