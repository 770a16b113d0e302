import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.mlops.tracking import model_uri
from glioseg.models.inference import loading
from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.predictor import Predictor
from tests.helpers.models import IDENTITY_ESTIMATOR, Formula, make_settings
from tests.helpers.predicting import GRID, everywhere, make_scan, run, use_formula, write_scans


@pytest.fixture
def models(monkeypatch):
    return use_formula(monkeypatch)


def error_line(result):
    """The message of `sys.exit`: a shell shows it on stderr, typer's runner returns it in stdout."""
    return result.stdout


def test_an_interval_names_its_level(models, tmp_path):
    models["settings"] = make_settings(volume_intervals=VolumeIntervals((0.0, 5.0, 0.0), 0.875, cases=7))
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    ends = {"WT": "0.4 to 0.4", "TC": "0.0 to 0.4", "ET": "0.0 to 0.0"}
    ml = {"WT": 0.4, "TC": 0.4, "ET": 0.0}
    volumes = ", ".join(f"{name} {ml[name]} ml (88 % interval {ends[name]})" for name in ml)
    assert f"one.nii.gz: {volumes}" in result.stdout
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["interval_level"], row["wt_low_ml"], row["wt_high_ml"]) == (
        "0.875",
        row["wt_ml"],
        row["wt_ml"],
    )


@pytest.mark.parametrize(("cases", "word"), [("synthetic", True), ("real", False), (None, False)])
def test_what_rests_on_phantoms_alone_is_called_synthetic(models, tmp_path, cases, word):
    models["settings"] = make_settings(
        volume_intervals=VolumeIntervals((0.0, 5.0, 0.0), 0.875, cases=7),
        confidence=IDENTITY_ESTIMATOR,
        calibrated_on=cases,
    )
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert ("WT 0.4 ml (88 % interval 0.4 to 0.4, synthetic)" in result.stdout) == word
    assert ("ET: expected Dice 0.00 (synthetic)" in result.stdout) == word
    assert "ET: expected Dice 0.00" in result.stdout
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["calibrated_on"] == (cases or "")


