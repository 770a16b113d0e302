from pathlib import Path

import numpy as np
import pytest

from glioseg.core.files import FileError
from glioseg.core.geometry import Box
from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.store.cropped_store import (
    StoredCase,
    StoreError,
    open_cases,
    read_table,
    store_case,
    write_case,
)
from glioseg.data.store.cropping import CropError, Placement
from glioseg.data.store.resolution import coarse_labels

GRID = Grid((6, 5, 7), np.diag([-1.0, -1, 1, 1]))
BOX = Box((1, 0, 2), (5, 4, 6))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(4, 4, 4, 4)).astype(np.float32)
    return image, rng.integers(0, 4, (4, 4, 4), dtype=np.uint8)


def test_what_was_written_is_read(tmp_path, arrays):
    image, label = arrays
    write_case(tmp_path / "a", image, label, Placement(GRID, BOX), spacings_mm=(1, 2))
    case = StoredCase(tmp_path / "a")
    np.testing.assert_array_equal(case.image(1)[:], image.astype(np.float16))
    np.testing.assert_array_equal(case.label(1)[1:3], label[1:3])
    assert case.image(2).shape == (2, 2, 2, 4)
    assert case.image(2)[0, 0, 0, 0] == pytest.approx(image[:2, :2, :2, 0].mean(), abs=1e-3)
    assert case.placement.box == BOX
    np.testing.assert_array_equal(case.placement.grid.affine, GRID.affine)


@pytest.mark.parametrize(("tumour_vox", "expected"), [(4, 3), (3, 0)])
def test_a_coarse_voxel_takes_the_regions_of_half_of_its_voxels(tumour_vox, expected):
    label = np.zeros(8, np.uint8)
    label[:tumour_vox] = 3
    assert coarse_labels(label.reshape(2, 2, 2), 2).item() == expected


def test_store_case_counts_labels_before_and_after(tmp_path):
    brain = np.zeros(GRID.shape, np.int16)
    brain[1:5, 1:4, 2:6] = np.arange(48).reshape(4, 3, 4) + 1
    labels = np.zeros(GRID.shape, np.float32)
    labels[2, 2, 2:5] = [1, 2, 4]
    files = {name: tmp_path / "raw" / f"a_{name}.nii.gz" for name in (*MODALITIES, "seg")}
    for name, file in files.items():
        write_volume(file, Volume(labels if name == "seg" else brain, GRID))
    case = Case("a", files, Scheme.BRATS2021, grade="HGG", age=60.0)
    row = store_case(case, tmp_path / "store" / "a", margin_vox=1, spacings_mm=(1,))
    assert [row[f"{kind}_vox"] for kind in ("ncr", "ed", "et")] == [1, 1, 1]
    assert [row[f"raw_{kind}_vox"] for kind in ("ncr", "ed", "et")] == [1, 1, 1]
    assert (row["depth_vox"], row["height_vox"], row["width_vox"]) == (6, 5, 6)
    assert StoredCase(tmp_path / "store" / "a").label(1)[:].sum() == 1 + 2 + 3


def write_manifest(store: Path, *rows: str) -> None:
    (store / "manifest.csv").write_text("\n".join(["case,grade,survival_days", *rows]) + "\n")


def test_cases_are_opened_in_the_order_asked_with_their_outcomes(tmp_path, arrays):
    for name in ("a", "007"):
        write_case(tmp_path / name, *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    write_manifest(tmp_path, "a,HGG,300.5", "007,,")
    one, two = open_cases(tmp_path, ["007", "a"], raw=None)
    assert (one.name, one.grade, one.survival_days) == ("007", None, None)
    assert (two.name, two.grade, two.survival_days) == ("a", "HGG", 300.5)
    image, label = two.open(1)
    assert (image.shape, label.shape) == ((4, 4, 4, 4), (4, 4, 4))
    np.testing.assert_array_equal(label[:2], arrays[1][:2])


def test_to_open_a_stored_case_reads_no_voxel(tmp_path, arrays):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    arrays_on_disk = StoredCase(tmp_path / "a").open(1)
    assert not any(isinstance(array, np.ndarray) for array in arrays_on_disk)
    assert all(isinstance(array[:1], np.ndarray) for array in arrays_on_disk)


def test_a_case_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.csv: not readable: No such file"):
        open_cases(tmp_path, ["a"], raw=None)
    write_manifest(tmp_path, "a,,")
    with pytest.raises(StoreError, match=r"manifest\.csv: expected a row of b, got none"):
        open_cases(tmp_path, ["b"], raw=None)
    with pytest.raises(StoreError, match="a: expected the folder of a cropped case, got none"):
        open_cases(tmp_path, ["a"], raw=None)
    (tmp_path / "manifest.csv").write_text("case\na\n")
    with pytest.raises(StoreError, match=r"missing \['grade', 'survival_days'\]"):
        open_cases(tmp_path, ["a"], raw=None)


def test_a_table_or_a_placement_that_cannot_be_read_is_named(tmp_path, arrays):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    write_manifest(tmp_path, "a,HGG,long")
    with pytest.raises(StoreError, match=r"manifest\.csv: a: survival_days: .*'long'"):
        open_cases(tmp_path, ["a"], raw=None)
    for content, why in ((b"\xff", "not a table: .*utf-8"), (b"case\n" + b"a" * 200_000, "field larger")):
        (tmp_path / "manifest.csv").write_bytes(content)
        with pytest.raises(StoreError, match=rf"manifest\.csv: .*{why}"):
            open_cases(tmp_path, ["a"], raw=None)
    (tmp_path / "a/placement.json").write_text("{")
    with pytest.raises(FileError, match=r"placement\.json: not JSON: "):
        StoredCase(tmp_path / "a").placement  # noqa: B018
    (tmp_path / "a/placement.json").write_text("{}")
    with pytest.raises(CropError, match=r"placement\.json: not the placement of a crop: KeyError\('shape'\)"):
        StoredCase(tmp_path / "a").placement  # noqa: B018


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_an_array_that_cannot_be_opened_is_named(tmp_path, arrays, content):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    file = tmp_path / "a" / "label_1mm.b2nd"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=r"label_1mm\.b2nd: not readable: "):
        StoredCase(tmp_path / "a").open(1)


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "not readable: No columns"), ('case\n"', "not readable: "), ("case,voxels\na,many", "")],
)
def test_a_table_that_pandas_cannot_read_is_named(tmp_path, content, why):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(StoreError, match=rf"manifest\.csv: {why}"):
        read_table(tmp_path / "manifest.csv", {"voxels": int})
