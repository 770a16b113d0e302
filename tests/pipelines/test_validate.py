"""Stages validate_raw and validate_cropped, on a cohort of small volumes."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import split
import validate
from _stage import RECORDS, run
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case, read_cohort, write_cohort
from glioseg.data.cohort.unread import Unread, write_unread
from glioseg.data.store.cropped_cases import MANIFEST
from glioseg.data.store.cropped_store import store_cohort
from tests.helpers.progress import PROGRESS

ROOT = Path(__file__).parents[2]
SHAPE = (20, 18, 14)
RAW = Path("data/raw")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two valid cases; contract.yaml expects their shape."""
    monkeypatch.chdir(tmp_path)
    configure("stop")
    rng = np.random.default_rng(5)
    brain = np.zeros(SHAPE, bool)
    brain[5:15, 4:14, 3:11] = True
    seg = np.zeros(SHAPE, np.uint8)
    seg[7:11, 6:10, 4:8], seg[8:10, 7:9, 5:7] = 2, 4
    names = ("one", "two")
    for name in names:
        for role in MODALITIES:
            scan(name, role, (rng.integers(100, 900, SHAPE) * brain).astype(np.int16))
        scan(name, "seg", seg)
    write_cohort(RAW / "cohort.csv", [Case(name, {}, LabelScheme.BRATS2021) for name in names])
    return tmp_path


def configure(on_failure: str, *, on_the_fly: bool = False) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["crop"]["on_the_fly"] = on_the_fly
    params["validate"] = {"on_failure": on_failure}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("contract.yaml").write_text(yaml.safe_dump({"shape": {"voxels": list(SHAPE)}}))


def scan(case: str, role: str, data: np.ndarray) -> None:
    grid = Grid(data.shape, np.diag([-1.0, -1.0, 1.0, 1.0]))
    write_volume(RAW / case / f"{case}_{role}.nii.gz", Volume(data, grid))


def corrupt(case: str) -> None:
    scan(case, "t2", np.ones((20, 18, 13), np.int16))  # bright everywhere, and a slice short


def stage(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["validate.py", *arguments])
    run(validate.main)


def record(name: str) -> dict[str, object]:
    return json.loads(Path(f"reports/validation/{name}.json").read_text())


def test_a_good_cohort_passes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(monkeypatch, "raw")
    assert record("raw")["outcome"] == "passed"
    assert record("raw")["cases"] == {"one": {"status": "accepted"}, "two": {"status": "accepted"}}
    assert (project / "reports/data_docs/raw/index.html").is_file()


