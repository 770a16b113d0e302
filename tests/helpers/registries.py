"""A registered model in a real MLflow registry whose versions are a few bytes that nothing loads."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import mlflow

from glioseg.core.fingerprint import PACKAGE
from glioseg.mlops.registry.candidate import Evaluation
from glioseg.mlops.registry.register import register
from glioseg.mlops.registry.versions import Versions
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.gate import make_rules, table

ELSEWHERE = "0" * 32


def not_called(folder):
    raise AssertionError("expected the stored table of the champion to be used, got a new evaluation")


@dataclass(frozen=True)
class ModelRegistry:
    """A registered model, and a folder for its files.

    `measured` are the gate's measures of every model; `code` holds another `metric_code` for its evaluation.
    """

    storage: ProjectStorage
    name: str
    folder: Path
    measured: dict[str, float] = field(default_factory=dict)
    package: Path = PACKAGE
    code: dict[str, str] = field(default_factory=dict)

    @property
    def client(self):
        return connect(self.storage)

    @property
    def versions(self):
        return Versions(self.client, self.name)

    @property
    def aliases(self):
        return {alias: int(v) for alias, v in self.client.get_registered_model(self.name).aliases.items()}

    def tags(self, version):
        return self.versions.tags(str(version))

    def rules(self, **changes):
        return make_rules(self.name, **changes)

    def model_files(self, content):
        folder = self.folder / f"models {content}"
        folder.mkdir(exist_ok=True)
        (folder / "model.keras").write_text(content)
        (folder / "settings.json").write_text(json.dumps({"test": self.folder.name}))  # tests share no model
        return ModelFiles([folder / "model.keras", folder / "settings.json"], self.package)

    def evaluation(self, content, **dice):
        folder = self.folder / content
        folder.mkdir(exist_ok=True)
        table(**dice).to_csv(folder / "per_case.csv", index=False)
        return Evaluation(folder / "per_case.csv", list(dice), self.measured, **self.code)

    def register(self, content, score=not_called, run_id=ELSEWHERE, rules=None, **dice):
        """Register a model with this content and Dice; the first line of the result."""
        result = register(
            self.client,
            rules=rules or self.rules(),
            model_files=self.model_files(content),
            run_id=run_id,
            evaluation=self.evaluation(content, **dice),
            recorder=lambda client, name, version: None,
            score=score,
        )
        return result.splitlines()[0]

    def artifact(self, version, name):
        address = f"models:/{self.name}/{version}/{name}"
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=str(self.folder / "fetched")))


def scorer(dice):
    """A `score` that looks up Dice by the model's content, and the list of contents that it scored."""
    scored = []

    def score(folder):
        scored.append(content := (folder / "model.keras").read_text())
        return table(**dice[content]).assign(
            calibration_error_wt=0.01, calibration_error_tc=0.03, calibration_error_et=0.02
        )

    return score, scored
