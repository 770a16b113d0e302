"""Readable files that contain no valid scan or label map."""

from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import numpy as np

from tests.drills.cohort import AFFINE, IMAGES, ODD, SHAPE, read, scan, write, write_case
from tests.drills.kinds import Defect, Kind, refused, reported, stopped, works

COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BRAIN = (8, 8, 8)
"""A voxel in the brain."""


def voxels(change: Callable[[np.ndarray], np.ndarray], role: str = "t2") -> Defect:
    """Change the voxels of one of Odd's files."""
    return lambda home: write(scan(home, role), change(read(scan(home, role))))


def labels(change: Callable[[np.ndarray], np.ndarray]) -> Defect:
    return voxels(change, "seg")


def one(value: float, dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    """Set a single voxel, in an array of another dtype."""

    def change(data: np.ndarray) -> np.ndarray:
        changed = data.astype(dtype)
        changed[BRAIN] = value
        return changed

    return change


def to(dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda data: data.astype(dtype)


def times(factor: float, dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda data: data.astype(dtype) * np.array(factor, dtype)


def colours(data: np.ndarray) -> np.ndarray:
    return np.zeros(SHAPE, COLOURS)


def outside(data: np.ndarray) -> np.ndarray:
    changed = data.copy()
    changed[0] = 2
    return changed


def elsewhere(role: str) -> Defect:
    """One of Odd's files on a grid that is shifted by 3 mm."""
    shifted = AFFINE.copy()
    shifted[0, 3] = 3
    return lambda home: write(scan(home, role), read(scan(home, role)), shifted)


def flipped(home: Path) -> None:
    """Odd's FLAIR at its place, with the first two axes in the other direction."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:2, 3] = 1 - np.array(SHAPE[:2])
    path = scan(home, "flair")
    write(path, read(path)[::-1, ::-1], affine)


def beside(data: np.ndarray) -> np.ndarray:
    """One of 181 labels, 5 mm outside the brain."""
    changed = data.copy()
    changed[0, 10, 8] = 2
    return changed


def shorter(data: np.ndarray) -> np.ndarray:
    return data[:-1]


def all_black(home: Path) -> None:
    for role in IMAGES:
        write(scan(home, role), np.zeros(SHAPE, np.int16))


SHIFTED = "affine: expected that of the case's first image to 0.001, got a difference of 3"
SCHEME = "labels: expected 0, 1, 2, 4 (brats2021), got "
REAL = "dtype: expected real numbers, got "
EMPTY = "brain fraction: expected 0.05 to 0.6 of the voxels not 0, got 0"
GRID = "shape: expected (24, 20, 16), got (23, 20, 16)"
MIXED = "labels: expected one scheme in the cohort, got brats2021 in Ada, Bo, Cy, brats2023 in Odd"

VOXELS: tuple[Kind, ...] = (
    refused("complex voxels", voxels(to("c8")), REAL + "complex64"),
    refused("complex labels", labels(to("c8")), REAL + "complex64", role="seg"),
    refused("colours", voxels(colours), REAL + "colours RGB"),
    refused("coloured labels", labels(colours), REAL + "colours RGB", role="seg"),
    refused("all zero", voxels(np.zeros_like), EMPTY),
    refused("every image zero", all_black, EMPTY),
    refused(
        "constant", voxels(lambda data: (data > 0).astype("i2")), "contrast: expected brightness that varies"
    ),
    refused("infinite", voxels(one(inf, "f4")), "infinite: expected 0 voxels, got 1 voxels"),
    refused("NaN", voxels(one(nan, "f4")), "NaN: expected 0 voxels, got 1 voxels"),
    refused("nothing but NaN", voxels(lambda data: data * nan), "NaN: expected 0 voxels, got 7680 voxels"),
    refused("near the end of float64", voxels(times(1e300, "f8")), "infinite: expected 0 voxels, got "),
    works("beyond float32", voxels(times(1e40, "f8"))),
    works("int64", voxels(to("i8"))),
    works("uint32 beyond int32", voxels(times(4e6, "u4"))),
    works("uint64 beyond int64", voxels(times(2e16, "u8"))),
    refused("negative labels", labels(one(-1, "i2")), SCHEME + "-1, 0, 1, 2, 4", role="seg"),
    refused("labels of 3.9999", labels(one(3.9999, "f4")), SCHEME + "0, 1, 2, 3.9999, 4", role="seg"),
    refused("label of 7", labels(one(7, "u1")), SCHEME + "0, 1, 2, 4, 7", role="seg"),
    refused("label of NaN", labels(one(nan, "f4")), "NaN: expected 0 voxels, got 1 voxels", role="seg"),
    refused("label of 10^20", labels(one(1e20, "f8")), SCHEME + "0, 1, 2, 4, 1e+20", role="seg"),
    works("labels as float64", labels(to("f8"))),
    works("no tumour", labels(np.zeros_like)),
    stopped("two label schemes", lambda home: write_case(home, ODD, seed=3, et=3), "acquire", MIXED),
    refused(
        "labels of another scan", labels(outside), "labels misplaced: expected labels of these", role="seg"
    ),
    reported(
        "label beside the brain",
        labels(beside),
        "labels outside brain: expected at most 0.1 % of the labels where every image is 0, and these within"
        " 3 mm of the brain, got 1 voxels (0.552 %), up to 5 mm from the brain",
        stage="validate",
    ),
    works("background of 1e-4", voxels(lambda data: np.where(data == 0, 1e-4, data).astype("f4"))),
    works("standardised over the volume", voxels(lambda data: ((data - data.mean()) / 100).astype("f4"))),
    refused(
        "no background",
        voxels(lambda data: np.arange(data.size, dtype="i2").reshape(SHAPE) + 50),
        "background: expected a background of one value, around the brain that the other images show, got",
    ),
    works("image in another orientation", flipped),
    refused("image on another grid", voxels(shorter), GRID),
    refused("labels on another grid", labels(shorter), GRID, role="seg"),
    refused("image at another place", elsewhere("t2"), SHIFTED),
    refused("labels at another place", elsewhere("seg"), SHIFTED, role="seg"),
)
