"""A registered model whose versions are some bytes: nothing loads them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pandas as pd

from glioseg.core.fingerprint import PACKAGE
from glioseg.mlops.registry.mlflow_registry import register
from glioseg.mlops.registry.versions import Versions
from glioseg.mlops.tracking.candidate import Evaluation, Source
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from tests.helpers.rules import make_rules

ELSEWHERE = "0" * 32


def not_asked(folder):
    raise AssertionError("the champion's table is there, it need not be scored")


@dataclass(frozen=True)
class Shop:
    """A registered model's name, and a folder for its files.

    `measured`: of every model that is offered; `code`: `metric_code` of its evaluation, if not today's.
    """

    lab: Lab
    name: str
    folder: Path
    measured: dict[str, float] = field(default_factory=dict)
    package: Path = PACKAGE
    code: dict[str, str] = field(default_factory=dict)

    @property
    def client(self):
        return connect(self.lab)

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

    def source(self, content):
        folder = self.folder / f"models {content}"
        folder.mkdir(exist_ok=True)
        (folder / "model.keras").write_text(content)
        (folder / "settings.json").write_text(json.dumps({"shop": self.folder.name}))  # shops share no model
        return Source([folder / "model.keras", folder / "settings.json"], self.package)

    def evaluation(self, content, **dice):
        folder = self.folder / content
        folder.mkdir(exist_ok=True)
        table(**dice).to_csv(folder / "per_case.csv", index=False)
        return Evaluation(folder / "per_case.csv", list(dice), self.measured, **self.code)

    def offer(self, content, score=not_asked, run_id=ELSEWHERE, rules=None, **dice):
        """Offer a model; the first line of what is said."""
        said = register(
            self.client,
            params=rules or self.rules(),
            source=self.source(content),
            run_id=run_id,
            evaluation=self.evaluation(content, **dice),
            keep=lambda client, name, version: None,
            score=score,
        )
        return said.splitlines()[0]

    def artifact(self, version, name):
        address = f"models:/{self.name}/{version}/{name}"
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=str(self.folder / "fetched")))


def table(**dice):
    """Cases with one Dice for all three regions."""
    rows = [{"case": c, "dice_wt": d, "dice_tc": d, "dice_et": d} for c, d in dice.items()]
    return pd.DataFrame(rows)
