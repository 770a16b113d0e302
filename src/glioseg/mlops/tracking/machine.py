"""What a machine is, in one line: two with the same line compute the same numbers."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from glioseg.core.cpus import cores

COMPUTING = ("tensorflow", "keras", "numpy", "scipy")
"""Packages whose version may change the last digits of a result."""

CPUS, GPUS = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/gpus")


def machine() -> str:
    """System, processor, cores that this process may use (sums are split over them), GPUs, and versions."""
    parts = [f"{platform.system()} {platform.machine()}", _processor(), f"cores: {cores()}", *_cards()]
    return ", ".join([*parts, f"Python {platform.python_version()}", *_versions()])


def has_gpu(described: str) -> bool:
    """Whether a line of `machine` names a graphics card, which adds up in no fixed order."""
    return "GPU " in described


def only_in(described: str, other: str) -> str:
    """The parts of one line that another does not have.

    >>> only_in("Linux x86_64, cores: 2", "Linux x86_64, cores: 4")
    'cores: 2'
    """
    return ", ".join(part for part in described.split(", ") if part not in other.split(", "))


def _processor() -> str:
    return _field(CPUS, "model name") or platform.processor() or "unknown processor"


def _cards() -> list[str]:
    return [f"GPU {_field(file, 'Model')}" for file in sorted(GPUS.glob("*/information"))]


def _field(file: Path, name: str) -> str:
    """The first value of a name in a file of `name: value` lines, or nothing."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _versions() -> list[str]:
    found = []
    for name in COMPUTING:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return found
