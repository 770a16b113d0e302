import numpy as np
import pytest

from glioseg.core.geometry import Box
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.store.cropped_cases import OnTheFlyCase, StoredCase
from glioseg.data.store.cropped_store import store_case, write_case
from glioseg.data.store.cropping import Placement

GRID = Grid((6, 5, 7), np.diag([-1.0, -1, 1, 1]))
BOX = Box((1, 0, 2), (5, 4, 6))


def test_a_written_case_is_read_back(tmp_path, arrays):
    image, label = arrays
    write_case(tmp_path / "a", image, label, Placement(GRID, BOX), spacings_mm=(1, 2))
    case = StoredCase(tmp_path / "a")
    np.testing.assert_array_equal(case.image(1)[:], image.astype(np.float16))
    np.testing.assert_array_equal(case.label(1)[1:3], label[1:3])
    assert case.image(2).shape == (2, 2, 2, 4)
    assert case.image(2)[0, 0, 0, 0] == pytest.approx(image[:2, :2, :2, 0].mean(), abs=1e-3)
    assert case.placement.box == BOX
    np.testing.assert_array_equal(case.placement.grid.affine, GRID.affine)


def test_store_case_counts_labels_in_the_crop_and_in_the_scan(tmp_path):
    brain = np.zeros(GRID.shape, np.int16)
    brain[1:5, 1:4, 2:6] = np.arange(48).reshape(4, 3, 4) + 1
    labels = np.zeros(GRID.shape, np.float32)
    labels[2, 2, 2:5] = [1, 2, 4]
    files = {name: tmp_path / "raw" / f"a_{name}.nii.gz" for name in (*MODALITIES, "seg")}
    for name, file in files.items():
        write_volume(file, Volume(labels if name == "seg" else brain, GRID))
    case = Case("a", files, LabelScheme.BRATS2021, grade="HGG", age=60.0)
    row = store_case(case, tmp_path / "store" / "a", margin_vox=1, spacings_mm=(1,))
    assert [row[f"{kind}_vox"] for kind in ("ncr", "ed", "et")] == [1, 1, 1]
    assert [row[f"raw_{kind}_vox"] for kind in ("ncr", "ed", "et")] == [1, 1, 1]
    assert row["outside_brain_vox"] == 0
    assert (row["depth_vox"], row["height_vox"], row["width_vox"]) == (6, 5, 6)
    assert StoredCase(tmp_path / "store" / "a").label(1)[:].sum() == 1 + 2 + 3


def test_volumes_in_other_orientations_are_stored_as_if_in_one(tmp_path):
    brain = np.zeros(GRID.shape, np.int16)
    brain[1:5, 1:4, 2:6] = np.arange(48).reshape(4, 3, 4) + 1
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2, 2, 2:5] = [1, 2, 4]
    asr = Grid((1, 1, 1), np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
    crops = []
    for turned in ((), ("flair", "seg"), ("t1",)):
        name = f"a{len(crops)}"
        files = {role: tmp_path / name / f"{name}_{role}.nii" for role in (*MODALITIES, "seg")}
        for role, file in files.items():
            volume = Volume(labels if role == "seg" else brain, GRID)
            write_volume(file, volume.turned_to(asr) if role in turned else volume)
        case = Case(name, files, LabelScheme.BRATS2021)
        store_case(case, tmp_path / "store" / name, margin_vox=1, spacings_mm=(1,))
        stored = StoredCase(tmp_path / "store" / name)
        on_the_fly = OnTheFlyCase(case, tmp_path / "store" / name).open(1)
        crops.append((stored.image(1)[:], stored.label(1)[:], *on_the_fly))
    assert read_volume(tmp_path / "a1" / "a1_flair.nii").grid.orientation == "ASR"
    for crop in crops[1:]:
        for array, expected in zip(crop, crops[0], strict=True):
            np.testing.assert_array_equal(array, expected)
