"""`glioseg predict` on a folder of cases: its summary, and how it continues after a stop."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glioseg.cli import predict_job
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, write_volume
from glioseg.models.inference.prediction import NUMERIC_COLUMNS
from tests.helpers.models import IDENTITY_ESTIMATOR, Formula, make_settings
from tests.helpers.predicting import GRID, everywhere, make_scan, run, use_formula, write_scans

ROOT = Path(__file__).parents[2]

KILLED = """
import sys, time
sys.path[:0] = sys.argv[1:2]
import pytest
from glioseg.cli import app
from tests.helpers.models import Formula
from tests.helpers.predicting import everywhere, use_formula

def pause_at_third(batch):
    if len(formula.shapes) == 3:
        print("third", flush=True)
        time.sleep(600)
    return everywhere(batch)

formula = Formula(pause_at_third)
use_formula(pytest.MonkeyPatch())["formula"] = formula
app(sys.argv[2:])
"""


@pytest.fixture
def model(monkeypatch, tmp_path):
    """A model in its own folder that counts its predictions."""
    model = use_formula(monkeypatch)
    model["formula"] = Formula(everywhere)
    model["folder"] = tmp_path / "model"
    model["folder"].mkdir()
    (model["folder"] / "settings.json").write_text("{}")
    return model


def predictions(model):
    return len(model["formula"].shapes)


def table(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_the_summary_has_a_row_for_each_case(model, tmp_path):
    write_scans(tmp_path / "scans", "good", ["t1ce", "flair"])
    write_scans(tmp_path / "scans", "cut", MODALITIES)
    write_scans(tmp_path / "scans", "none", ["seg"])
    cut = tmp_path / "scans" / "cut" / "cut_t2.nii.gz"
    cut.write_bytes(cut.read_bytes()[:60])
    assert run(tmp_path / "scans", "-o", tmp_path / "out").exit_code == 1
    rows = table(tmp_path / "out")
    assert {case: row["status"] for case, row in rows.items()} == {
        "good": "segmented",
        "cut": "refused",
        "none": "refused",
    }
    good = rows["good"]
    assert {name: good[name] for name in ("wt_ml", "tc_ml", "et_ml")} == {
        "wt_ml": "0.36",
        "tc_ml": "0.36",
        "et_ml": "0",
    }
    # Oedema or core, as likely as not: 1 bit.
    assert float(good["brain_bits"]) == pytest.approx(1, abs=1e-4)
    assert (good["et_bits"], good["grade_lgg"], good["missing"]) == ("", "", "t1 t2")
    assert (good["wt_confidence"], good["low_confidence_reasons"]) == (
        "",
        "",
    )  # the model does not estimate its quality
    assert good["model"] == "models:/glioseg@champion"  # the registry would replace the alias by the version
    assert "good/t1ce (good_t1ce.nii.gz): shape: expected (240, 240, 155)" in good["warnings"]
    assert float(good["seconds"]) >= 0
    assert rows["cut"]["error"].startswith("cut/t2 (cut_t2.nii.gz): readable: expected a whole 3D NIfTI file")
    assert rows["none"]["error"].startswith("none: no modality")
    assert not any(rows["cut"][name] for name in NUMERIC_COLUMNS)


def test_low_confidence_is_in_the_line_and_in_the_summary(model, tmp_path):
    model["settings"] = make_settings(confidence=IDENTITY_ESTIMATOR)
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    row = table(tmp_path / "out")["one"]
    # Oedema is certain, core as likely as not in all the brain: 2 · ½ / (½ + 1). ET was not found.
    assert float(row["tc_confidence"]) == pytest.approx(2 / 3, rel=1e-4)
    assert float(row["wt_confidence"]) == pytest.approx(0.99)
    assert row["low_confidence_reasons"] == "ET: expected Dice 0.00"
    assert "low confidence: ET: expected Dice 0.00" in result.stdout


def test_a_finished_case_is_skipped_until_its_inputs_change(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("one", "two"):
        write_scans(scans, name, MODALITIES)

    def predicted(*words):
        before = predictions(model)
        result = run(scans, "-o", out, *words)
        assert result.exit_code == 0, result.output
        return predictions(model) - before

    assert predicted() == 2
    model.pop("folders")
    assert predicted() == 0
    assert "folders" not in model  # nor is the model loaded
    assert predicted("--entropy") == 2  # no entropy maps existed
    assert predicted("--entropy") == 0
    assert predicted("--mirror") == 16
    assert predicted() == 2
    write_volume(scans / "two" / "two_t1.nii.gz", Volume(make_scan(9), GRID))
    assert predicted() == 1
    (out / "one.nii.gz").unlink()
    assert predicted() == 1
    (model["folder"] / "settings.json").write_text("{ }")
    assert predicted() == 2
    write_scans(scans, "three", ["t1"])
    assert predicted() == 1
    assert sorted(table(out)) == ["one", "three", "two"]


def test_a_rejected_case_is_tried_again(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    write_scans(scans, "one", ["t1"])
    write_scans(scans, "two", ["t1"])
    file = scans / "two" / "two_t1.nii.gz"
    content = file.read_bytes()
    file.write_bytes(content[:60])
    for _ in range(2):
        result = run(scans, "-o", out)
        assert result.exit_code == 1
        assert "two/t1 (two_t1.nii.gz): readable" in result.stderr
    file.write_bytes(content)
    assert run(scans, "-o", out).exit_code == 0
    assert predictions(model) == 2
    assert table(out)["two"]["error"] == ""


def test_after_a_kill_it_segments_the_remaining_cases_and_the_summary_is_complete(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in "abcde":
        write_scans(scans, name, MODALITIES)
    words = [sys.executable, "-c", KILLED, str(ROOT), "predict", str(scans), "-o", str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while "third" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    before = table(out)
    assert sorted(before) == ["a", "b"]
    model["folder"] = Path("folder of models:/glioseg@champion")  # as in the killed command
    result = run(scans, "-o", out)
    assert result.exit_code == 0, result.output
    assert "2 of 5 cases are finished already" in result.stderr
    assert predictions(model) == 3
    after = table(out)
    assert sorted(after) == list("abcde")
    assert {case: after[case] for case in "ab"} == before
    assert sorted(path.name for path in out.iterdir()) == [*(f"{c}.nii.gz" for c in "abcde"), "summary.csv"]


def test_after_a_kill_between_prediction_and_row_the_case_is_segmented_again(model, tmp_path, monkeypatch):
    scans, out = tmp_path / "scans", tmp_path / "out"
    write_scans(scans, "one", MODALITIES)
    assert run(scans, "-o", out).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(predict_job.JobPlan, "put", lambda *_: 1 / 0)
        assert isinstance(run(scans, "-o", out, "--mirror").exception, ZeroDivisionError)
    before = predictions(model)
    assert run(scans, "-o", out).exit_code == 0  # the existing labels are those of --mirror
    assert predictions(model) - before == 1


def test_an_unrelated_summary_csv_is_not_overwritten(model, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    (tmp_path / "summary.csv").write_text("name,age\nx,3\n")
    result = run(tmp_path / "scans", "-o", tmp_path)
    assert result.exit_code == 1
    assert (
        "summary.csv: expected a summary of `glioseg predict`, got another table: move it away"
        in result.output
    )
    assert predictions(model) == 0
    assert (tmp_path / "summary.csv").read_text() == "name,age\nx,3\n"


def test_a_summary_of_an_older_version_is_continued(model, tmp_path):
    """It lacks columns; its rows are kept, and new rows have all columns."""
    scans = tmp_path / "scans"
    write_scans(scans, "a", MODALITIES)
    (tmp_path / "summary.csv").write_text("case,status,wt_ml,made_of\nz,segmented,1.5,x\n")
    result = run(scans, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    rows = table(tmp_path)
    assert rows.keys() == {"a", "z"}
    assert (rows["z"]["wt_ml"], rows["z"]["interval_level"]) == ("1.5", "")
    assert rows["z"]["input_sha256"] == "x"  # called made_of in that version


def test_a_single_output_file_has_no_summary_and_is_always_rewritten(model, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    for _ in range(2):
        assert run(tmp_path / "scans", "-o", tmp_path / "out" / "seg.nii.gz").exit_code == 0
    assert predictions(model) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["seg.nii.gz"]
