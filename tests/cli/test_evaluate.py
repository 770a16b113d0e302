import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from glioseg import cli
from glioseg.core.nifti import Grid, Volume, write_volume

GRID = Grid((4, 4, 4), np.diag([-1.0, -1, 1, 1]))
HALF = np.zeros(GRID.shape, np.uint8)
HALF[:2] = 1
QUARTER = np.zeros(GRID.shape, np.uint8)
QUARTER[:1] = 1


def write(path, labels):
    write_volume(path, Volume(labels, GRID))


def run(*words):
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, words)])


@pytest.fixture
def folders(tmp_path):
    """Predictions as `glioseg predict` writes them, truths in the layout of BraTS."""
    for case, predicted in (("a", HALF), ("b", QUARTER)):
        write(tmp_path / "out" / f"{case}.nii.gz", predicted)
        write(tmp_path / "out" / f"{case}_entropy.nii.gz", predicted)
        write(tmp_path / "truth" / case / f"{case}_seg.nii.gz", HALF)
        write(tmp_path / "truth" / case / f"{case}_t1.nii.gz", HALF)
    return tmp_path / "out", tmp_path / "truth"


def test_each_case_and_the_mean_are_printed(folders):
    result = run(*folders)
    assert result.exit_code == 0, result.output
    dice = {line.split()[0]: line.split()[1:3] for line in result.stdout.splitlines()[1:]}
    # b: 2 x 16 / (16 + 32)
    assert dice == {"a": ["1.000", "1.000"], "b": ["0.667", "0.667"], "mean": ["0.833", "0.833"]}


def test_all_metrics_go_to_a_table_or_to_json(folders, tmp_path):
    result = run(*folders, "-o", tmp_path / "metrics.csv", "--json")
    rows = json.loads(result.stdout)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [row["case"] for row in table] == ["a", "b"]
    assert {name: float(table[1][name]) for name in rows[1] if name != "case"} == {
        name: pytest.approx(value) for name, value in rows[1].items() if name != "case"
    }


def test_a_case_without_prediction_is_named_and_the_others_are_scored(folders):
    (folders[0] / "b.nii.gz").unlink()
    result = run(*folders)
    assert result.exit_code == 1
    assert "glioseg evaluate: no prediction for b" in result.stderr
    assert result.stdout.splitlines()[1].startswith("a ")


def test_two_files_are_one_case(folders):
    result = run(folders[0] / "b.nii.gz", folders[1] / "b" / "b_seg.nii.gz")
    assert result.stdout.splitlines()[1].split()[:2] == ["b", "0.667"]


def test_names_like_channels_of_nnunet_are_cases(tmp_path):
    write(tmp_path / "out" / "patient_0001.nii.gz", HALF)
    write(tmp_path / "labelsTr" / "patient_0001.nii.gz", HALF)
    result = run(tmp_path / "out", tmp_path / "labelsTr")
    assert result.stdout.splitlines()[1].split()[:2] == ["patient_0001", "1.000"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out", "nowhere"], "nowhere: expected a folder of label maps, found none"),
        (["empty", "truth"], "empty: expected label maps (.nii.gz), found none"),
        (["other", "truth"], "other: expected label maps of cases such as a, as in {}/truth, got z"),
    ],
)
def test_folders_that_hold_no_pair_are_named(folders, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "z.nii.gz", HALF)
    result = run(*(tmp_path / word for word in words))
    assert result.exit_code == 1
    assert f"glioseg evaluate: {tmp_path}/{message.format(tmp_path)}" in result.output
