"""What an answer costs: seconds and memory. They vary from run to run, so no metric stands among them."""

import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from glioseg.core.nifti import Volume
from glioseg.models.inference.prediction import Answer, Ask

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Of one answer: its seconds, and the most memory that its process held meanwhile."""

    seconds: float
    memory_gb: float


def measured(answer: Ask, images: Mapping[str, Volume]) -> tuple[Answer, Cost]:
    """Answer, with a clock beside it."""
    forget_peak()
    start = perf_counter()
    said = answer(images)
    return said, Cost(perf_counter() - start, peak_memory_gb())


def resources(costs: Sequence[Cost]) -> dict[str, float]:
    """What a table of several answers says, whichever processes gave them.

    Returns:
        `case_s`, the median over cases, which leaves out that the first one of a process compiles;
        `memory_gb`, that of the process that held most.
    """
    seconds = median(cost.seconds for cost in costs)
    return {"case_s": round(seconds, 3), "memory_gb": round(max(cost.memory_gb for cost in costs), 3)}


def forget_peak() -> None:
    """Let `peak_memory_gb` begin anew, where the system can: a worker may have done other work before."""
    with suppress(OSError):
        FORGET.write_text("5")


def peak_memory_gb() -> float:
    """The most main memory that this process held so far, in GB of 10⁹ bytes; a GPU's own is not in it."""
    if not STATUS.exists():  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    # Linux: what getrusage says is at least what the process that started this one held.
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
