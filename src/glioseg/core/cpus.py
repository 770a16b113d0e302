"""The number of CPU cores that this process may use, from its affinity and the quotas of its cgroups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

OWN_CGROUPS, CGROUP_MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_cores(own_cgroups: Path = OWN_CGROUPS, cgroup_mount: Path = CGROUP_MOUNT) -> int:
    """CPU cores that this process may use, at least 1.

    This is the smaller of its CPU affinity (all CPUs on macOS, which has none) and the smallest quota of its
    cgroups, rounded up. `os.cpu_count` in a container with a quota counts all CPUs of the machine.

    Args:
        own_cgroups: the file that lists the cgroups of this process; only Linux has one.
        cgroup_mount: the folder where the cgroup file systems are mounted.
    """
    quota = min(_quotas(own_cgroups, cgroup_mount), default=math.inf)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, affinity if quota >= affinity else math.ceil(quota))


def _quotas(own_cgroups: Path, cgroup_mount: Path) -> Iterator[float]:
    """The CPU quotas, in cores, of this process's cgroup and of its ancestors, where they have one."""
    for line in _read_if_exists(own_cgroups).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # cgroup version 2: one hierarchy for all controllers
            for folder in _with_ancestors(cgroup_mount, path):
                yield from _parse_quota(_read_if_exists(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):  # the first is often a link to the second
                for folder in _with_ancestors(cgroup_mount / mount, path):
                    quota, period = (
                        _read_if_exists(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
                    )
                    yield from _parse_quota(f"{quota} {period}")


def _with_ancestors(root: Path, path: str) -> Iterator[Path]:
    """The folder of a cgroup and of all its ancestors: a container often mounts only the root."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:depth])


def _parse_quota(text: str) -> Iterator[float]:
    """Cores that "quota period" allows, both in µs; nothing if the text is empty or sets no limit.

    >>> list(_parse_quota("150000 100000")), list(_parse_quota("max 100000"))
    ([1.5], [])
    >>> list(_parse_quota("-1 100000")), list(_parse_quota(""))
    ([], [])
    """
    match text.split():
        case [quota, period] if quota.isdecimal() and int(quota) > 0:
            yield int(quota) / int(period)


def _read_if_exists(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
