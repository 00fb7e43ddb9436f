"""Counts the processors that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def available_processors(root: Path = Path("/")) -> int:
    """Return the number of processors that the system grants, or the container's quota is worth if that is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in processors, of the process's control groups and those above them, of either version."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Systems that call the group `cpuacct,cpu` may have mounted it as `cpu,cpuacct`; `cpu` leads to it on all.
        for name in {controllers, controllers and "cpu"}:
            mount = root / "sys/fs/cgroup" / name
            folder = mount / path.lstrip("/")
            # A container may see its own group as the mount's root, and yet read its path on the host.
            for each in (folder, *folder.parents):
                yield from _quota_of(each)
                if each == mount:
                    break


def _quota_of(group: Path) -> Iterator[float]:
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text() for name in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and int(period):  # "max" and -1 are none
            yield int(quota) / int(period)
