"""Voxels of every NIfTI type: a case passes from acquire to the store, or a finding names its files."""

import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.cohort.cases import COHORT, Case, Scan, read_cohort
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.data_docs import thumbnail
from glioseg.data.quality.expectations import Finding, evaluate_table
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.quality.volume_statistics import measure_scans
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.data.store.cropped_store import store_cohort
from glioseg.params.contract import Contract

THREADS = Cluster("threads")
SHAPE = (12, 14, 11)
AFFINE = np.diag([-1.0, -1, 1, 1])
DATASET_JSON = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}
NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
WITH_ALPHA = np.dtype([*COLOURS.descr, ("A", "u1")])


def images() -> dict[str, np.ndarray]:
    """Values from 1 to 100 in the brain: every type holds them."""
    rng = np.random.default_rng(1)
    brain = np.zeros(SHAPE, bool)
    brain[2:10, 2:12, 2:9] = True
    return {name: rng.integers(1, 101, SHAPE) * brain for name in MODALITIES}


def labels(tissues: tuple[int, int, int]) -> np.ndarray:
    """Core inside enhancing tumour inside oedema, with these values in this order."""
    seg = np.zeros(SHAPE, int)
    seg[4:9, 4:10, 4:8], seg[5:8, 5:9, 5:7], seg[6, 6, 6] = tissues[::-1]
    return seg


def write(path: Path, data: np.ndarray, dtype: np.dtype) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = nib.Nifti1Header(endianness=dtype.byteorder if dtype.byteorder in "<>" else "<")
    header.set_data_dtype(dtype)
    voxels = np.empty(data.shape, dtype)
    for field in dtype.names or (...,):
        voxels[field] = data
    nib.Nifti1Image(voxels, AFFINE, header, dtype=dtype).to_filename(path)


def brats(folder: Path, dtype: np.dtype) -> None:
    for role, data in {**images(), "seg": labels((1, 4, 2))}.items():
        write(folder / "one" / f"one_{role}.nii.gz", data, dtype)


def decathlon(folder: Path, dtype: np.dtype) -> None:
    found = images()
    stack = np.stack([found[name] for name in ("flair", "t1", "t1ce", "t2")], axis=-1)
    write(folder / "imagesTr" / "one.nii.gz", stack, dtype)
    write(folder / "labelsTr" / "one.nii.gz", labels((2, 3, 1)), dtype)
    (folder / "dataset.json").write_text(json.dumps(DATASET_JSON))


def pass_through(home: Path) -> list[Finding]:
    """Acquire, validate, and crop where nothing is critical; the critical findings."""
    acquire_folder(home / "raw", source=home / "scans", records=home / "records", cluster=THREADS)
    cases = read_cohort(home / "raw" / COHORT)
    volumes = measure_cohort(cases, records=home / "records", cluster=THREADS)
    contract = Contract.model_validate(
        {"shape": {"severity": "critical", "predict": "warning", "voxels": SHAPE}}
    )
    found = [f for table in raw_tables(cases, volumes, contract) for f in evaluate_table(table)]
    critical = [finding for finding in found if finding.severity == "critical"]
    if not critical:
        crop = {"margin_vox": 1, "spacings_mm": (1,), "records": home / "records", "cluster": THREADS}
        store_cohort(home / "cropped", cases, **crop)
    return critical


@pytest.mark.parametrize("layout", [brats, decathlon])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", NUMBERS)
def test_real_numbers_pass_all_stages(tmp_path: Path, layout, order: str, dtype: str) -> None:
    layout(tmp_path / "scans", np.dtype(order + dtype))
    assert pass_through(tmp_path) == []
    stored = StoredCase(tmp_path / "cropped" / "one")
    box = stored.placement.box.slices
    for channel, data in enumerate(images().values()):
        voxels = data[data > 0].astype(np.float64)
        expected = np.where(data > 0, (data - voxels.mean()) / voxels.std(), 0)[box]
        np.testing.assert_allclose(stored.image(1)[:][..., channel], expected, atol=2e-3)  # of float16
    np.testing.assert_array_equal(stored.label(1)[:], labels((1, 3, 2))[box])


@pytest.mark.parametrize("layout", [brats, decathlon])
@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.dtype("c8"), "complex64"),
        (np.dtype("c16"), "complex128"),
        (COLOURS, "colours RGB"),
        (WITH_ALPHA, "colours RGBA"),
    ],
)
def test_other_voxels_are_refused_with_a_line_for_each_file(tmp_path: Path, layout, dtype, name: str) -> None:
    layout(tmp_path / "scans", dtype)
    lines = [str(finding) for finding in pass_through(tmp_path)]
    assert lines == [
        f"one/{role} (one_{role}.nii.gz): dtype: expected real numbers, got {name}" for role in ROLES
    ]


@pytest.mark.parametrize("code", [0, 1, 1536, 2048])
def test_unsupported_types_are_refused_with_a_line_that_names_the_file(tmp_path: Path, code: int) -> None:
    """Unknown, one bit per voxel, and the long doubles of other processors."""
    brats(tmp_path / "scans", np.dtype("i2"))
    damaged = tmp_path / "scans" / "one" / "one_t2.nii"
    write(damaged, images()["t2"], np.dtype("i2"))
    (tmp_path / "scans" / "one" / "one_t2.nii.gz").unlink()
    content = bytearray(damaged.read_bytes())
    struct.pack_into("<h", content, 70, code)  # datatype of NIfTI-1
    damaged.write_bytes(content)
    (line,) = [str(finding) for finding in pass_through(tmp_path)]
    assert line.startswith(
        "one/t2 (one_t2.nii): readable: expected a whole 3D NIfTI file, got not a NIfTI file"
    )


def test_long_doubles_are_not_measured_as_real_numbers() -> None:
    volume = Volume(images()["t1"].astype(np.longdouble), Grid(SHAPE, AFFINE))
    if volume.data.dtype == np.float64:
        pytest.skip("a long double is a double here")
    (row,) = measure_scans(Case("one", {}, LabelScheme.BRATS2021), {"t1": Scan("one_t1.nii", volume)})
    assert (row.dtype, row.minimum, row.brain_fraction) == (volume.data.dtype.name, None, None)
    assert thumbnail(volume) is None
