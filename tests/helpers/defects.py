"""A cohort of small cases, each with one defect, and the findings that it must cause."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, read_cohort, write_cohort

SHAPE = (24, 20, 16)
BRATS_AFFINE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
Volumes = dict[str, Volume]
Found = set[tuple[str, str, str, str]]


def healthy(seed: int) -> Volumes:
    """An ellipsoid of brain that contains a tumour of all three labels."""
    rng = np.random.default_rng(seed)
    away = [(np.arange(n) - (n - 1) / 2) / r for n, r in zip(SHAPE, (9, 7, 5), strict=True)]
    brain = sum(axis**2 for axis in np.ix_(*away)) < 1
    grid = Grid(SHAPE, BRATS_AFFINE)
    volumes = {m: Volume((rng.integers(50, 900, SHAPE) * brain).astype(np.int16), grid) for m in MODALITIES}
    seg = np.zeros(SHAPE, np.uint8)
    seg[9:14, 8:12, 6:10], seg[10:13, 9:11, 7:9], seg[10, 9, 7] = 2, 4, 1
    return volumes | {"seg": Volume(seg, grid)}


def edit(
    role: str, change: Callable[[np.ndarray], None], dtype: type = np.int16
) -> Callable[[Volumes], None]:
    """A defect that changes voxels of one volume."""

    def defect(volumes: Volumes) -> None:
        data = volumes[role].data.astype(dtype)
        change(data)
        volumes[role] = replace(volumes[role], data=data)

    return defect


def place(role: str, row: int, column: int, value: float) -> Callable[[Volumes], None]:
    """A defect that changes one entry of a volume's affine."""

    def defect(volumes: Volumes) -> None:
        affine = BRATS_AFFINE.copy()
        affine[row, column] = value
        for name in ROLES if role == "all" else (role,):
            volumes[name] = Volume(volumes[name].data, Grid(SHAPE, affine))

    return defect


def put(index: tuple[object, ...], value: float) -> Callable[[np.ndarray], None]:
    def change(data: np.ndarray) -> None:
        data[index] = value

    return change


def cut(volumes: Volumes) -> None:
    data = volumes["t2"].data[:, :, :15]
    volumes["t2"] = Volume(data, Grid(data.shape, BRATS_AFFINE))


def flatten(data: np.ndarray) -> None:
    data[data != 0] = 100


def as_2023(volumes: Volumes) -> None:
    seg = volumes["seg"].data.astype(np.float32)
    seg[seg == 4] = 3
    volumes["seg"] = replace(volumes["seg"], data=seg)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"no gzip and no NIfTI " * 40)


def corrupt(path: Path) -> None:
    """Overwrite the middle of the compressed bytes; the file keeps its length."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 32] = b"\xff" * 32
    path.write_bytes(content)


def squash(path: Path) -> None:
    """Zero the third row of the affine in the header (srow_z of NIfTI-1, at byte 312)."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[312:328] = bytes(16)
    path.write_bytes(gzip.compress(bytes(content)))


@dataclass(frozen=True)
class Sample:
    """A case: its difference to a valid one, and its expected findings (role, name, expected, observed)."""

    found: Found
    defect: Callable[[Volumes], object] = lambda volumes: None
    damage: tuple[str, Callable[[Path], object]] | None = None
    scheme: LabelScheme = LabelScheme.BRATS2021


VALUES_2021, VALUES_2023 = "0, 1, 2, 4 (brats2021)", "0, 1, 2, 3 (brats2023)"
FRACTION = "0.05 to 0.6 of the voxels not 0"
WHOLE = "a whole 3D NIfTI file"
FIRST = "that of the case's first image to 0.001"
PLACED = "an affine that can be inverted, and voxels of 0.01 to 100 mm"
TWIN = "an image that is no copy of another"
CORNER = (0, 0, 0)
AROUND = "a background of one value, around the brain that the other images show"
BELONG = "labels of these images, at most 10 % of them outside the brain"
VARIES = "brightness that varies in the brain"

