"""Project storage as after months of work, in which little belongs to a registered version."""

import json
from dataclasses import dataclass
from pathlib import Path

import mlflow
import optuna
from mlflow import MlflowClient

from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, connect, experiment_id, log_params
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.storage import ProjectStorage

ORPHAN = "f" * 32
PYFUNC = """
from pathlib import Path
import mlflow

class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return Path(context.artifacts["model.keras"]).read_text()

mlflow.models.set_model(Echo())
"""


@dataclass(frozen=True)
class Stock:
    """Project storage, and the IDs of its runs and models by a readable name."""

    storage: ProjectStorage
    client: MlflowClient
    ids: dict[str, str]

    def add(
        self, name: str, stage: str, *, parent: str = "", params: dict | None = None, **tags: str
    ) -> None:
        """A finished run that holds a file of as many bytes as its name has letters."""
        tags |= {"stage": stage, "data_version": "1.dir"}
        if parent:
            tags[PARENT_TAG] = self.ids[parent]
        run = self.client.create_run(experiment_id(self.client, stage), tags=tags, run_name=name)
        run_id = self.ids[name] = run.info.run_id
        self.client.log_text(run_id, name, "file.txt")
        log_params(self.client, run_id, params or {})
        self.client.set_terminated(run_id)

    def add_model(self, name: str, training: str) -> None:
        """A logged model that returns its name, and an evaluation of it."""
        folder = self.storage.root / "models" / name
        entry = folder / "package" / "serving" / "pyfunc.py"
        entry.parent.mkdir(parents=True)
        entry.write_text(PYFUNC)
        (folder / "model.keras").write_text(name)
        source = ModelFiles([folder / "model.keras"], folder / "package")
        model_id = self.ids[name] = log_model(self.client, source, run_id=self.ids[training])
        marks = {"model_id": model_id, "trained_run": self.ids[training]}
        self.add(f"evaluation of {name}", "evaluate", **marks)

    def add_version(self, model: str, training: str) -> None:
        """A registered version of a logged model."""
        address, tags = f"models:/{self.ids[model]}", {"trained_run": self.ids[training]}
        mlflow.register_model(address, "unet", tags=tags)

    def add_study(self, name: str, rate: float) -> None:
        """A study whose second trial is the best, with this learning rate."""
        self.add(name, "tune", study=name, best_trial="1")
        for number in range(2):
            settings = {"train": {"learning_rate": rate * number, "epochs": 1}}
            self.add(f"{name} trial {number}", "tune", parent=name, trial=str(number), params=settings)
        study = optuna.create_study(study_name=name, storage=self.storage.study_url)
        study.optimize(lambda trial: trial.suggest_float("learning_rate", 0, 1), n_trials=2)

    def folder(self, name: str) -> Path:
        """The folder of a run of an experiment."""
        (found,) = self.storage.folder.rglob(self.ids[name])
        return found


def build(storage: ProjectStorage) -> Stock:
    """Two registered versions, one deleted in MLflow's page as far as that goes; and much beside."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stock = Stock(storage, connect(storage), {})
    client = stock.client
    stock.add_study("study-good", 0.25)
    stock.add_study("study-other", 0.5)
    stock.add("training", "train", params={"train": {"learning_rate": 0.25, "epochs": 9}})
    stock.add("fold", "train", parent="training", fold="0")
    stock.add_model("model", "training")
    stock.add_version("model", "training")
    stock.add_model("sibling", "training")  # calibrated again, and never registered
    stock.add("hidden training", "train")
    stock.add_model("hidden", "hidden training")
    stock.add_version("hidden", "hidden training")
    client.delete_run(stock.ids["hidden training"])
    client.delete_logged_model(stock.ids["hidden"])
    stock.add("loser", "train")
    stock.add_model("loser's model", "loser")
    stock.add("deleted", "train")
    client.delete_run(stock.ids["deleted"])
    stock.add("killed", "train")
    client.update_run(stock.ids["killed"], status="RUNNING")
    write(stock.storage.state("key") / "run.json", json.dumps({"run_id": stock.ids["killed"]}))
    write(stock.storage.state("key") / "weights", "w" * 1000)
    write(stock.storage.tensorboard("key") / "events", "e" * 100)
    write(stock.storage.folder / "artifacts" / "train" / ORPHAN / "artifacts" / "x", "x" * 10)
    write(stock.storage.lock_file("e" * 32), "")  # named like a run, but no folder of one
    stranger = client.create_run("0", run_name="stranger")  # not glioseg's: it may be running
    stock.ids["stranger"] = stranger.info.run_id
    return stock


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
