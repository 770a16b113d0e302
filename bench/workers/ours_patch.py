"""Worker: patches drawn as training draws them, with a clock on what is read."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from serve import serve

from glioseg.data.store.cropped_cases import CroppedCase, Voxels, open_cases
from glioseg.models.training.patch_sampling import sample_patch


@dataclass
class Clock:
    """Seconds and bytes of what was read since it was made."""

    seconds: float = 0.0
    nbytes: int = 0


@dataclass
class ClockedVoxels:
    """An array whose slices are timed."""

    voxels: Voxels
    clock: Clock

    @property
    def shape(self) -> tuple[int, ...]:
        """As the array's own."""
        return self.voxels.shape

    def __getitem__(self, index: Any) -> Any:
        begun = time.perf_counter()
        content = self.voxels[index]
        self.clock.seconds += time.perf_counter() - begun
        self.clock.nbytes += content.nbytes
        return content


@dataclass
class ClockedCase:
    """A case whose reading is timed."""

    case: CroppedCase
    clock: Clock = field(default_factory=Clock)

    def open(self, spacing_mm: int) -> tuple[ClockedVoxels, ClockedVoxels]:
        """As the case's own."""
        begun = time.perf_counter()
        image, label = self.case.open(spacing_mm)
        self.clock.seconds += time.perf_counter() - begun
        return ClockedVoxels(image, self.clock), ClockedVoxels(label, self.clock)


def draw(
    *,
    store: str,
    names: list[str],
    spacing_mm: int,
    shape: list[int],
    tumour_fraction: float,
    draws: int,
) -> dict[str, object]:
    """Draw patches, case after case, and say what reading each took."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    blosc2.set_nthreads(1)
    cases = open_cases(Path(store), names, raw=None)
    _warm(cases, spacing_mm)
    rng, taken = np.random.default_rng(0), []
    for number in range(draws):
        case = ClockedCase(cases[number % len(cases)])
        given = {"spacing_mm": spacing_mm, "shape": tuple(shape), "tumour_fraction": tumour_fraction}
        begun = time.perf_counter()
        sample_patch(rng, case, **given)
        taken.append((case.clock.seconds, time.perf_counter() - begun, case.clock.nbytes))
    read_s, sample_s, nbytes = np.array(taken).T
    low, middle, high = 1e3 * np.quantile(read_s, [0.25, 0.5, 0.75])
    return {
        "read ms": float(middle),
        "read ms q1": float(low),
        "read ms q3": float(high),
        "sample ms": float(1e3 * np.median(sample_s)),
        "read MB": float(np.median(nbytes) / 1e6),
        "draws": draws,
    }


def _warm(cases: Sequence[CroppedCase], spacing_mm: int) -> None:
    """Bring the store into the system's cache."""
    for case in cases:
        for voxels in case.open(spacing_mm):
            voxels[:]


if __name__ == "__main__":
    serve(draw)