def test_stop_prints_one_line_per_violation_and_writes_the_report(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corrupt("two")
    with pytest.raises(SystemExit) as stopped:
        stage(monkeypatch, "raw")
    assert stopped.value.code == ("validate.py: 1 of 2 cases refused; read reports/data_docs/raw/index.html")
    assert [line for line in capsys.readouterr().err.splitlines() if not PROGRESS.fullmatch(line)] == [
        "two/t2 (two_t2.nii.gz): shape: expected (20, 18, 14), got (20, 18, 13)",
        "two/t2 (two_t2.nii.gz): same shape: expected (20, 18, 14) as others of the case, got (20, 18, 13)",
        "two/t2 (two_t2.nii.gz): brain fraction: expected 0.05 to 0.6 of the voxels not 0, got 0",
        "two/t2 (two_t2.nii.gz): contrast: expected brightness that varies in the brain, got one value",
    ]
    assert record("raw")["outcome"] == "failed"
    assert record("raw")["cases"] == {"one": {"status": "accepted"}, "two": {"status": "refused"}}


def test_quarantine_continues_without_the_bad_case(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("quarantine")
    corrupt("two")
    stage(monkeypatch, "raw")
    assert record("raw")["outcome"] == "quarantined"
    assert record("raw")["cases"] == {"one": {"status": "accepted"}, "two": {"status": "refused"}}


def test_quarantine_fails_if_no_case_is_left(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("quarantine")
    corrupt("one")
    corrupt("two")
    with pytest.raises(SystemExit, match="no case with a segmentation is left: 2 of 2 cases refused"):
        stage(monkeypatch, "raw")


def test_a_changed_number_of_crops_fails(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cases = Path("data/cropped"), read_cohort(RAW / "cohort.csv")
    store_cohort(store, cases, margin_vox=1, spacings_mm=(1, 2), records=RECORDS)
    manifest = pd.read_csv(store / MANIFEST)
    manifest.loc[1, "et_vox"] = 7  # of 2·2·2
    manifest.to_csv(store / MANIFEST, index=False)
    with pytest.raises(SystemExit, match=r"1 of 2 cases refused; read reports/data_docs/cropped/index\.html"):
        stage(monkeypatch, "cropped")
    assert record("cropped")["cases"] == {"one": {"status": "accepted"}, "two": {"status": "refused"}}


def test_crops_on_the_fly_are_measured_from_their_scans(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("stop", on_the_fly=True)
    store, cases = Path("data/cropped"), read_cohort(RAW / "cohort.csv")
    store_cohort(store, cases, margin_vox=1, spacings_mm=(), records=RECORDS)
    (RAW / "two" / "two_t2.nii.gz").unlink()
    with pytest.raises(SystemExit, match="1 of 2 cases refused"):
        stage(monkeypatch, "cropped")
    assert record("cropped")["cases"] == {"one": {"status": "accepted"}, "two": {"status": "refused"}}
    assert [line for line in capsys.readouterr().err.splitlines() if not PROGRESS.fullmatch(line)] == [
        f"two (crop at {n} mm): readable: expected an image and a label,"
        " got two/t2: expected a raw scan to crop, got none"
        for n in (1, 2)
    ]


def test_files_that_belong_to_no_case_are_in_the_report(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_unread(RAW / "unread.csv", [Unread(Path("mine/one_adc.nii.gz"), "no role")])
    stage(monkeypatch, "raw")
    assert "1 files of your folder belong to no case: data/raw/unread.csv" in capsys.readouterr().out
    assert record("raw")["unread_files"] == [{"file": "mine/one_adc.nii.gz", "reason": "no role"}]
    page = Path("reports/data_docs/raw/index.html").read_text()
    assert "Files that belong to no case (1)" in page
    assert "mine/one_adc.nii.gz" in page


def test_two_patients_with_the_same_scan_are_reported_and_stay_together(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, names = np.random.default_rng(7), ("one", "two", "three", "four", "five")
    brain = np.zeros(SHAPE, bool)
    brain[5:15, 4:14, 3:11] = True
    for name in names[2:]:
        for role in (*MODALITIES, "seg"):
            own = read_volume(RAW / "one" / f"one_{role}.nii.gz").data
            image = (rng.integers(100, 900, SHAPE) * brain).astype(np.int16)
            noise = (rng.integers(0, 9, SHAPE) * brain).astype(np.int16)
            scan(name, role, own if role == "seg" else own + noise if name == "four" else image)
    write_cohort(RAW / "cohort.csv", [Case(name, {}, LabelScheme.BRATS2021) for name in names])
    stage(monkeypatch, "raw")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "near duplicate" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "warning: four/t1 (four_t1.nii.gz): near duplicate: expected an image that no earlier case has,"
        " got that of one in t1, t1ce, t2, flair, with a correlation of at least "
    )
    assert record("raw")["near_duplicates"] == [["one", "four"]]

    manifest = pd.DataFrame({"case": names, "patient": names, "grade": "HGG", "ncr_vox": range(5)})
    Path("data/cropped").mkdir()
    manifest.assign(ed_vox=1, et_vox=1).to_csv("data/cropped/manifest.csv", index=False)
    for seed in range(10):
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["split"] |= {"seed": seed, "folds": 2}
        Path("params.yaml").write_text(yaml.safe_dump(params))
        split.main()
        splits = json.loads(Path("data/splits.json").read_text())
        for part in ("train", "validation", "test"):
            assert ("one" in splits[part]) == ("four" in splits[part])


@pytest.mark.parametrize("arguments", [(), ("raw", "cropped"), ("training",)])
def test_a_wrong_argument_is_one_line(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"expected one argument of \['raw', 'cropped'\], got"):
        stage(monkeypatch, *arguments)


def test_no_cohort_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configure("stop")
    with pytest.raises(SystemExit, match=r"data/raw/cohort\.csv: No such file"):
        stage(monkeypatch, "raw")
