"""Pruning a project with real databases, models and files; `tests/helpers/stock.py` describes its content."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from glioseg import cli
from glioseg.cli.project import unreferenced_table
from glioseg.mlops.maintenance import prune as module
from glioseg.mlops.maintenance.prune import (
    PruneError,
    Unreferenced,
    find_unreferenced,
    prune,
    version_fingerprints,
)
from glioseg.mlops.maintenance.reachable import read_mlflow
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tuning import study_names
from tests.helpers.stock import ORPHAN, write

REACHABLE = {
    "training", "fold", "model", "evaluation of model",
    "study-good", "study-good trial 0", "study-good trial 1",
    "hidden training", "hidden", "evaluation of hidden",
    "stranger",
}  # fmt: skip
"""What two registered versions reference, and a run that may be running."""

UNREFERENCED_RUNS = {
    "evaluation of sibling", "loser", "evaluation of loser's model", "deleted", "killed",
    "study-other", "study-other trial 0", "study-other trial 1",
}  # fmt: skip
UNREFERENCED_MODELS = {"sibling", "loser's model"}


def named(stocked, items):
    """The readable names of unreferenced items, by kind."""
    names = {identity: name for name, identity in stocked.ids.items()}
    return {
        kind: {names.get(one.name, one.name) for one in items if one.kind == kind}
        for kind in ("run", "model", "study", "files")
    }


def unreferenced_in(stocked, exclusive=True):
    return find_unreferenced(stocked.storage, stocked.client, exclusive=exclusive)


def left(stocked):
    """The readable names of the runs and models that still exist."""
    contents = read_mlflow(stocked.client)
    names = {identity: name for name, identity in stocked.ids.items()}
    return {names[identity] for identity in (*contents.runs, *contents.models)}


def run(*words, answer=None):
    return CliRunner().invoke(cli.app, ["prune-runs", *words], input=answer)


def unused_pages(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA freelist_count").fetchone()[0]


def require_pruned(stocked):
    """Everything reachable exists and works, and nothing else is left."""
    storage = stocked.storage
    assert left(stocked) == REACHABLE
    assert study_names(storage) == ["study-good"]
    for name in REACHABLE - {"stranger"}:
        assert stocked.folder(name).is_dir()
    for version, name in (("1", "model"), ("2", "hidden")):
        loaded = mlflow.pyfunc.load_model(f"models:/unet/{version}")
        assert loaded.predict(pd.DataFrame({"t1": [b"scan"]})) == name
    folders = {path.name for path in storage.folder.glob("artifacts/*/*") if path.name != "models"}
    folders |= {path.name for path in storage.folder.glob("artifacts/*/models/*")}
    assert folders == {stocked.ids[name] for name in REACHABLE - {"stranger"}}
    assert not [*storage.folder.glob("state/*"), *storage.folder.glob("tensorboard/*")]
    assert unreferenced_in(stocked) == []


def test_unreferenced_items_are_found_with_their_size(stocked):
    unreferenced = unreferenced_in(stocked)
    orphan = stocked.storage.folder / "artifacts" / "train" / ORPHAN
    assert named(stocked, unreferenced) == {
        "run": UNREFERENCED_RUNS,
        "model": UNREFERENCED_MODELS,
        "study": {"study-other"},
        "files": {str(orphan), str(stocked.storage.state("key")), str(stocked.storage.tensorboard("key"))},
    }
    sizes = {one.category: one.size_bytes for one in unreferenced if one.kind == "files"}
    state = 1000 + len(f'{{"run_id": "{stocked.ids["killed"]}"}}')
    assert sizes == {"files of no run": 10, "interrupted trainings": state, "TensorBoard logs": 100}
    runs = sum(one.size_bytes for one in unreferenced if one.kind == "run")
    assert runs == sum(map(len, UNREFERENCED_RUNS))


def test_the_table_sums_each_category():
    unreferenced = [
        Unreferenced("run", "runs of train", "a", size_bytes=1_500_000),
        Unreferenced("run", "runs of train", "b", size_bytes=1_000_000),
        Unreferenced("study", "Optuna studies", "c"),
    ]
    assert unreferenced_table(unreferenced) == (
        "                            number       files\n"
        "runs of train                    2      2.5 MB\n"
        "Optuna studies                   1      0.0 MB\n"
        "total                                   2.5 MB"
    )


def test_pruning_removes_everything_unreferenced_and_does_not_change_registered_models(stocked):
    client, storage = stocked.client, stocked.storage
    before = version_fingerprints(client)
    versions = [dict(version) for version in client.search_model_versions()]
    for number in range(9):
        client.set_tag(stocked.ids["loser"], f"note {number}", "n" * 8000)
    size = storage.database.stat().st_size
    result = run("--yes")
    assert result.exit_code == 0, result.output
    assert "runs of train                    3" in result.output
    assert "mlruns: removed 14 items, " in result.output
    require_pruned(stocked)
    assert before.items() <= version_fingerprints(client).items()
    assert {name.partition(":")[0] for name in before} == {"unet/1", "unet/2"}
    assert [dict(version) for version in client.search_model_versions()] == versions
    assert storage.database.stat().st_size <= size - 9 * 8000
    assert [unused_pages(path) for path in (storage.database, storage.folder / "optuna.db")] == [0, 0]
    again = run("--yes")
    assert (again.exit_code, again.output) == (0, "mlruns: nothing to remove\n")


def test_a_registered_model_that_was_deleted_in_mlflow_s_page_stays_marked_as_deleted(stocked):
    run("--yes")
    hidden = stocked.client.get_run(stocked.ids["hidden training"])
    assert hidden.info.lifecycle_stage == "deleted"
    assert stocked.ids["hidden"] in read_mlflow(stocked.client).models


def test_without_confirmation_nothing_is_removed(stocked):
    for answer in ("n\n", "\n", ""):
        result = run(answer=answer)
        assert "total" in result.output
        assert "Remove all this permanently?" in result.output
        assert len(unreferenced_in(stocked)) == 14
    assert left(stocked) == stocked.ids.keys()
    assert run(answer="y\n").exit_code == 0
    require_pruned(stocked)


@pytest.mark.parametrize("after", [1, 8, 11])
def test_an_interrupted_call_can_be_repeated(stocked, monkeypatch, after):
    unreferenced, left_to_do = unreferenced_in(stocked), iter(range(after))

    def stop_after(folder):
        if next(left_to_do, None) is None:
            raise KeyboardInterrupt
        remove(folder)

    remove = shutil.rmtree
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop_after)
        with suppress(KeyboardInterrupt):
            prune(stocked.storage, stocked.client, unreferenced)
    assert run("--yes").exit_code == 0
    require_pruned(stocked)


def test_a_version_registered_before_the_confirmation_is_kept(stocked):
    unreferenced = unreferenced_in(stocked)
    stocked.add_version("loser's model", "loser")
    prune(stocked.storage, stocked.client, unreferenced)
    assert left(stocked) == REACHABLE | {"loser", "loser's model", "evaluation of loser's model"}


def test_a_run_that_the_user_did_not_see_is_kept(stocked):
    unreferenced = unreferenced_in(stocked)
    stocked.add("new", "train")
    prune(stocked.storage, stocked.client, unreferenced)
    assert left(stocked) == REACHABLE | {"new"}


OTHER_STUDY = {"study-other", "study-other trial 0", "study-other trial 1"}


@pytest.mark.parametrize("copy", ["", ".dvc/tmp/exps/tmp1"])
def test_runs_and_models_in_the_reports_are_kept(stocked, copy):
    records = {"tune/study.json": "study-other", "train/run.json": "loser", "calibrate/model.json": "sibling"}
    for name, content in records.items():
        write(
            stocked.storage.root / copy / "reports" / name, json.dumps({"id": stocked.ids[content], "n": 1})
        )
    prune(stocked.storage, stocked.client, unreferenced_in(stocked))
    assert left(stocked) == REACHABLE | OTHER_STUDY | {"loser", "sibling", "evaluation of sibling"}
    assert study_names(stocked.storage) == ["study-good", "study-other"]


def test_a_study_in_a_version_s_lineage_is_kept(stocked):
    record = {"facts": {"study": {"run_id": stocked.ids["study-other"], "trial": 1}, "split": None}}
    write(stocked.folder("model") / "artifacts" / "lineage" / "unet-1" / "lineage.json", json.dumps(record))
    prune(stocked.storage, stocked.client, unreferenced_in(stocked))
    assert left(stocked) == REACHABLE | OTHER_STUDY


def test_without_a_database_the_command_prints_one_line_and_makes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    result = run("--yes")
    database = tmp_path / "mlruns" / "mlflow.db"
    assert result.exit_code == 1
    assert result.output == f"glioseg prune-runs: {database}: expected MLflow's database, found none\n"
    assert not (tmp_path / "mlruns").exists()


def test_a_version_that_was_registered_from_a_run_s_files_references_the_run(stocked):
    stocked.client.create_model_version(
        "unet", str(stocked.folder("loser") / "artifacts"), run_id=stocked.ids["loser"]
    )
    prune(stocked.storage, stocked.client, unreferenced_in(stocked))
    assert left(stocked) == REACHABLE | {"loser"}
    assert (stocked.folder("loser") / "artifacts" / "file.txt").read_text() == "loser"


def test_an_evaluation_of_a_version_that_was_trained_elsewhere_is_kept(stocked):
    elsewhere = "0" * 32
    stocked.add("from elsewhere", "evaluate", trained_run=elsewhere, model_id="m-" + elsewhere)
    unreferenced = unreferenced_in(stocked)
    assert "from elsewhere" in named(stocked, unreferenced)["run"]
    stocked.client.set_model_version_tag("unet", "1", "trained_run", elsewhere)
    assert "from elsewhere" not in named(stocked, unreferenced_in(stocked))["run"]


WORKER = """
import sys, time
from pathlib import Path
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
storage = ProjectStorage(Path(sys.argv[1]))
client = connect(storage)
run = client.create_run(experiment_id(client, "train"), tags={"stage": "train"})
print(run.info.run_id, flush=True)
time.sleep(600)
"""


def test_a_run_of_another_process_is_kept_until_the_process_ends(stocked):
    words = [sys.executable, "-c", WORKER, str(stocked.storage.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        stocked.ids["running"] = worker.stdout.readline().strip()
        result = run("--yes")
        os.kill(worker.pid, signal.SIGKILL)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("another process uses this project: runs that may be running are kept\n")
    # The killed training may be the running one, so it is kept with its saved state.
    assert left(stocked) == REACHABLE | {"running", "killed"}
    assert (stocked.storage.state("key") / "weights").exists()
    result = run("--yes")
    assert "another process" not in result.output
    require_pruned(stocked)


def test_a_changed_version_is_named(stocked, monkeypatch):
    def change_version(storage, client, unreferenced):
        (stocked.folder("model") / "artifacts" / "artifacts" / "model.keras").write_text("changed")

    monkeypatch.setattr(module, "_remove", change_version)
    with pytest.raises(
        PruneError, match=r"^unet/1: artifacts/model\.keras: expected the content from before"
    ):
        prune(stocked.storage, stocked.client, unreferenced_in(stocked))


def test_a_model_of_a_pruned_training_is_logged_without_a_link(stocked):
    """As after `dvc checkout` of an older commit, whose reports/train/run.json names a removed run."""
    run("--yes")
    folder = stocked.storage.root / "models" / "loser's model"
    source = ModelFiles([folder / "model.keras"], folder / "package")
    model_id = log_model(stocked.client, source, run_id=stocked.ids["loser"], metrics={"x": 1.0})
    model = stocked.client.get_logged_model(model_id)
    assert (model.status, model.source_run_id) == ("READY", None)
