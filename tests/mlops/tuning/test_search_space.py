"""Spaces with conditions, samplers, limits and two objectives."""

import math

import pytest
from optuna.trial import TrialState
from pydantic import ValidationError

from glioseg.mlops.tuning import SearchError, best_trial, ending, study_page, write_study
from glioseg.params.study import Tune, parents_first
from tests.helpers import studies

CONDITIONAL = {
    "cross_entropy_weight": {"low": 0.5, "high": 2.0, "log": True, "when": {"loss": ["dice_ce"]}},
    "loss": {"choices": ["dice", "dice_ce"], "when": {"depth": [4, 5]}},
    "depth": {"low": 3, "high": 5},
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
}
FIRST = {"learning_rate": 0.003, "depth": 5, "loss": "dice_ce", "cross_entropy_weight": 1.0}


def tune(**changes):
    return Tune.model_validate(studies.TUNE.model_dump() | changes)


def with_seconds(values, report):
    """Each filter takes its time: the best Dice is that of the slowest."""
    return {"dice": values["base_filters"] / 100, "case_s": float(values["base_filters"])}


def test_a_conditional_parameter_is_drawn_only_where_its_condition_is_met(run):
    study = run(tune(space=CONDITIONAL, trials=12, pruner="none"), first=FIRST)
    assert study.trials[0].params == FIRST
    for params in (trial.params for trial in study.trials):
        assert ("loss" in params) == (params["depth"] in (4, 5))
        assert ("cross_entropy_weight" in params) == (params.get("loss") == "dice_ce")
    assert len({frozenset(trial.params) for trial in study.trials}) == 3


def test_the_default_lacks_what_its_condition_excludes(run):
    study = run(tune(space=CONDITIONAL, trials=1), first=FIRST | {"depth": 3})
    assert study.trials[0].params == {"learning_rate": 0.003, "depth": 3}


def test_parents_come_first_and_the_order_stays_otherwise():
    assert parents_first(tune(space=CONDITIONAL).space) == [
        "depth", "learning_rate", "loss", "cross_entropy_weight",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dropout": {"low": 0.0, "high": 0.3, "when": {"loss": ["dice"]}}},
            "expected parameters of the space",
        ),
        (
            {
                "loss": {"choices": ["dice"]},
                "dropout": {"low": 0.0, "high": 0.3, "when": {"loss": ["dice_ce"]}},
            },
            r"space.dropout.when.loss: expected choices or whole numbers of loss, got \['dice_ce'\]",
        ),
        (
            {
                "learning_rate": {"low": 0.1, "high": 0.2},
                "dropout": {"low": 0.0, "high": 0.3, "when": {"learning_rate": [0.1]}},
            },
            r"space.dropout.when.learning_rate: expected .*, got \[0.1\]",
        ),
        (
            {
                "loss": {"choices": ["dice"], "when": {"depth": [4]}},
                "depth": {"low": 3, "high": 4, "when": {"loss": ["dice"]}},
            },
            "space: expected no circle of `when`, got ",
        ),
        ({"loss": {"choices": ["dice"], "when": {"loss": ["dice"]}}}, "expected no circle"),
    ],
)
def test_a_condition_that_cannot_be_met_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        tune(space=changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "nsga2"}, r"sampler: nsga2 expects objectives \[dice, case_s\], got \[dice\]"),
        ({"sampler": "qmc", "space": CONDITIONAL}, "sampler: qmc expects a space without `when`"),
        ({"pruner": "hyperband", "epochs": 2}, "pruner: hyperband expects tune.epochs >= 3, got 2"),
        ({"sampler": "gp"}, "sampler\n.*Input should be 'tpe', 'random', 'qmc' or 'nsga2'"),
        ({"objectives": ["case_s"]}, "objectives"),
        ({"limits": {"memory_gb": -1, "case_s": None}}, "limits.memory_gb"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        tune(**changes)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_every_sampler_draws_other_values_and_goes_on_as_if_never_stopped(run, request, sampler):
    whole = tune(sampler=sampler, trials=7, pruner="none", objectives=["dice", "case_s"])

    def both(values, report):
        return studies.train(values, report) | {"case_s": float(values["depth"])}

    def stop_at_the_fourth(values, report):
        calls.append(values)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return both(values, report)

    one, calls = run(whole, both), []
    with pytest.raises(KeyboardInterrupt):
        run(whole, stop_at_the_fourth, name=f"{request.node.name} again")
    other = run(whole, both, name=f"{request.node.name} again")
    drawn = [[t.params for t in s.trials if t.state == TrialState.COMPLETE] for s in (one, other)]
    assert len(drawn[0]) == len({tuple(params.values()) for params in drawn[0]}) == 7
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("pruner", "outcomes"),
    [
        ("median", {"complete", "pruned"}),
        ("successive_halving", {"complete", "pruned"}),
        ("hyperband", {"complete", "pruned"}),
        ("none", {"complete"}),
    ],
)
def test_a_pruner_ends_poor_trials(run, pruner, outcomes):
    observer = studies.Silent()

    def worse_each_time(values, report):
        dice = 1 - 0.05 * len(observer.endings)
        for epoch in range(9):
            report(epoch, {"val_dice": dice})
        return {"dice": dice}

    run(tune(pruner=pruner, epochs=9, trials=8), worse_each_time, observer=observer)
    assert {end.outcome for end in observer.endings} == outcomes


