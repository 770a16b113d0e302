"""The files of a finished study."""

import json

import pytest

from glioseg.mlops.tuning import (
    best_trial,
    study_page,
    write_study,
)
from tests.helpers import studies
from tests.helpers.studies import CONDITIONAL, CONDITIONAL_FIRST, tune


def with_seconds(values, report):
    """Dice and seconds are proportional to the filters: the slowest trial has the best Dice."""
    return {"dice": values["base_filters"] / 100, "case_s": float(values["base_filters"])}


def test_the_files_of_a_study_and_its_offline_page(run, tmp_path):
    study = run()
    write_study(study, tmp_path / "out", title="a study")
    best = json.loads((tmp_path / "out" / "best_params.json").read_text())
    assert best == study.best_params
    assert len((tmp_path / "out" / "trials.csv").read_text().splitlines()) == 1 + 5
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<script src=" not in page.replace("'", '"')
    for title in ("Optimization History", "Importances", "Parallel Coordinate", "Intermediate Values"):
        assert title in page


def test_the_page_of_one_trial_leaves_out_importances(run):
    study = run(tune=studies.TUNE.model_copy(update={"trials": 1}))
    assert "Importances" not in study_page(study, title="x").split("</script>")[-1]


def test_the_page_of_a_conditional_space_has_its_plots(run):
    study = run(tune(space=CONDITIONAL, trials=12, pruner="none"), default_values=CONDITIONAL_FIRST)
    page = study_page(study, title="x")
    for words in ("Optimization History", "Importances", "Parallel Coordinate"):
        assert words in page


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_with_two_objectives_dice_decides_within_the_limits(run, tmp_path, sampler, capsys):
    """Dice is filters / 100 and seconds are filters: each of the three lies on the Pareto front."""
    space = {"base_filters": {"choices": [8, 16, 32]}, "depth": {"low": 3, "high": 5}}
    limits = {"memory_gb": None, "case_s": 20.0}
    settings = tune(space=space, trials=10, objectives=["dice", "case_s"], limits=limits, sampler=sampler)
    study = run(settings, with_seconds)
    assert "no trial is pruned with two objectives: median is ignored" in capsys.readouterr().out
    assert best_trial(study).params["base_filters"] == 16
    assert {t.values[1] for t in study.best_trials} <= {8.0, 16.0}
    write_study(study, tmp_path, title="two objectives")
    page = (tmp_path / "study.html").read_text()
    for words in ("Pareto-front", "seconds per case", "Importances", "Parallel Coordinate", "Infeasible"):
        assert words in page
