"""Pruning a lab of real databases, models and files; `stock.py` says what is in it."""

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
from glioseg.cli.prune_runs import waste_table
from glioseg.mlops.maintenance import prune as module
from glioseg.mlops.maintenance.prune import PruneError, fingerprints, prune
from glioseg.mlops.maintenance.reachable import read_book
from glioseg.mlops.maintenance.unreferenced import Waste, find_waste
from glioseg.mlops.tracking.candidate import Source
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tuning import kept_studies
from tests.helpers.stock import ORPHAN, write

NEEDED = {
    "training", "fold", "model", "evaluation of model",
    "study-good", "study-good trial 0", "study-good trial 1",
    "hidden training", "hidden", "evaluation of hidden",
    "stranger",
}  # fmt: skip
"""What two registered versions need, and a run that may be running."""

RUNS_OF_OTHERS = {
    "evaluation of sibling", "loser", "evaluation of loser's model", "deleted", "killed",
    "study-other", "study-other trial 0", "study-other trial 1",
}  # fmt: skip
MODELS_OF_OTHERS = {"sibling", "loser's model"}


def named(stocked, waste):
    """The readable names of waste, by its kind."""
    names = {identity: name for name, identity in stocked.ids.items()}
    return {
        kind: {names.get(one.name, one.name) for one in waste if one.kind == kind}
        for kind in ("run", "model", "study", "files")
    }


def waste_of(stocked, quiet=True):
    return find_waste(stocked.lab, stocked.client, quiet=quiet)


def left(stocked):
    """The readable names of the runs and models that are still there."""
    book = read_book(stocked.client)
    names = {identity: name for name, identity in stocked.ids.items()}
    return {names[identity] for identity in (*book.runs, *book.models)}


def run(*words, answer=None):
    return CliRunner().invoke(cli.app, ["prune-runs", *words], input=answer)


def unused_pages(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA freelist_count").fetchone()[0]


def require_pruned(stocked):
    """All that was needed is there, works, and is all that there is."""
    lab = stocked.lab
    assert left(stocked) == NEEDED
    assert kept_studies(lab) == ["study-good"]
    for name in NEEDED - {"stranger"}:
        assert stocked.folder(name).is_dir()
    for version, name in (("1", "model"), ("2", "hidden")):
        loaded = mlflow.pyfunc.load_model(f"models:/unet/{version}")
        assert loaded.predict(pd.DataFrame({"t1": [b"scan"]})) == name
    folders = {path.name for path in lab.folder.glob("artifacts/*/*") if path.name != "models"}
    folders |= {path.name for path in lab.folder.glob("artifacts/*/models/*")}
    assert folders == {stocked.ids[name] for name in NEEDED - {"stranger"}}
    assert not [*lab.folder.glob("state/*"), *lab.folder.glob("tensorboard/*")]
    assert waste_of(stocked) == []


def test_what_two_versions_do_not_need_is_found_with_its_size(stocked):
    waste = waste_of(stocked)
    orphan = stocked.lab.folder / "artifacts" / "train" / ORPHAN
    assert named(stocked, waste) == {
        "run": RUNS_OF_OTHERS,
        "model": MODELS_OF_OTHERS,
        "study": {"study-other"},
        "files": {str(orphan), str(stocked.lab.state("key")), str(stocked.lab.tensorboard("key"))},
    }
    sizes = {one.what: one.size for one in waste if one.kind == "files"}
    state = 1000 + len(f'{{"run_id": "{stocked.ids["killed"]}"}}')
    assert sizes == {"files of no run": 10, "interrupted trainings": state, "TensorBoard logs": 100}
    runs = sum(one.size for one in waste if one.kind == "run")
    assert runs == sum(map(len, RUNS_OF_OTHERS))


def test_the_table_adds_up():
    waste = [
        Waste("run", "runs of train", "a", size=1_500_000),
        Waste("run", "runs of train", "b", size=1_000_000),
        Waste("study", "Optuna studies", "c"),
    ]
    assert waste_table(waste) == (
        "                          how many       files\n"
        "runs of train                    2      2.5 MB\n"
        "Optuna studies                   1      0.0 MB\n"
        "in all                                  2.5 MB"
    )


def test_all_that_is_not_needed_goes_and_registered_models_stay_as_they_are(stocked):
    client, lab = stocked.client, stocked.lab
    before = fingerprints(client)
    versions = [dict(version) for version in client.search_model_versions()]
    for number in range(9):
        client.set_tag(stocked.ids["loser"], f"note {number}", "n" * 8000)
    size = lab.database.stat().st_size
    result = run("--yes")
    assert result.exit_code == 0, result.output
    assert "runs of train                    3" in result.output
    assert "mlruns: removed 14 things, " in result.output
    require_pruned(stocked)
    assert before.items() <= fingerprints(client).items()
    assert {name.partition(":")[0] for name in before} == {"unet/1", "unet/2"}
    assert [dict(version) for version in client.search_model_versions()] == versions
    assert lab.database.stat().st_size <= size - 9 * 8000
    assert [unused_pages(path) for path in (lab.database, lab.folder / "optuna.db")] == [0, 0]
    again = run("--yes")
    assert (again.exit_code, again.output) == (0, "mlruns: nothing to remove\n")


def test_what_was_deleted_in_the_page_but_is_registered_stays_marked_as_it_was(stocked):
    run("--yes")
    hidden = stocked.client.get_run(stocked.ids["hidden training"])
    assert hidden.info.lifecycle_stage == "deleted"
    assert stocked.ids["hidden"] in read_book(stocked.client).models


def test_without_a_yes_nothing_goes(stocked):
    for answer in ("n\n", "\n", ""):
        result = run(answer=answer)
        assert "in all" in result.output
        assert "Remove all this for good?" in result.output
        assert len(waste_of(stocked)) == 14
    assert left(stocked) == stocked.ids.keys()
    assert run(answer="y\n").exit_code == 0
    require_pruned(stocked)


@pytest.mark.parametrize("after", [1, 8, 11])
def test_stopped_between_rows_and_files_it_can_be_called_again(stocked, monkeypatch, after):
    waste, left_to_do = waste_of(stocked), iter(range(after))

    def stop_then(folder):
        if next(left_to_do, None) is None:
            raise KeyboardInterrupt
        remove(folder)

    remove = shutil.rmtree
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop_then)
        with suppress(KeyboardInterrupt):
            prune(stocked.lab, stocked.client, waste)
    assert run("--yes").exit_code == 0
    require_pruned(stocked)


