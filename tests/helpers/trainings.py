"""Trainings and evaluations with given results and without a network, logged by glioseg's own functions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import glioseg
from glioseg.core.labels import REGIONS
from glioseg.evaluation.case_figure import Scan, planes_picture
from glioseg.evaluation.columns import (
    CASE_METRICS,
    METRICS,
    PREDICTION_METRICS,
    REGION_METRICS,
    STRUCTURES,
    column,
)
from glioseg.evaluation.summary import summarise
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import connect, log_evaluation
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import TrainingRun, training_run

PACKAGE = Path(glioseg.__file__).parent
SHAPE = (40, 36, 32)
EPOCHS = 4
KEYS = {3: "a3f2", 4: "c07e"}
"""Of the trainings, by depth of the network."""
TEST_DATA = "1" * 64


@dataclass(frozen=True)
class Trained:
    """A training with its model: the name of the network, and the IDs in MLflow."""

    name: str
    run_id: str
    model_id: str


def curve(depth: int) -> list[float]:
    """Validation Dice by epoch: a deeper network is better."""
    return [0.2 * depth * (epoch + 1) / EPOCHS for epoch in range(EPOCHS)]


def params(depth: int) -> dict[str, object]:
    """Settings of a training, nested as in params.yaml."""
    return {"network": {"depth": depth, "base_filters": 8}, "train": {"learning_rate": 0.01 / depth}}


def train(storage: ProjectStorage, folder: Path, *, depth: int) -> Trained:
    """Log a training and its model, whose files hold only a few bytes."""
    client, name = connect(storage), f"demo {KEYS[depth]}, 8×{depth}, 2 mm, {EPOCHS} epochs, seed 1"
    cases = [{"train": 6, "validation": 2}]
    with training_run(
        client, state=storage.state(f"depth {depth}"), name=name, params=params(depth), cases=cases
    ) as log:
        for epoch, dice in enumerate(curve(depth)):
            log.epoch(epoch, {"loss": 1 - dice, "val_loss": 1.1 - dice, "val_dice": dice})
        reports = folder / f"reports of {depth}"
        reports.mkdir(parents=True)
        log.finish({"best_val_dice": max(curve(depth))}, reports)
    files = [folder / f"{depth}" / "model.keras", folder / f"{depth}" / "settings.json"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"depth": depth}))
    source = ModelFiles(files, PACKAGE)
    model_id = log_model(
        client, source, run_id=log.run_id, params=params(depth), metrics={"calibration_error": 0.01}
    )
    return Trained(name, log.run_id, model_id)


def evaluate(
    trained: Trained,
    folder: Path,
    dice: Mapping[str, Sequence[float]],
    *,
    depth: int,
    test_data: str = TEST_DATA,
) -> None:
    """Log an evaluation with the given Dice of WT, TC and ET for each case, and matching pictures."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    table = pd.DataFrame([row(case, values) for case, values in dice.items()])
    for case, values in dice.items():
        planes_picture(scan(values[0]), title=case, subtitle=f"WT Dice {values[0]:.3f}").save(
            pictures / f"{case}.png"
        )
    table.to_csv(folder / "per_case.csv", index=False)
    metrics = summarise(table, samples=100, seed=1)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    log_evaluation(
        run={"run_id": trained.run_id, "model_id": trained.model_id},
        params=params(depth),
        cases=len(dice),
        test_data=test_data,
        metrics=metrics,
        files=[folder / "metrics.json", folder / "per_case.csv", *sorted(pictures.iterdir())],
    )


def row(case: str, dice: Sequence[float]) -> dict[str, object]:
    """A row of per_case.csv: HD95 is 10 · (1 − Dice), the other columns are the same for all cases."""
    values: dict[str, object] = {"case": case}
    values |= {column(metric, structure): 1.0 for metric in METRICS for structure in STRUCTURES}
    regional = (*REGION_METRICS, *PREDICTION_METRICS)
    values |= {column(metric, region): 1.0 for metric in regional for region in REGIONS}
    values |= dict.fromkeys(CASE_METRICS, float(np.mean(dice)))
    for region, value in zip(REGIONS, dice, strict=True):
        values |= {
            column("dice", region): value,
            column("lesion_dice", region): value / 2,
            column("hd95_area_mm", region): 10 * (1 - value),
        }
    return values


def scan(dice: float) -> Scan:
    """A brain with a ball of tumour, and a prediction that contains part of it."""
    place = np.stack(np.indices(SHAPE), axis=-1) - np.array(SHAPE) / 2
    distance = np.linalg.norm(place, axis=-1)
    brain = np.where(distance < 15, 100 + 4 * place[..., 0], 0).astype(np.int16)
    truth = np.select([distance < 3, distance < 5, distance < 8], [1, 3, 2], 0).astype(np.uint8)
    found = np.where(place[..., 1] < 16 * dice - 8, truth, 0).astype(np.uint8)
    return Scan({"flair": brain, "t1ce": brain}, {"truth": truth, "prediction": found}, (1.0, 1.0, 1.0))


A = {"case 1": (0.9, 0.8, 0.7), "case 2": (0.8, 0.8, 0.8), "case 3": (0.7, 0.6, 0.5)}
B = {"case 1": (0.8, 0.8, 0.6), "case 2": (0.9, 0.9, 0.9), "case 3": (0.7, 0.7, 0.7)}
"""Two models on the same cases: mean difference of B to A −1/15, +1/10, +1/10."""


def two_models(storage: ProjectStorage, folder: Path) -> tuple[Trained, Trained]:
    """Two models, trained and evaluated one after the other on the same three cases."""
    one, other = (train(storage, folder, depth=depth) for depth in (3, 4))
    evaluate(one, folder / "A", A, depth=3)
    evaluate(other, folder / "B", B, depth=4)
    return one, other


PARAMS = {"network": {"depth": 4}, "train": {"learning_rate": 0.01}}
CASES = [{"train": 6, "validation": 2}, {"train": 7, "validation": 1}]


def log_epochs(
    storage: ProjectStorage, epochs: Iterable[int], *, key: str, stop: bool = False
) -> TrainingRun:
    """Log some epochs of a training; `stop` ends it as a kill between two epochs does."""
    client = connect(storage)
    with training_run(client, state=storage.state(key), name="unet", params=PARAMS, cases=CASES) as log:
        for epoch in epochs:
            log.epoch(epoch, {"loss": 0.5**epoch, "val_dice": 0.1 * epoch})
        if stop:
            raise KeyboardInterrupt
    return log
