"""What an answer costs: seconds and memory. They vary from run to run, so no metric stands among them."""

import resource
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

from glioseg.data.answers import Answer
from glioseg.data.volumes import Volume
from glioseg.eval.cases import Ask

STATUS = Path("/proc/self/status")


class Meter:
    """Answers as `answer` does, and notes how long each case took."""

    def __init__(self, answer: Ask) -> None:
        self._answer = answer
        self._seconds: list[float] = []

    def __call__(self, images: Mapping[str, Volume]) -> Answer:
        """Answer, with a clock beside it."""
        start = perf_counter()
        answer = self._answer(images)
        self._seconds.append(perf_counter() - start)
        return answer

    def resources(self) -> dict[str, float]:
        """`case_s`, the median over cases, which leaves out that the first one compiles; `memory_gb`."""
        return {"case_s": round(median(self._seconds), 3), "memory_gb": round(peak_memory_gb(), 3)}


def peak_memory_gb() -> float:
    """The most main memory that this process held so far, in GB of 10⁹ bytes; a GPU's own is not in it."""
    if not STATUS.exists():  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    # Linux: what getrusage says is at least what the process that started this one held.
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