def test_what_is_registered_while_the_question_stands_is_kept(stocked):
    waste = waste_of(stocked)
    stocked.add_version("loser's model", "loser")
    prune(stocked.lab, stocked.client, waste)
    assert left(stocked) == NEEDED | {"loser", "loser's model", "evaluation of loser's model"}


def test_what_the_user_did_not_see_is_kept(stocked):
    waste = waste_of(stocked)
    stocked.add("new", "train")
    prune(stocked.lab, stocked.client, waste)
    assert left(stocked) == NEEDED | {"new"}


OTHER_STUDY = {"study-other", "study-other trial 0", "study-other trial 1"}


@pytest.mark.parametrize("copy", ["", ".dvc/tmp/exps/tmp1"])
def test_what_the_reports_name_is_kept(stocked, copy):
    records = {"tune/study.json": "study-other", "train/run.json": "loser", "calibrate/model.json": "sibling"}
    for name, content in records.items():
        write(stocked.lab.root / copy / "reports" / name, json.dumps({"id": stocked.ids[content], "n": 1}))
    prune(stocked.lab, stocked.client, waste_of(stocked))
    assert left(stocked) == NEEDED | OTHER_STUDY | {"loser", "sibling", "evaluation of sibling"}
    assert kept_studies(stocked.lab) == ["study-good", "study-other"]


def test_the_study_that_a_version_s_lineage_names_is_kept(stocked):
    record = {"facts": {"study": {"run_id": stocked.ids["study-other"], "trial": 1}, "split": None}}
    write(stocked.folder("model") / "artifacts" / "lineage" / "unet-1" / "lineage.json", json.dumps(record))
    prune(stocked.lab, stocked.client, waste_of(stocked))
    assert left(stocked) == NEEDED | OTHER_STUDY


def test_no_database_is_one_line_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    result = run("--yes")
    database = tmp_path / "mlruns" / "mlflow.db"
    assert result.exit_code == 1
    assert result.output == f"glioseg prune-runs: {database}: expected MLflow's database, found none\n"
    assert not (tmp_path / "mlruns").exists()


def test_a_version_that_was_registered_from_a_run_s_files_keeps_the_run(stocked):
    stocked.client.create_model_version(
        "unet", str(stocked.folder("loser") / "artifacts"), run_id=stocked.ids["loser"]
    )
    prune(stocked.lab, stocked.client, waste_of(stocked))
    assert left(stocked) == NEEDED | {"loser"}
    assert (stocked.folder("loser") / "artifacts" / "file.txt").read_text() == "loser"


def test_an_evaluation_of_a_model_that_was_trained_elsewhere_stays(stocked):
    elsewhere = "0" * 32
    stocked.add("from elsewhere", "evaluate", trained_run=elsewhere, model_id="m-" + elsewhere)
    waste = waste_of(stocked)
    assert "from elsewhere" in named(stocked, waste)["run"]
    stocked.client.set_model_version_tag("unet", "1", "trained_run", elsewhere)
    assert "from elsewhere" not in named(stocked, waste_of(stocked))["run"]


WORKER = """
import sys, time
from pathlib import Path
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
lab = Lab(Path(sys.argv[1]))
client = connect(lab)
run = client.create_run(experiment_id(client, "train"), tags={"stage": "train"})
print(run.info.run_id, flush=True)
time.sleep(600)
"""


def test_what_a_living_process_runs_is_left_and_goes_once_it_is_killed(stocked):
    words = [sys.executable, "-c", WORKER, str(stocked.lab.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        stocked.ids["running"] = worker.stdout.readline().strip()
        result = run("--yes")
        os.kill(worker.pid, signal.SIGKILL)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("another process is at work here: what may be running stays\n")
    # The killed training may be the one that is at work: it stays too, with what it can go on from.
    assert left(stocked) == NEEDED | {"running", "killed"}
    assert (stocked.lab.state("key") / "weights").exists()
    result = run("--yes")
    assert "another process" not in result.output
    require_pruned(stocked)


def test_a_changed_version_is_named(stocked, monkeypatch):
    def spoil(lab, client, waste):
        (stocked.folder("model") / "artifacts" / "artifacts" / "model.keras").write_text("spoiled")

    monkeypatch.setattr(module, "_remove", spoil)
    with pytest.raises(
        PruneError, match=r"^unet/1: artifacts/model\.keras: expected the content from before"
    ):
        prune(stocked.lab, stocked.client, waste_of(stocked))


def test_settling_a_training_that_was_pruned_logs_its_model_without_the_link(stocked):
    """As after `dvc checkout` of an older commit, whose reports/train/run.json names a run that is gone."""
    run("--yes")
    folder = stocked.lab.root / "models" / "loser's model"
    source = Source([folder / "model.keras"], folder / "package")
    model_id = log_model(stocked.client, source, run_id=stocked.ids["loser"], metrics={"x": 1.0})
    model = stocked.client.get_logged_model(model_id)
    assert (model.status, model.source_run_id) == ("READY", None)
