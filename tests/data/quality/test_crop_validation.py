"""Stored cases with one defect each: each is refused with the right finding, and a good one is accepted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.quality import gx_validation
from glioseg.data.quality.crop_validation import measure_store
from glioseg.data.quality.expectations import Table, one_of
from glioseg.data.quality.validation_report import ContractError, ValidationReport
from glioseg.data.store.cropped_cases import MANIFEST, StoredCase, StoreError
from glioseg.data.store.cropped_store import store_cohort, write_case

SHAPE = (24, 20, 16)


def healthy(folder: Path, name: str) -> Case:
    """A box of brain with a tumour of all three labels in it; "stray" also has a label far from the brain."""
    rng = np.random.default_rng(3)
    brain = np.zeros(SHAPE, bool)
    brain[4:19, 4:16, 3:13] = True
    seg = np.zeros(SHAPE, np.uint8)
    seg[9:14, 8:12, 6:10], seg[10:13, 9:11, 7:9], seg[10, 9, 7] = 2, 4, 1
    seg[0, 0, 0] = 2 if name == "stray" else 0
    volumes = {m: (rng.integers(50, 900, SHAPE) * brain).astype(np.int16) for m in MODALITIES} | {"seg": seg}
    files = {role: folder / name / f"{name}_{role}.nii.gz" for role in volumes}
    for role, data in volumes.items():
        write_volume(files[role], Volume(data, Grid(SHAPE, np.diag([-1.0, -1.0, 1.0, 1.0]))))
    return Case(name, files, LabelScheme.BRATS2021)


def garble(folder: Path) -> None:
    (folder / "image_1mm.b2nd").write_bytes(b"no Blosc2 frame " * 40)


def rewrite(change: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Path], None]:
    """A defect that changes the 1 mm image or label of a stored case."""

    def defect(folder: Path) -> None:
        case = StoredCase(folder)
        image, label = case.image(1)[:].astype(np.float32), case.label(1)[:]
        change(image, label)
        write_case(folder, image, label, case.placement, spacings_mm=(1, 2))

    return defect


def in_manifest(column: str, by: int) -> Callable[[Path], None]:
    """A defect that changes one number of the case's row in the manifest."""

    def defect(folder: Path) -> None:
        manifest = pd.read_csv(folder.parent / MANIFEST)
        manifest.loc[manifest["case"] == folder.name, column] += by
        manifest.to_csv(folder.parent / MANIFEST, index=False)

    return defect


def move(image: np.ndarray, _: np.ndarray) -> None:
    image[..., 2][image[..., 2] != 0] += 0.1


def stretch(image: np.ndarray, _: np.ndarray) -> None:
    image[..., 0] *= 1.1


def make_infinite(image: np.ndarray, _: np.ndarray) -> None:
    image[8, 8, 6, 0] = np.inf


def lose_label(_: np.ndarray, label: np.ndarray) -> None:
    label[label == 1] = 2


# The healthy tumour: 5·4·4 voxels, 3·2·2 of them core, one of these necrotic: 68 ED, 11 ET, 1 NCR.
DEFECTS: dict[str, tuple[Callable[[Path], object], set[tuple[str, str, str]]]] = {
    "garbled": (garble, {("readable", "an image and a label", "")}),
    "gone": (shutil.rmtree, {("readable", "an image and a label", "")}),
    "infinite": (rewrite(make_infinite), {("finite", "finite values", "1 others")}),
    "lost": (
        rewrite(lose_label),
        {
            ("ncr voxels stored", "1 as the manifest says", "0"),
            ("ed voxels stored", "68 as the manifest says", "69"),
        },
    ),
    "miscounted": (
        in_manifest("ed_vox", -1),
        {
            ("ed voxels kept", "68 as before the crop", "67"),
            ("ed voxels stored", "67 as the manifest says", "68"),
        },
    ),
    "misshapen": (in_manifest("depth_vox", 2), {("image shape", "", "")}),
    "moved": (rewrite(move), {("mean of t2", "0 to 0.01 in the brain", "")}),
    "stretched": (rewrite(stretch), {("deviation of t1", "1 to 0.01 in the brain", "")}),
}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "cropped"
    linked, raw = tmp_path_factory.mktemp("linked"), tmp_path_factory.mktemp("to-crop")
    cases = [healthy(raw, name) for name in ("kept", "stray", *DEFECTS)]
    store_cohort(linked, cases, margin_vox=1, spacings_mm=(1, 2), records=raw / "records")
    shutil.copytree(linked, folder)  # equal cases share their files, but a defect must change only one
    for name, (defect, _) in DEFECTS.items():
        defect(folder / name)
    return folder


@pytest.fixture(scope="session")
def report(store: Path, tmp_path_factory: pytest.TempPathFactory) -> ValidationReport:
    records = tmp_path_factory.mktemp("records")
    crops = measure_store(store, spacings_mm=(1, 2), raw=None, records=records)
    return gx_validation.check_cropped(crops, docs=tmp_path_factory.mktemp("docs") / "cropped")


@pytest.mark.parametrize("name", DEFECTS)
def test_a_bad_crop_is_refused_with_its_findings(name: str, report: ValidationReport) -> None:
    expected_findings = DEFECTS[name][1]
    found = {v.expectation: v for v in report.violations if v.case == name}
    assert set(found) == {expectation for expectation, _, _ in expected_findings}
    for expectation, expected, observed in expected_findings:
        assert found[expectation].expected.endswith(expected)
        assert found[expectation].observed.endswith(observed)
    assert report.cases[name] == "refused"


def test_a_good_crop_is_accepted_and_a_bad_one_stops_the_pipeline(report: ValidationReport) -> None:
    assert report.cases_with("accepted") == ["kept", "stray"]  # only a label outside the brain is lost
    assert report.outcome == "failed"


def test_a_store_without_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"manifest\.csv: not readable"):
        measure_store(tmp_path, spacings_mm=(1,), raw=None, records=tmp_path / "records")


def test_a_rule_that_cannot_be_evaluated_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expectation = one_of("depth", "no such column", [1], expected="1", observed="{depth}")
    table = Table("cropped_cases", [{"case": "a", "role": "", "file": "a.nii"}], [expectation])
    monkeypatch.setattr(gx_validation, "crop_tables", lambda crops: [table])
    with pytest.raises(ContractError, match="'depth' could not be evaluated"):
        gx_validation.check_cropped([], docs=tmp_path / "docs")
    assert list(tmp_path.iterdir()) == []
