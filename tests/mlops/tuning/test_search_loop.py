"""The search: the order, the pruning and the retrying of trials, and which one is the best."""

import math

import pytest
from optuna.trial import TrialState

from glioseg.mlops.tuning import (
    StudyError,
    best_trial,
    study_name,
    trial_result,
)
from glioseg.mlops.tuning.study import FINISHED
from tests.helpers import studies
from tests.helpers.studies import tune


def with_seconds(values, report):
    """Dice and seconds are proportional to the filters: the slowest trial has the best Dice."""
    return {"dice": values["base_filters"] / 100, "case_s": float(values["base_filters"])}


def test_the_default_comes_first_clipped_into_the_space(run):
    first = run().trials[0]
    assert first.params == {"learning_rate": 0.003, "depth": 5, "base_filters": 8}


def test_tuning_never_ends_below_the_default(run):
    study = run()
    assert study.best_value >= studies.dice({"depth": 5, "learning_rate": 0.003}, studies.EPOCHS - 1)


def test_a_finished_study_runs_no_trial_and_a_longer_one_runs_the_rest(run):
    calls = []

    def count(values, report):
        calls.append(values)
        return studies.train(values, report)

    run(objective=count)
    assert len(calls) == 5
    run(objective=count)
    assert len(calls) == 5
    run(studies.TUNE.model_copy(update={"trials": 7}), count)
    assert len(calls) == 7


def test_values_do_not_depend_on_an_interruption(run):
    calls = []

    def stop_at_the_third(values, report):
        calls.append(values)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return studies.train(values, report)

    observer = studies.RecordingObserver()
    with pytest.raises(KeyboardInterrupt):
        run(objective=stop_at_the_third, observer=observer)
    assert observer.outcomes[-1] == "interrupted"
    study = run()
    whole = run(name="never interrupted")
    values = [trial.params for trial in study.get_trials(states=FINISHED)]
    assert values == [trial.params for trial in whole.get_trials(states=FINISHED)]


@pytest.mark.parametrize("cause", [KeyboardInterrupt, MemoryError])
def test_a_default_trial_that_did_not_finish_is_retried(run, cause):
    def fail(values, report):
        raise cause

    with pytest.raises(cause):
        run(objective=fail)
    first = run().get_trials(states=FINISHED)[0]
    assert first.params["learning_rate"] == 0.003


def test_a_poor_trial_is_pruned_by_its_epochs(run):
    observer = studies.RecordingObserver()

    def worse_each_time(values, report):
        for epoch in range(3):
            report(epoch, {"val_dice": 1 - 0.1 * len(observer.results) + 0.01 * epoch})
        return {"dice": 1 - 0.1 * len(observer.results)}

    run(objective=worse_each_time, observer=observer)
    assert observer.outcomes[0] == "complete"
    assert set(observer.outcomes[1:]) == {"pruned"}


def test_a_trial_that_diverges_is_pruned_and_not_retried(run):
    observer = studies.RecordingObserver()

    def diverge(values, report):
        report(0, {"val_dice": math.nan if observer.results else 0.5})
        return {"dice": 0.5}

    run(objective=diverge, observer=observer)
    assert observer.outcomes == ["complete", "pruned", "pruned", "pruned", "pruned"]


def test_a_study_whose_trials_all_diverge_is_an_error(run):
    with pytest.raises(StudyError, match="completed trial"):
        run(objective=lambda values, report: {"dice": math.nan})


def test_a_trial_with_a_nan_result_is_pruned_with_two_objectives_too(run):
    observer = studies.RecordingObserver()

    def diverge(values, report):
        report(0, {"val_dice": 0.5})
        return {"dice": 0.5, "case_s": math.nan if observer.results else 1.0}

    run(tune(objectives=["dice", "case_s"]), diverge, observer=observer)
    assert [end.outcome for end in observer.results] == ["complete", *["pruned"] * 4]


def test_the_default_is_never_pruned_for_others_being_better(run):
    """As if other workers were faster: here, a second default comes after a first."""

    def poor(values, report):
        for epoch in range(studies.EPOCHS):
            report(epoch, {"val_dice": 0.01})
        return {"dice": 0.01}

    run(tune(trials=3))
    study = run(tune(trials=5), poor, default_values=studies.FIRST | {"depth": 4})
    assert study.trials[3].params["depth"] == 4
    assert [trial.state for trial in study.trials[3:]] == [TrialState.COMPLETE, TrialState.PRUNED]


def test_a_trial_over_a_measured_limit_is_complete_but_never_the_best(run):
    space = {"base_filters": {"choices": [8, 16, 32]}}
    settings = tune(space=space, trials=9, limits={"memory_gb": None, "case_s": 16.0})
    observer = studies.RecordingObserver()
    study = run(settings, with_seconds, default_values={"base_filters": 32}, observer=observer)
    assert {t.params["base_filters"] for t in study.trials} == {8, 16, 32}
    assert best_trial(study).params == {"base_filters": 16}  # just at the limit
    assert trial_result(study.trials[0]).exceeded_limits == ("case_s",)
    assert observer.results[0].measures == {"dice": 0.32, "case_s": 32.0}
    assert {end.outcome for end in observer.results} == {"complete"}


def test_a_trial_that_would_need_too_much_memory_is_pruned_before_training(run):
    space = {"base_filters": {"choices": [8, 16, 32]}}
    settings = tune(space=space, trials=9, limits={"memory_gb": 2.0, "case_s": None})
    trained, observer = [], studies.RecordingObserver()

    def train(values, report):
        trained.append(values["base_filters"])
        return with_seconds(values, report)

    estimate = {"estimate_measures": lambda values: {"memory_gb": values["base_filters"] / 10}}
    study = run(settings, train, default_values={"base_filters": 32}, observer=observer, **estimate)
    assert set(trained) == {8, 16}
    assert observer.results[0].outcome == "pruned"
    assert observer.results[0].exceeded_limits == ("memory_gb",)
    assert best_trial(study).params == {"base_filters": 16}


def test_a_study_without_a_trial_within_the_limits_is_an_error(run):
    settings = tune(space={"base_filters": {"choices": [8]}}, limits={"memory_gb": None, "case_s": 1.0})
    with pytest.raises(StudyError, match="within the limits, got 5 completed of 5 finished ones"):
        run(settings, with_seconds)


def test_a_name_follows_data_space_and_settings():
    same = {"data_version": "a", "space": {"depth": [3, 4]}, "fixed": {"seed": 1}}
    name = study_name(**same)
    assert name == study_name(**same)
    changes = ({"data_version": "b"}, {"space": {"depth": [3, 5]}}, {"fixed": {"seed": 2}})
    assert len({name, *(study_name(**same | change) for change in changes)}) == 4
