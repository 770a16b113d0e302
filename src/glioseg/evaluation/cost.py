"""Seconds and memory of a prediction. They vary from run to run, so they are separate from the metrics."""

import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from glioseg.core.nifti import Volume
from glioseg.models.inference.prediction import Predict, Prediction

PROC_STATUS, PROC_CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Seconds of one prediction, and the peak memory of its process meanwhile."""

    seconds: float
    memory_gb: float


def predict_with_cost(predict: Predict, images: Mapping[str, Volume]) -> tuple[Prediction, Cost]:
    """Predict a case, and measure time and memory."""
    reset_peak_memory()
    start = perf_counter()
    prediction = predict(images)
    return prediction, Cost(perf_counter() - start, peak_memory_gb())


def summarise_costs(costs: Sequence[Cost]) -> dict[str, float]:
    """Summarise the cost of several predictions, from one or several processes.

    Returns:
        `case_s`, the median over cases, so that compilation in a process's first case has no effect;
        `memory_gb`, the largest peak of any process.
    """
    seconds = median(cost.seconds for cost in costs)
    return {"case_s": round(seconds, 3), "memory_gb": round(max(cost.memory_gb for cost in costs), 3)}


def reset_peak_memory() -> None:
    """Reset `peak_memory_gb`, if the system supports it: a worker may have run other tasks before."""
    with suppress(OSError):
        PROC_CLEAR_REFS.write_text("5")


def peak_memory_gb() -> float:
    """The peak main memory of this process so far, in GB of 10⁹ bytes, without the memory of a GPU."""
    if not PROC_STATUS.exists():  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    # Linux: getrusage includes the peak of the parent process.
    (line,) = (line for line in PROC_STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
