import json
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import optuna
import pytest
from optuna.trial import TrialState

from glioseg.mlops.tuning import (
    SearchError,
    clip,
    kept_studies,
    search,
    study_name,
    study_page,
    write_study,
)
from glioseg.mlops.tuning.trial_queue import RETRY_OF, Queue, on_duty
from glioseg.params.study import Choices, Range
from tests.helpers import studies

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
ASKED = {"tune": studies.TUNE, "first": studies.FIRST, "observer": studies.Silent()}


def test_the_default_comes_first_clipped_into_the_space(run):
    first = run().trials[0]
    assert first.params == {"learning_rate": 0.003, "depth": 5, "base_filters": 8}


def test_tuning_never_ends_below_the_default(run):
    study = run()
    assert study.best_value >= studies.dice({"depth": 5, "learning_rate": 0.003}, studies.EPOCHS - 1)


def test_a_finished_study_runs_nothing_again_and_a_longer_one_the_rest(run):
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

    observer = studies.Silent()
    with pytest.raises(KeyboardInterrupt):
        run(objective=stop_at_the_third, observer=observer)
    assert observer.outcomes[-1] == "interrupted"
    study = run()
    whole = run(name="never interrupted")
    values = [trial.params for trial in study.get_trials(states=FINISHED)]
    assert values == [trial.params for trial in whole.get_trials(states=FINISHED)]


@pytest.mark.parametrize("cause", [KeyboardInterrupt, MemoryError])
def test_a_default_that_did_not_finish_is_run_again(run, cause):
    def fail(values, report):
        raise cause

    with pytest.raises(cause):
        run(objective=fail)
    first = run().get_trials(states=FINISHED)[0]
    assert first.params["learning_rate"] == 0.003


def test_a_poor_trial_is_pruned_by_its_epochs(run):
    observer = studies.Silent()

    def worse_each_time(values, report):
        for epoch in range(3):
            report(epoch, {"val_dice": 1 - 0.1 * len(observer.endings) + 0.01 * epoch})
        return {"dice": 1 - 0.1 * len(observer.endings)}

    run(objective=worse_each_time, observer=observer)
    assert observer.outcomes[0] == "complete"
    assert set(observer.outcomes[1:]) == {"pruned"}


def test_a_trial_that_diverges_is_pruned_and_not_tried_for_ever(run):
    observer = studies.Silent()

    def diverge(values, report):
        report(0, {"val_dice": math.nan if observer.endings else 0.5})
        return {"dice": 0.5}

    run(objective=diverge, observer=observer)
    assert observer.outcomes == ["complete", "pruned", "pruned", "pruned", "pruned"]


def test_a_study_in_which_all_diverge_is_an_error(run):
    with pytest.raises(SearchError, match="completed trial"):
        run(objective=lambda values, report: {"dice": math.nan})


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


def test_written_files_and_a_page_that_needs_no_network(run, tmp_path):
    study = run()
    write_study(study, tmp_path / "out", title="a study")
    best = json.loads((tmp_path / "out" / "best_params.json").read_text())
    assert best == study.best_params
    assert len((tmp_path / "out" / "trials.csv").read_text().splitlines()) == 1 + 5
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<script src=" not in page.replace("'", '"')
    for title in ("Optimization History", "Importances", "Parallel Coordinate", "Intermediate Values"):
        assert title in page


def test_one_trial_has_no_importances_and_the_page_goes_on(run):
    study = run(tune=studies.TUNE.model_copy(update={"trials": 1}))
    assert "Importances" not in study_page(study, title="x").split("</script>")[-1]


def test_a_database_that_fails_is_told_in_its_own_words(lab):
    def lose_a_table(values, report):
        with closing(sqlite3.connect(lab.folder / "optuna.db")) as database:
            database.execute("DROP TABLE trial_intermediate_values")
        return studies.train(values, report)

    with pytest.raises(SearchError, match="a study: the database failed: no such table") as error:
        search(lab=lab, name="a study", objective=lose_a_table, **ASKED)
    assert "\n" not in str(error.value)


def test_kill_9_in_a_trial_loses_none_and_runs_it_again(common_lab):
    victim = subprocess.run(
        [sys.executable, "-m", "tests.helpers.studies", str(common_lab.root)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert victim.returncode == -9, victim.stderr
    with studies.Watch.on(common_lab, studies.NAME) as watch:
        begun, before = watch.runs()
        assert before[2].info.status == "RUNNING"
        study, parent_id = studies.run(common_lab)
        assert watch.check(asked=studies.TUNE.trials).trials == study.trials
        parent, runs = watch.runs()
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) == 1
    assert study.trials[3].params == study.trials[2].params
    assert parent_id == parent.info.run_id == begun.info.run_id
    assert parent.data.metrics["best_val_dice"] == study.best_value
    assert runs.keys() == {0, 1, 2, 3, 4, 5}
    assert runs[2].info.run_name == "trial 2 (interrupted)"


def test_a_damaged_database_is_told_in_its_own_words(lab):
    lab.folder.mkdir(parents=True, exist_ok=True)
    for database in lab.database_files:
        database.write_bytes(b"no database" * 1000)
    with pytest.raises(SearchError, match=r"^studies: the database failed: file is not a database$"):
        kept_studies(lab)
    with pytest.raises(SearchError, match=r"^a study: the database failed: file is not a database$"):
        search(lab=lab, name="a study", objective=studies.train, **ASKED)


def test_a_worker_that_ends_its_trial_and_leaves_while_others_look_is_not_dead(lab, monkeypatch):
    study = optuna.create_study()
    with on_duty(lab) as worker:
        queue = Queue(study, lab, studies.TUNE, worker)
        trial, _ = queue.take()

    def leave(queue, running):
        study.tell(running.number, 0.5)
        return True

    monkeypatch.setattr(Queue, "_dead", leave)
    queue.take()
    assert study.trials[trial.number].state == TrialState.COMPLETE
    assert not any(RETRY_OF in trial.user_attrs for trial in study.trials)
