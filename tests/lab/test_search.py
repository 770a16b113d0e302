import json
import math
import subprocess
import sys
from collections import Counter

import pytest
import studies
from optuna.trial import TrialState

from glioseg.lab.search import SearchError, clip, search, study_name, study_page, write_study
from glioseg.lab.tracking import connect, experiment_id
from glioseg.params.study import Choices, Range

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Silent:
    """An observer that keeps how trials ended."""

    def __init__(self):
        self.outcomes = []

    def started(self, number, values):
        pass

    def epoch(self, number, epoch, logs):
        pass

    def ended(self, number, outcome, value):
        self.outcomes.append(outcome)


def run(lab, objective=studies.train, tune=studies.TUNE, observer=None):
    return search(
        lab=lab,
        name="study-x",
        tune=tune,
        first=studies.FIRST,
        objective=objective,
        observer=observer or Silent(),
    )


def test_the_default_comes_first_clipped_into_the_space(lab):
    first = run(lab).trials[0]
    assert first.params == {"learning_rate": 0.003, "depth": 5, "base_filters": 8}


def test_tuning_never_ends_below_the_default(lab):
    study = run(lab)
    assert study.best_value >= studies.dice({"depth": 5, "learning_rate": 0.003}, studies.EPOCHS - 1)


def test_a_finished_study_runs_nothing_again_and_a_longer_one_the_rest(lab):
    calls = []

    def count(values, report):
        calls.append(values)
        return studies.train(values, report)

    run(lab, count)
    assert len(calls) == 5
    run(lab, count)
    assert len(calls) == 5
    run(lab, count, studies.TUNE.model_copy(update={"trials": 7}))
    assert len(calls) == 7


def test_values_do_not_depend_on_an_interruption(lab, tmp_path):
    calls = []

    def stop_at_the_third(values, report):
        calls.append(values)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return studies.train(values, report)

    observer = Silent()
    with pytest.raises(KeyboardInterrupt):
        run(lab, stop_at_the_third, observer=observer)
    assert observer.outcomes[-1] == "interrupted"
    study = run(lab)
    other = type(lab)(tmp_path / "other")
    whole = run(other)
    values = [trial.params for trial in study.get_trials(states=FINISHED)]
    assert values == [trial.params for trial in whole.get_trials(states=FINISHED)]


@pytest.mark.parametrize("cause", [KeyboardInterrupt, MemoryError])
def test_a_default_that_did_not_finish_is_run_again(lab, cause):
    def fail(values, report):
        raise cause

    with pytest.raises(cause):
        run(lab, fail)
    first = run(lab).get_trials(states=FINISHED)[0]
    assert first.params["learning_rate"] == 0.003


def test_a_poor_trial_is_pruned_by_its_epochs(lab):
    observer = Silent()

    def worse_each_time(values, report):
        for epoch in range(3):
            report(epoch, {"val_dice": 1 - 0.1 * len(observer.outcomes) + 0.01 * epoch})
        return 1 - 0.1 * len(observer.outcomes)

    run(lab, worse_each_time, observer=observer)
    assert observer.outcomes[0] == "complete"
    assert set(observer.outcomes[1:]) == {"pruned"}


def test_a_trial_that_diverges_is_pruned_and_not_tried_for_ever(lab):
    observer = Silent()

    def diverge(values, report):
        report(0, {"val_dice": math.nan if observer.outcomes else 0.5})
        return 0.5

    run(lab, diverge, observer=observer)
    assert observer.outcomes == ["complete", "pruned", "pruned", "pruned", "pruned"]


def test_a_study_in_which_all_diverge_is_an_error(lab):
    with pytest.raises(SearchError, match="completed trial"):
        run(lab, lambda values, report: math.nan)


@pytest.mark.parametrize(
    ("value", "domain", "inside"),
    [
        (0.5, Range(low=0.0, high=0.3), 0.3),
        (-1, Range(low=0, high=3), 0),
        (2, Range(low=0, high=3), 2),
        (16, Choices(choices=(8, 12)), 8),
        (12, Choices(choices=(8, 12)), 12),
    ],
)
def test_clip(value, domain, inside):
    assert clip(value, domain) == inside


def test_a_name_follows_data_space_and_settings():
    same = {"data_version": "a", "space": {"depth": [3, 4]}, "fixed": {"seed": 1}}
    name = study_name(**same)
    assert name == study_name(**same)
    changes = ({"data_version": "b"}, {"space": {"depth": [3, 5]}}, {"fixed": {"seed": 2}})
    assert len({name, *(study_name(**same | change) for change in changes)}) == 4


def test_written_files_and_a_page_that_needs_no_network(lab, tmp_path):
    study = run(lab)
    write_study(study, tmp_path / "out", title="a study")
    best = json.loads((tmp_path / "out" / "best_params.json").read_text())
    assert best == study.best_params
    assert len((tmp_path / "out" / "trials.csv").read_text().splitlines()) == 1 + 5
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<script src=" not in page.replace("'", '"')
    for title in ("Optimization History", "Importances", "Parallel Coordinate", "Intermediate Values"):
        assert title in page


def test_one_trial_has_no_importances_and_the_page_goes_on(lab):
    study = run(lab, tune=studies.TUNE.model_copy(update={"trials": 1}))
    assert "Importances" not in study_page(study, title="x").split("</script>")[-1]


def test_kill_9_in_a_trial_loses_none_and_runs_it_again(lab):
    victim = subprocess.run([sys.executable, studies.__file__, str(lab.root)], capture_output=True, text=True)
    assert victim.returncode == -9, victim.stderr
    client = connect(lab)
    experiment = [experiment_id(client, "tune")]
    before = {run.info.run_name: run for run in client.search_runs(experiment)}
    assert before["trial 2"].info.status == "RUNNING"

    study, parent_id = studies.run(lab.root)

    finished = study.get_trials(states=FINISHED)
    assert len(finished) == studies.TUNE.trials
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] == 1
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
    assert study.trials[3].params == study.trials[2].params
    assert parent_id == before[studies.NAME].info.run_id
    runs = {run.info.run_name: run for run in client.search_runs(experiment)}
    assert len(runs) == 1 + studies.TUNE.trials + 1
    assert "RUNNING" not in {run.info.status for run in runs.values()}
    assert runs["trial 2 (interrupted)"].data.tags["state"] == "interrupted"
    assert runs[studies.NAME].data.metrics["best_val_dice"] == study.best_value