SAMPLES = {
    "a-good": Sample(set()),
    "b-good-2023": Sample(set(), as_2023, scheme=LabelScheme.BRATS2023),
    "c-good-no-tumour": Sample(set(), edit("seg", put((...,), 0), np.uint8)),
    "d-good-also-no-tumour": Sample(set(), edit("seg", put((...,), 0), np.uint8)),
    "complex": Sample(
        {("t2", "dtype", "real numbers", "complex64")}, edit("t2", lambda d: None, np.complex64)
    ),
    "constant": Sample({("flair", "contrast", VARIES, "one value")}, edit("flair", flatten)),
    "corrupt": Sample({("t2", "readable", WHOLE, "")}, damage=("t2", corrupt)),
    "empty": Sample(
        {("t2", "brain fraction", FRACTION, "0"), ("t2", "contrast", VARIES, "one value")},
        edit("t2", put((...,), 0)),
    ),
    "full": Sample(set(), edit("t1", lambda d: np.add(d, 1, out=d))),
    "garbage": Sample({("t1", "readable", WHOLE, "")}, damage=("t1", garble)),
    "half-label": Sample(
        {("seg", "labels", VALUES_2021, "0, 0.5, 1, 2, 4")}, edit("seg", put((9, 8, 6), 0.5), np.float32)
    ),
    "infinite": Sample(
        {("t1ce", "infinite", "0 voxels", "2 voxels")},
        edit("t1ce", put(([12, 13], 10, 8), np.inf), np.float32),
    ),
    "label-4-in-2023": Sample({("seg", "labels", VALUES_2023, "0, 1, 2, 4")}, scheme=LabelScheme.BRATS2023),
    "label-7": Sample(
        {("seg", "labels", VALUES_2021, "0, 1, 2, 4, 7")}, edit("seg", put((9, 8, 6), 7), np.uint8)
    ),
    # The first plane has 20 * 16 = 320 voxels outside the brain; the tumour in it has 5 * 4 * 4 = 80.
    "misplaced": Sample(
        {("seg", "labels misplaced", BELONG, "320 voxels (80 %), up to 9.85 mm from the brain")},
        edit("seg", put((0,), 1), np.uint8),
    ),
    "missing": Sample({("t1ce", "modality", "a file for t1ce", "none")}, damage=("t1ce", Path.unlink)),
    "noise": Sample(
        {("t1", "brain fraction", FRACTION, "1"), ("t1", "background", AROUND, "values everywhere")},
        edit("t1", lambda d: np.copyto(d, np.arange(d.size).reshape(d.shape) % 801 + 50)),
    ),
    "nan": Sample(
        {("t1", "NaN", "0 voxels", "3 voxels")}, edit("t1", put((12, 10, slice(6, 9)), np.nan), np.float32)
    ),
    "outside": Sample(set(), edit("seg", put(CORNER, 1), np.uint8)),
    "shape": Sample(
        {
            ("t2", "shape", "(24, 20, 16)", "(24, 20, 15)"),
            ("t2", "same shape", "(24, 20, 16) as others of the case", "(24, 20, 15)"),
        },
        cut,
    ),
    "shifted": Sample({("flair", "affine", FIRST, "a difference of 5")}, place("flair", 0, 3, 5)),
    "singular": Sample(
        {("t2", "placed", PLACED, "an affine that cannot")},
        damage=("t2", squash),
    ),
    "spacing": Sample(
        {(role, "spacing", "(1.0, 1.0, 1.0) mm", "(1.0, 1.0, 2.5) mm") for role in ROLES},
        place("all", 2, 2, 2.5),
    ),
    "truncated": Sample({("flair", "readable", WHOLE, "")}, damage=("flair", truncate)),
    "twin": Sample({(m, "own bytes", TWIN, f"a copy of a-good/{m}") for m in MODALITIES}),
    "unlabelled": Sample(set(), damage=("seg", Path.unlink)),
}


def write_cohort_of(samples: dict[str, Sample], raw: Path) -> list[Case]:
    """Write data/raw as stage acquire does; a twin has the voxels of the first case."""
    for seed, (name, sample) in enumerate(samples.items()):
        volumes = healthy(0 if name == "twin" else seed)
        sample.defect(volumes)
        for role, volume in volumes.items():
            write_volume(raw / name / f"{name}_{role}.nii.gz", volume)
        if sample.damage:
            role, damage = sample.damage
            damage(raw / name / f"{name}_{role}.nii.gz")
    write_cohort(raw / "cohort.csv", [Case(name, {}, sample.scheme) for name, sample in samples.items()])
    return read_cohort(raw / "cohort.csv")
