"""`glioseg predict` on a folder of cases: its summary, and how it goes on where it stopped."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glioseg.cli import job_plan
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, write_volume
from glioseg.models.inference.prediction import NUMBERS
from tests.helpers.models import TRUSTING, Formula, make_settings
from tests.helpers.predicting import GRID, everywhere, make_scan, run, stand_in, write_scans

ROOT = Path(__file__).parents[2]

KILLED = """
import sys, time
sys.path[:0] = sys.argv[1:2]
import pytest
from glioseg.cli import app
from tests.helpers.models import Formula
from tests.helpers.predicting import everywhere, stand_in

def look(batch):
    if len(formula.shapes) == 3:
        print("third", flush=True)
        time.sleep(600)
    return everywhere(batch)

formula = Formula(look)
stand_in(pytest.MonkeyPatch())["look"] = formula
app(sys.argv[2:])
"""


@pytest.fixture
def model(monkeypatch, tmp_path):
    """Counts its answers, and lies in a folder of its own."""
    asked = stand_in(monkeypatch)
    asked["look"] = Formula(everywhere)
    asked["folder"] = tmp_path / "model"
    asked["folder"].mkdir()
    (asked["folder"] / "settings.json").write_text("{}")
    return asked


def answers(model):
    return len(model["look"].shapes)


def table(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_the_summary_has_a_row_a_case_whatever_became_of_it(model, tmp_path):
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
    assert (good["wt_confidence"], good["doubt"]) == ("", "")  # the model has not learned to doubt
    assert good["model"] == "models:/glioseg@champion"  # which the registry would give by its number
    assert "good/t1ce (good_t1ce.nii.gz): shape: expected (240, 240, 155)" in good["warnings"]
    assert float(good["seconds"]) >= 0
    assert rows["cut"]["error"].startswith("cut/t2 (cut_t2.nii.gz): readable: expected a whole 3D NIfTI file")
    assert rows["none"]["error"].startswith("none: no modality")
    assert not any(rows["cut"][name] for name in NUMBERS)


def test_low_confidence_is_told_in_the_line_and_in_the_summary(model, tmp_path):
    model["settings"] = make_settings(confidence=TRUSTING)
    write_scans(tmp_path / "scans", "one", MODALITIES)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    row = table(tmp_path / "out")["one"]
    # Oedema is certain, core as likely as not in all the brain: 2 · ½ / (½ + 1). ET was not found.
    assert float(row["tc_confidence"]) == pytest.approx(2 / 3, rel=1e-4)
    assert float(row["wt_confidence"]) == pytest.approx(0.99)
    assert row["doubt"] == "ET: expected Dice 0.00"
    assert "low confidence: ET: expected Dice 0.00" in result.stdout


def test_what_is_finished_is_left_alone_until_something_it_was_made_of_changes(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("one", "two"):
        write_scans(scans, name, MODALITIES)

    def asked(*words):
        before = answers(model)
        result = run(scans, "-o", out, *words)
        assert result.exit_code == 0, result.output
        return answers(model) - before

    assert asked() == 2
    model.pop("folders")
    assert asked() == 0
    assert "folders" not in model  # nor is the model loaded
    assert asked("--entropy") == 2  # which lay there for none
    assert asked("--entropy") == 0
    assert asked("--mirror") == 16
    assert asked() == 2
    write_volume(scans / "two" / "two_t1.nii.gz", Volume(make_scan(9), GRID))
    assert asked() == 1
    (out / "one.nii.gz").unlink()
    assert asked() == 1
    (model["folder"] / "settings.json").write_text("{ }")
    assert asked() == 2
    write_scans(scans, "three", ["t1"])
    assert asked() == 1
    assert sorted(table(out)) == ["one", "three", "two"]


def test_a_refused_case_is_tried_again_and_a_good_file_mends_it(model, tmp_path):
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
    assert answers(model) == 2
    assert table(out)["two"]["error"] == ""


def test_killed_in_the_middle_it_does_the_rest_and_the_summary_is_whole(model, tmp_path):
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
    model["folder"] = Path("folder of models:/glioseg@champion")  # as it was there
    result = run(scans, "-o", out)
    assert result.exit_code == 0, result.output
    assert "2 of 5 cases are finished already" in result.stdout
    assert answers(model) == 3
    after = table(out)
    assert sorted(after) == list("abcde")
    assert {case: after[case] for case in "ab"} == before
    assert sorted(path.name for path in out.iterdir()) == [*(f"{c}.nii.gz" for c in "abcde"), "summary.csv"]


def test_killed_between_an_answer_and_its_row_it_does_not_take_one_for_the_other(
    model, tmp_path, monkeypatch
):
    scans, out = tmp_path / "scans", tmp_path / "out"
    write_scans(scans, "one", MODALITIES)
    assert run(scans, "-o", out).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(job_plan.Work, "keep", lambda *_: 1 / 0)
        assert isinstance(run(scans, "-o", out, "--mirror").exception, ZeroDivisionError)
    before = answers(model)
    assert run(scans, "-o", out).exit_code == 0  # the labels that lie there are those of --mirror
    assert answers(model) - before == 1


def test_another_table_of_that_name_is_not_written_over(model, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    (tmp_path / "summary.csv").write_text("name,age\nx,3\n")
    result = run(tmp_path / "scans", "-o", tmp_path)
    assert result.exit_code == 1
    assert "summary.csv: not a summary of `glioseg predict`: move it away" in result.output
    assert answers(model) == 0
    assert (tmp_path / "summary.csv").read_text() == "name,age\nx,3\n"


def test_a_summary_of_an_older_version_goes_on(model, tmp_path):
    """It lacks a column; its rows stay, and the new one has all columns."""
    scans = tmp_path / "scans"
    write_scans(scans, "a", MODALITIES)
    (tmp_path / "summary.csv").write_text("case,status,wt_ml,made_of\nz,segmented,1.5,x\n")
    result = run(scans, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    rows = table(tmp_path)
    assert rows.keys() == {"a", "z"}
    assert (rows["z"]["wt_ml"], rows["z"]["interval_level"]) == ("1.5", "")


def test_a_single_file_has_no_summary_and_is_always_made_anew(model, tmp_path):
    write_scans(tmp_path / "scans", "one", MODALITIES)
    for _ in range(2):
        assert run(tmp_path / "scans", "-o", tmp_path / "out" / "seg.nii.gz").exit_code == 0
    assert answers(model) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["seg.nii.gz"]
