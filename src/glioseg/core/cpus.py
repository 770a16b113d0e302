"""How many CPU cores this process may use, by its affinity and by the quotas of its cgroups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

OWN_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def cores(own: Path = OWN_CGROUPS, mounted: Path = CGROUPS) -> int:
    """CPU cores that this process may use, at least 1.

    The smaller of its CPU affinity (macOS has none: all CPUs) and the smallest quota of its cgroups, rounded
    up. A container with a quota sees all CPUs of its machine.

    Args:
        own: the file that lists the cgroups of this process; other systems than Linux have none.
        mounted: where the file systems of cgroups are mounted.
    """
    quota = min(_quotas(own, mounted), default=math.inf)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, affinity if quota >= affinity else math.ceil(quota))


def _quotas(own: Path, mounted: Path) -> Iterator[float]:
    """The CPU quota, in cores, of each cgroup that has one, from this process's own up to the root."""
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: one hierarchy for all controllers
            for folder in _upwards(mounted, path):
                yield from _quota(_read(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):  # the first is often a link to the second
                for folder in _upwards(mounted / mount, path):
                    quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
                    yield from _quota(f"{quota} {period}")


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The folder of a cgroup and of all its parents; a container often has the root alone mounted."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:depth])


def _quota(words: str) -> Iterator[float]:
    """Cores that "quota period" allows, both in µs; nothing where there is no file or no limit.

    >>> list(_quota("150000 100000")), list(_quota("max 100000")), list(_quota("-1 100000")), list(_quota(""))
    ([1.5], [], [], [])
    """
    match words.split():
        case [quota, period] if quota.isdecimal() and int(quota) > 0:
            yield int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