def test_the_default_is_not_pruned_however_good_others_were_before(run):
    """As where other workers are faster; here a second default comes after a first."""

    def poor(values, report):
        for epoch in range(studies.EPOCHS):
            report(epoch, {"val_dice": 0.01})
        return {"dice": 0.01}

    run(tune(trials=3))
    study = run(tune(trials=5), poor, first=studies.FIRST | {"depth": 4})
    assert study.trials[3].params["depth"] == 4
    assert [trial.state for trial in study.trials[3:]] == [TrialState.COMPLETE, TrialState.PRUNED]


def test_a_trial_beyond_a_measured_limit_is_complete_but_never_the_best(run):
    space = {"base_filters": {"choices": [8, 16, 32]}}
    asked = tune(space=space, trials=9, limits={"memory_gb": None, "case_s": 16.0})
    observer = studies.Silent()
    study = run(asked, with_seconds, first={"base_filters": 32}, observer=observer)
    assert {t.params["base_filters"] for t in study.trials} == {8, 16, 32}
    assert best_trial(study).params == {"base_filters": 16}  # just at the limit
    assert ending(study.trials[0]).broken == ("case_s",)
    assert observer.endings[0].measures == {"dice": 0.32, "case_s": 32.0}
    assert {end.outcome for end in observer.endings} == {"complete"}


def test_a_trial_that_would_need_too_much_memory_is_not_even_trained(run):
    space = {"base_filters": {"choices": [8, 16, 32]}}
    asked = tune(space=space, trials=9, limits={"memory_gb": 2.0, "case_s": None})
    trained, observer = [], studies.Silent()

    def train(values, report):
        trained.append(values["base_filters"])
        return with_seconds(values, report)

    foresee = {"foresee": lambda values: {"memory_gb": values["base_filters"] / 10}}
    study = run(asked, train, first={"base_filters": 32}, observer=observer, **foresee)
    assert set(trained) == {8, 16}
    assert observer.endings[0].outcome == "pruned"
    assert observer.endings[0].broken == ("memory_gb",)
    assert best_trial(study).params == {"base_filters": 16}


def test_a_study_without_a_trial_within_the_limits_is_an_error(run):
    asked = tune(space={"base_filters": {"choices": [8]}}, limits={"memory_gb": None, "case_s": 1.0})
    with pytest.raises(SearchError, match="within the limits, got 5 completed of 5 finished ones"):
        run(asked, with_seconds)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_of_two_objectives_dice_decides_within_the_limits(run, tmp_path, sampler, capsys):
    """Dice is filters / 100 and seconds are filters: each of the three lies on the Pareto front."""
    space = {"base_filters": {"choices": [8, 16, 32]}, "depth": {"low": 3, "high": 5}}
    limits = {"memory_gb": None, "case_s": 20.0}
    asked = tune(space=space, trials=10, objectives=["dice", "case_s"], limits=limits, sampler=sampler)
    study = run(asked, with_seconds)
    assert "with two objectives no trial is pruned: median has no say" in capsys.readouterr().out
    assert best_trial(study).params["base_filters"] == 16
    assert {t.values[1] for t in study.best_trials} <= {8.0, 16.0}
    write_study(study, tmp_path, title="two objectives")
    page = (tmp_path / "study.html").read_text()
    for words in ("Pareto-front", "seconds per case", "Importances", "Parallel Coordinate", "Infeasible"):
        assert words in page


def test_a_result_that_is_no_number_is_pruned_with_two_objectives_too(run):
    observer = studies.Silent()

    def diverge(values, report):
        report(0, {"val_dice": 0.5})
        return {"dice": 0.5, "case_s": math.nan if observer.endings else 1.0}

    run(tune(objectives=["dice", "case_s"]), diverge, observer=observer)
    assert [end.outcome for end in observer.endings] == ["complete", *["pruned"] * 4]


def test_the_page_of_a_conditional_space_has_its_plots(run):
    study = run(tune(space=CONDITIONAL, trials=12, pruner="none"), first=FIRST)
    page = study_page(study, title="x")
    for words in ("Optimization History", "Importances", "Parallel Coordinate"):
        assert words in page