def test_each_case_prints_one_line_with_volumes(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    write_scans(tmp_path / "scans", "two", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    volumes = "WT 0.4 ml, TC 0.4 ml, ET 0.0 ml"  # the model has no intervals
    lines = [line for line in result.stdout.splitlines() if "ml" in line]
    assert lines == [f"{name}: {tmp_path / 'out' / name}.nii.gz: {volumes}" for name in ("one", "two")]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one.nii.gz", "summary.csv", "two.nii.gz"]
    assert models["folders"] == [Path("folder of models:/glioseg@champion")]
    labels = read_volume(tmp_path / "out" / "one.nii.gz")
    assert np.unique(labels.data).tolist() == [0, 1]
    np.testing.assert_array_equal(labels.grid.affine, GRID.affine)


def test_a_decathlon_case_is_segmented_with_the_labels_of_its_scheme(models, tmp_path):
    task = tmp_path / "Task01_BrainTumour"
    (task / "imagesTs").mkdir(parents=True)
    scan = np.stack([make_scan(seed) for seed in range(4)], axis=-1)
    nib.save(nib.Nifti1Image(scan, GRID.affine), task / "imagesTs" / "BRATS_485.nii.gz")
    about = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    }
    (task / "dataset.json").write_text(json.dumps(about))
    result = run(task, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    # The necrotic core of the whole brain: 1 in BraTS, 2 in the Decathlon.
    assert np.unique(read_volume(tmp_path / "out" / "BRATS_485.nii.gz").data).tolist() == [0, 2]
    assert "own bytes" not in result.stderr


def test_missing_modalities_are_named_and_warned_of_without_modality_dropout(models, tmp_path):
    write_scans(tmp_path / "scans", "one", ["t1ce", "t2"])
    result = run(tmp_path / "scans", "-o", tmp_path / "seg.nii.gz")
    assert result.exit_code == 0, result.output
    assert "ET 0.0 ml, missing t1 and flair" in result.stdout
    assert result.stderr.count("warning: the model was trained with train.modality_dropout 0") == 1
    models["settings"] = make_settings(modality_dropout=0.1)
    result = run(tmp_path / "scans", "-o", tmp_path / "seg.nii.gz")
    assert "missing t1 and flair" in result.stdout
    assert "modality_dropout" not in result.stderr


def test_without_t1ce_the_line_and_the_summary_say_so_in_place_of_numbers(models, tmp_path):
    write_scans(tmp_path / "scans", "one", ["t1", "t2", "flair"])
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "TC cannot be judged without T1ce, ET cannot be judged without T1ce, missing t1ce" in result.stdout
    with (tmp_path / "out" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["tc_ml"], row["et_ml"], row["et_low_ml"], row["et_confidence"]) == ("", "", "", "")
    assert float(row["wt_ml"]) > 0
    assert (
        row["low_confidence_reasons"] == "TC cannot be judged without T1ce; ET cannot be judged without T1ce"
    )


@pytest.mark.parametrize("name", ["seg.nii.gz", "seg.nii"])
def test_the_entropy_map_is_written_beside_the_labels(models, tmp_path, name):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    assert run(tmp_path / "scans", "-o", tmp_path / name, "--entropy").exit_code == 0
    labels = read_volume(tmp_path / name)
    entropy = read_volume(tmp_path / name.replace("seg", "seg_entropy"))
    # Oedema or core with probability 1/2 each: 1 bit.
    np.testing.assert_allclose(entropy.data, np.where(labels.data > 0, 1.0, 0.0), atol=1e-5)
    assert entropy.data.dtype == np.float32


def test_models_memory_budget_and_mirroring_are_passed_on(models, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Predictor, "predict", lambda self, images: seen.append(self.settings) or 1 / 0)
    write_scans(tmp_path / "scans", "one", MODALITIES)
    words = ["--model", "a", "--model", "b", "--memory-gb", "2.5", "--mirror"]
    assert run(tmp_path / "scans", "-o", tmp_path / "out", *words).exit_code == 1
    assert models["folders"] == [Path("folder of a"), Path("folder of b")]
    assert seen == [make_settings(memory_gb=2.5, mirror=True)]


def test_a_bug_in_a_model_is_not_reported_as_a_rejection(models, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "predict", lambda self, images: np.zeros(2) + np.zeros(3))
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert isinstance(result.exception, ValueError)
    assert result.exception.__traceback__.tb_next is not None
    assert "could not be broadcast" not in result.output


def test_too_small_a_budget_is_one_line(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out", "--memory-gb", "0.1")
    assert result.exit_code == 1
    start = "glioseg predict: one: inference.memory_gb: expected at least "
    assert error_line(result).startswith(start)
    assert len(error_line(result).splitlines()) == 1


def test_grade_and_survival_are_printed_if_the_model_predicts_them(models, tmp_path, monkeypatch):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    network = Formula(everywhere, grade=0.25, survival=2.0)
    monkeypatch.setattr(loading, "load_ensemble", lambda _: Predictor((network,), make_settings()))
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert "low grade 25%, survival 730 days" in result.stdout  # 2 · 365.25, rounded to even


@pytest.mark.parametrize(
    ("write", "output", "message"),
    [
        (["seg"], "out", "one: no modality: expected at least one of t1, t1ce, t2, flair"),
        ([], "out", "scans: expected a folder of cases, found none"),
    ],
)
def test_unusable_input_is_reported_before_the_model_is_loaded(models, tmp_path, write, output, message):
    write_scans(tmp_path / "scans", "one", write)
    result = run(tmp_path / "scans", "-o", tmp_path / output)
    assert result.exit_code == 1
    assert message in result.output
    assert "folders" not in models


def test_a_case_that_breaks_the_contract_is_skipped_and_the_others_are_segmented(models, tmp_path):
    for name in ("cut", "good", "nan", "none"):
        write_scans(tmp_path / "scans", name, ["seg"] if name == "none" else MODALITIES)
    cut = tmp_path / "scans" / "cut" / "cut_t2.nii.gz"
    cut.write_bytes(cut.read_bytes()[:60])
    corrupt = make_scan().astype(np.float32)
    corrupt[4, 4, 3] = np.nan
    write_volume(tmp_path / "scans" / "nan" / "nan_t1.nii.gz", Volume(corrupt, GRID))
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.nii.gz", "summary.csv"]
    lines = [line for line in result.stderr.splitlines() if line.startswith("glioseg predict: ")]
    critical = [line for line in lines if "warning" not in line]
    assert critical[0] == "glioseg predict: none: no modality: expected at least one of t1, t1ce, t2, flair"
    start = "glioseg predict: cut/t2 (cut_t2.nii.gz): readable: expected a whole 3D NIfTI file, got not"
    assert critical[1].startswith(start)
    assert critical[2:] == ["glioseg predict: nan/t1 (nan_t1.nii.gz): NaN: expected 0 voxels, got 1 voxels"]


def test_warnings_are_printed_and_a_broken_segmentation_is_named(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    (tmp_path / "scans" / "one" / "one_seg.nii.gz").write_bytes(b"broken")
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    about = {m: f"glioseg predict: warning: one/{m} (one_{m}.nii.gz): " for m in MODALITIES}
    rules = (
        "shape: expected (240, 240, 155), got (9, 8, 7)",
        "spacing: expected (1.0, 1.0, 1.0) mm, got (1.0, 1.0, 2.0) mm, is resampled",
    )
    *of_images, last = [line for line in result.stderr.splitlines() if line.startswith("glioseg predict: ")]
    assert sorted(of_images) == sorted(f"{about[m]}{rule}" for m in MODALITIES for rule in rules)
    assert last.startswith("glioseg predict: warning: one/seg: no Dice: ")


def test_a_true_segmentation_gives_the_dice(models, tmp_path):
    """The formula labels all 180 voxels of the brain as core; in truth, half of them are."""
    write_scans(tmp_path / "scans", "one", MODALITIES)
    truth = np.zeros(GRID.shape, np.uint8)
    truth[2:5, 1:7, 1:6] = 1
    write_volume(tmp_path / "scans" / "one" / "one_seg.nii.gz", Volume(truth, GRID))
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    # 2 x 90 / (180 + 90); no enhancing tumour in both
    assert "Dice WT 0.67 TC 0.67 ET 1.00" in result.stdout
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row[f"dice_{name}"] for name in ("wt", "tc", "et")] == ["0.666667", "0.666667", "1"]


def test_a_corrected_segmentation_gives_a_new_dice(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    file = tmp_path / "scans" / "one" / "one_seg.nii.gz"
    for labels, dice in ((np.zeros(GRID.shape, np.uint8), "0"), ((make_scan() > 0).astype(np.uint8), "1")):
        write_volume(file, Volume(labels, GRID))
        run(tmp_path / "scans", "-o", tmp_path / "out")
        with (tmp_path / "out" / "summary.csv").open(newline="") as table:
            assert [row["dice_wt"] for row in csv.DictReader(table)] == [dice]


def test_statistics_and_a_preview_lie_beside_the_label_map(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    run(tmp_path / "scans", "-o", tmp_path / "out", "--statistics", "json", "--preview")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one.nii.gz", "one_preview.png", "one_statistics.json", "summary.csv"]
    statistics = json.loads((tmp_path / "out" / "one_statistics.json").read_text())
    assert (statistics["case"], statistics["wt_low_ml"]) == ("one", None)
    assert statistics["wt_ml"] == pytest.approx(0.36)
    with Image.open(tmp_path / "out" / "one_preview.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 960


def test_statistics_as_csv_have_a_header_and_a_row(models, tmp_path):
    write_scans(tmp_path / "scans", "one", ["t1", "t1ce"])
    run(tmp_path / "scans", "-o", tmp_path / "seg.nii.gz", "--statistics", "csv")
    with (tmp_path / "seg_statistics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], float(row["tc_ml"]), row["missing"]) == ("one", pytest.approx(0.36), "t2; flair")


def test_json_prints_a_line_for_each_case(models, tmp_path):
    for name in ("one", "two"):
        write_scans(tmp_path / "scans", name, MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["case"] for row in rows] == ["one", "two"]
    assert [row["wt_ml"] for row in rows] == pytest.approx([0.36, 0.36])


def test_a_dry_run_names_the_files_and_writes_nothing(models, tmp_path):
    write_scans(tmp_path / "scans", "one", ["t1"])
    result = run(tmp_path / "scans", "-o", tmp_path / "out", "--entropy", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"one: writes {tmp_path / 'out' / 'one.nii.gz'}, {tmp_path / 'out' / 'one_entropy.nii.gz'}",
        f"  t1: {tmp_path / 'scans' / 'one' / 'one_t1.nii.gz'}",
    ]
    assert not (tmp_path / "out").exists()
    assert "folders" not in models


@pytest.mark.parametrize(
    ("option", "stdout", "stderr"),
    [("--quiet", 0, 8), ("--verbose", 1, 14)],  # for each image two warnings and a note; progress and seconds
)
def test_how_much_is_printed(models, tmp_path, option, stdout, stderr):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out", option)
    assert len(result.stdout.splitlines()) == stdout
    assert len(result.stderr.splitlines()) == stderr


def test_a_case_that_is_too_large_to_resample_is_rejected_alone(models, tmp_path):
    """Its header gives voxels of 5 to 10 cm."""
    write_scans(tmp_path / "scans", "good", ["t1"])
    large = Grid(GRID.shape, np.diag([50.0, 50, 100, 1]))
    write_volume(tmp_path / "scans" / "wrong" / "wrong_t1.nii.gz", Volume(make_scan(), large))
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.nii.gz", "summary.csv"]
    # 40 x 40 x 70 cm in voxels of 1 mm, 80 bytes each, besides 1.36 GB; of the scan 448 voxels.
    line = "inference.memory_gb: expected at least 10.32 GB to resample a brain of 400 x 400 x 700 mm"
    assert f"glioseg predict: wrong: {line}" in result.stderr
    rows = csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines())
    status = {row["case"]: (row["status"], row["error"].startswith(line)) for row in rows}
    assert status == {"good": ("segmented", False), "wrong": ("refused", True)}


def test_the_contract_comes_from_the_model(models, tmp_path, monkeypatch):
    monkeypatch.setattr(model_uri, "model_folder", lambda _: tmp_path)
    (tmp_path / "contract.yaml").write_text(
        "shape: {voxels: [9, 8, 7]}\nspacing: {predict: critical, mm: [1, 1, 1.5]}\n"
    )
    write_scans(tmp_path / "scans", "one", ["t1"])
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("glioseg predict: ")]
    assert [line for line in lines if "modality_dropout" not in line] == [
        "glioseg predict: one/t1 (one_t1.nii.gz): spacing:"
        " expected (1.0, 1.0, 1.5) mm, got (1.0, 1.0, 2.0) mm"
    ]


def test_many_cases_need_a_folder(models, tmp_path):
    for name in ("one", "two"):
        write_scans(tmp_path / "scans", name, MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "seg.nii.gz")
    assert result.exit_code == 1
    assert "seg.nii.gz: expected a folder for 2 cases, got a file name" in error_line(result)
    assert "folders" not in models


def test_a_wrong_command_does_not_load_tensorflow(tmp_path):
    code = (
        "import json, sys; from glioseg import cli\n"
        "try: cli.app(sys.argv[1:])\n"
        "except SystemExit: print(json.dumps(sorted({'keras', 'tensorflow', 'mlflow'} & sys.modules.keys())))"
    )
    words = [sys.executable, "-c", code, "predict", str(tmp_path / "none"), "-o", "x"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []


def named_scans(folder):
    """Files of one case whose names no table knows."""
    write_scans(folder, "x", ["t1ce", "flair"])
    (folder / "x" / "x_t1ce.nii.gz").rename(folder / "003 axial.nii.gz")
    (folder / "x" / "x_flair.nii.gz").rename(folder / "dark.NII.GZ")
    return ["--t1ce", folder / "003 axial.nii.gz", "--flair", folder / "dark.NII.GZ"]


def test_the_files_of_a_case_are_named_one_by_one(models, tmp_path):
    words = named_scans(tmp_path)
    result = run(*words, "-o", tmp_path / "seg.NII.GZ")
    assert result.exit_code == 0, result.output
    assert "003 axial: " in result.stdout
    assert "missing t1 and t2" in result.stdout
    assert read_volume(tmp_path / "seg.NII.GZ").data.shape == GRID.shape
    assert (tmp_path / "seg.NII.GZ").read_bytes()[:2] == b"\x1f\x8b"  # compressed, as its name says


def test_a_folder_or_files_and_not_both(models, tmp_path):
    words = named_scans(tmp_path)
    expected = "expected a folder, or the files of one case with --t1 … --flair, got "
    assert f"{expected}both" in error_line(run(tmp_path, *words, "-o", tmp_path / "out"))
    assert f"{expected}neither" in error_line(run("-o", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_without_a_role_is_named(models, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    (tmp_path / "scans" / "one" / "one_x.nii.gz").write_bytes(b"")
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "one/one_x.nii.gz: not read: no role; known: t1: t1, t1n, t1w" in result.stderr


@pytest.mark.parametrize("ending", ["t1gd", "t1c", "T1Gd", "T1_post"])
def test_every_name_of_t1ce_is_read(models, tmp_path, ending):
    write_scans(tmp_path / "scans", "one", ["t1", "t1ce"])
    folder = tmp_path / "scans" / "one"
    (folder / "one_t1ce.nii.gz").rename(folder / f"one_{ending}.nii.gz")
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert "missing t2 and flair" in result.stdout


def test_the_home_folder_stands_for_a_tilde(models, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run("~/scans", "--output=~/out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "one.nii.gz").is_file()
