"""The learning curve of a project: nested parts of each fold are trained on, the left out cases scored."""

import pandas as pd
import pytest

import initial_weights
import train
from glioseg.cli.forecast import TABLE, forecast
from glioseg.core.errors import GliosegError
from glioseg.mlops.forecast import measure_learning_curve, training_sizes
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import load_params
from tests.helpers.stages import set_params


def folds(*sizes):
    return {"folds": [{"train": ["a"] * size, "validation": ["b"]} for size in sizes]}


@pytest.mark.parametrize(
    ("sizes", "expected"), [((8, 9), [0, 2, 4, 8]), ((3, 3), [0, 1, 2, 3]), ((1, 2), [0, 1])]
)
def test_all_folds_are_trained_on_the_same_numbers_of_cases(sizes, expected):
    assert training_sizes(folds(*sizes)) == expected


def test_a_learning_curve_starts_from_the_initial_weights(stage_project, capsys):
    train.main()
    set_params(split={"folds": 2}, train={"init_from": "start.keras", "epochs": 1})
    (stage_project / "start.keras").write_bytes((stage_project / "models/trained/model.keras").read_bytes())
    initial_weights.main()
    capsys.readouterr()
    forecast()
    printed = capsys.readouterr().out
    table = pd.read_csv(TABLE)
    # Two cases in two folds: each is scored without training, and after training on the other one.
    assert table[["fold", "training_cases", "case"]].to_numpy().tolist() == [
        [0, 0, "a"], [0, 1, "a"], [1, 0, "b"], [1, 1, "b"],
    ]  # fmt: skip
    means = table.groupby("training_cases")["dice"].mean()
    assert f"0 training cases: Dice {means[0]:.3f}, mean of 2 cases" in printed
    assert f"1 training cases: Dice {means[1]:.3f}, mean of 2 cases" in printed
    assert "\n8 more cases: Dice " in printed
    assert (stage_project / "reports/forecast/curve.png").exists()
    assert not list((stage_project / "mlruns/state").glob("*/fold*"))

    forecast()  # nothing is trained again
    assert capsys.readouterr().out == printed[printed.index("0 training cases: Dice") :]


def test_without_initial_weights_there_is_nothing_to_adapt(stage_project):
    with pytest.raises(GliosegError, match=r"train\.init_from: expected the weights to start from"):
        measure_learning_curve(load_params(), TABLE, ProjectStorage.current())
