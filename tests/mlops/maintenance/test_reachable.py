"""References between versions, models, runs and studies; test_prune.py covers a real database."""

from types import SimpleNamespace

from glioseg.mlops.maintenance.reachable import MlflowContents, find_reachable


def make_run(name, params=None, **tags):
    tags = {key.replace("parent", "mlflow.parentRunId"): value for key, value in tags.items()}
    data = SimpleNamespace(tags=tags, params=params or {})
    return SimpleNamespace(info=SimpleNamespace(run_id=name), data=data)


def contents_of(*runs, versions=(), models=()):
    return MlflowContents(
        versions=versions,
        runs={run.info.run_id: run for run in runs},
        models={name: SimpleNamespace(source_run_id=run, metrics=[]) for name, run in models},
        experiments={},
        stores={},
    )


def make_version(source, run_id="", **tags):
    return SimpleNamespace(source=f"models:/{source}", run_id=run_id, tags=tags)


def test_a_version_reaches_its_model_training_folds_and_evaluations():
    contents = contents_of(
        make_run("training", stage="train"),
        make_run("fold", parent="training"),
        make_run("evaluation", model_id="m-1", trained_run="training"),
        make_run("evaluation of m-2", model_id="m-2", trained_run="training"),
        make_run("other training", stage="train"),
        versions=[make_version("m-1")],
        models=[("m-1", "training"), ("m-2", "training")],
    )
    found = find_reachable(contents)
    assert {"m-1", "training", "fold", "evaluation"} <= found
    assert not found & {"m-2", "evaluation of m-2", "other training"}


def test_a_training_reaches_the_study_whose_best_trial_has_its_settings_and_its_data():
    rate = {"train.learning_rate": "0.1", "train.epochs": "2"}
    contents = contents_of(
        make_run("training", {**rate, "train.epochs": "9"}, stage="train", data_version="1.dir"),
        make_run("study", study="study-1", best_trial="4"),
        make_run("best", rate, parent="study", trial="4", data_version="1.dir"),
        make_run("other", {}, parent="study", trial="5", data_version="1.dir"),
        make_run("study of other data", study="study-2", best_trial="0"),
        make_run("best of other data", rate, parent="study of other data", trial="0", data_version="2.dir"),
    )
    found = find_reachable(contents, ["training"])
    assert {"training", "study", "study-1", "best", "other"} <= found
    assert not found & {"study of other data", "study-2", "best of other data"}


def test_without_versions_only_the_others_are_reachable():
    contents = contents_of(make_run("one"), make_run("two"))
    assert find_reachable(contents) == set()
    assert find_reachable(contents, ["one"]) == {"one"}
