"""Samplers and pruners: glioseg passes all arguments, since Optuna's defaults change between versions."""

import inspect
import math
import warnings

import optuna
import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from glioseg.mlops.tuning import samplers
from glioseg.params.study import Tune
from tests.helpers import studies

DEPRECATED = {
    "consider_prior",
    "consider_magic_clip",
    "consider_endpoints",
    "constraints_func",
    "gamma",
    "prior_weight",
    "warn_independent_sampling",
    "weights",
}
"""Deprecated by Optuna 5."""
HOOKS = {"elite_population_selection_strategy", "child_generation_strategy", "after_trial_strategy"}
"""Functions of the user that replace parts of NSGA-II."""


def tune(**changes):
    return Tune.model_validate(studies.TUNE.model_dump() | {"epochs": 9} | changes)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (TPESampler, lambda: samplers.make_sampler(tune(sampler="tpe"), trial=0)),
        (RandomSampler, lambda: samplers.make_sampler(tune(sampler="random"), trial=0)),
        (QMCSampler, lambda: samplers.make_sampler(tune(sampler="qmc"), trial=0)),
        (
            NSGAIISampler,
            lambda: samplers.make_sampler(tune(sampler="nsga2", objectives=["dice", "case_s"]), trial=0),
        ),
        (MedianPruner, lambda: samplers.make_pruner(tune(pruner="median"))),
        (HyperbandPruner, lambda: samplers.make_pruner(tune(pruner="hyperband"))),
        (SuccessiveHalvingPruner, lambda: samplers.make_pruner(tune(pruner="successive_halving"))),
    ],
)
def test_no_argument_is_left_to_optuna_s_defaults(kind, make, monkeypatch):
    passed = []

    def record(**arguments):
        passed.append(set(arguments))
        return kind(**arguments)

    monkeypatch.setattr(samplers, kind.__name__, record)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # about deprecated arguments
        assert type(make()) is kind
    assert set(inspect.signature(kind).parameters) - DEPRECATED - HOOKS <= passed[0]


def pareto_study(sampler: str, seed: int) -> optuna.Study:
    """Sixty trials without a network: Dice 1 − x and seconds 1 / x + 9·y, so that y = 0 is best for both."""
    settings = tune(
        trials=60,
        seed=seed,
        sampler=sampler,
        objectives=["dice", "case_s"],
        space={"learning_rate": {"low": 0.1, "high": 1.0}, "dropout": {"low": 0.0, "high": 1.0}},
    )
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(settings.trials):
        study.sampler = samplers.make_sampler(settings, trial=number)
        trial = study.ask()
        x, y = trial.suggest_float("learning_rate", 0.1, 1.0), trial.suggest_float("dropout", 0.0, 1.0)
        study.tell(trial, [1 - x, 1 / x + 9 * y])
    return study


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tpe_learns_good_values_for_two_objectives(seed):
    """Of the last thirty trials the best half has y below that of random trials, whose median is near ½."""

    def median_y(sampler):
        last = pareto_study(sampler, seed).trials[30:]
        return sorted(trial.params["dropout"] for trial in last)[15]

    assert median_y("tpe") < 0.2
    assert math.isclose(median_y("random"), 0.5, abs_tol=0.25)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_every_sampler_suggests_distinct_values_and_the_same_after_an_interruption(run, request, sampler):
    whole = tune(
        epochs=studies.EPOCHS, sampler=sampler, trials=7, pruner="none", objectives=["dice", "case_s"]
    )

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
def test_a_pruner_stops_poor_trials(run, pruner, outcomes):
    observer = studies.RecordingObserver()

    def worse_each_time(values, report):
        dice = 1 - 0.05 * len(observer.results)
        for epoch in range(9):
            report(epoch, {"val_dice": dice})
        return {"dice": dice}

    run(tune(pruner=pruner, trials=8), worse_each_time, observer=observer)
    assert {end.outcome for end in observer.results} == outcomes
