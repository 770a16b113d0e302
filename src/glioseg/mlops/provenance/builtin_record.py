"""Records the lineage of the built-in model, which no stage of a project made."""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient

from glioseg.core.files import read_json
from glioseg.core.fingerprint import sha256_bytes
from glioseg.core.labels import REGIONS
from glioseg.mlops.provenance.model_card import USE, Card, Section, Table, lineage_table, scores
from glioseg.mlops.provenance.record import Record
from glioseg.mlops.provenance.recorder import log_record
from glioseg.mlops.tracking.git_dvc import UNKNOWN
from glioseg.mlops.tracking.mlflow_runs import SOURCE
from glioseg.models import builtin

BUILTIN_FILES = (builtin.RECORD, builtin.HISTORY, builtin.CARD)
"""The recorded files that the package contains."""
REAL_CASES = "calibrated_on_real_cases"
"""The key of the package's record with the cases from which the confidence was learned."""
TRAINED_ON = "real_cases"
"""The key of the package's record with the real cases that the network was trained on."""
METRICS_FILE = "metrics.json"
NOT_OF_BUILTIN = ("parameters", "training", "study")
"""Facts that the built-in model lacks."""
PRETRAINED = "the built-in model was trained by pipelines/pretrain.py, and not by a project's stages"


@dataclass(frozen=True)
class BuiltinEvaluation:
    """The evaluation of the built-in model on a project's test cases: its run in MLflow, and its metrics."""

    run_id: str
    metrics: Mapping[str, Any]


def builtin_tags() -> dict[str, str]:
    """Tags with the origin of the built-in model: the package, its files' checksums, and its training."""
    last = _pretraining()["trained"][-1]
    return {
        SOURCE: f"glioseg {_package_version()}, built in",
        "source_sha256": sha256_bytes((builtin.FOLDER / builtin.CHECKSUM_FILE).read_bytes()),
        "git_commit": last["sha"],
        "git_dirty": str(last["dirty"]).lower(),
        "environment": last["environment"],
    }


def record_builtin_lineage(
    client: MlflowClient, name: str, version: str, *, evaluation: BuiltinEvaluation
) -> None:
    """Record the lineage of the built-in model, with its model card; a repeated call replaces the record.

    Args:
        client: from `mlflow_runs.connect`.
        name: the registered model.
        version: its number.
        evaluation: on the project's test cases.
    """
    packaged, pretraining = builtin.builtin_model(), _pretraining()
    facts, missing = {"pretraining": pretraining}, dict.fromkeys(NOT_OF_BUILTIN, PRETRAINED)
    last = pretraining["trained"][-1]
    facts["package"] = {"version": _package_version()}
    facts["evaluation"] = {"run_id": evaluation.run_id}
    facts["environment"] = {"sha256": last["environment"]}
    if last["dirty"]:
        missing["code"] = f"files differed from commit {last['sha']} in training, and were not recorded"
    else:
        facts["code"] = {"commit": last["sha"], "changed": [], "untracked": []}
    with TemporaryDirectory() as aside:
        folder = Path(aside)
        for file in BUILTIN_FILES:
            shutil.copyfile(packaged / file, folder / file)
        (folder / METRICS_FILE).write_text(json.dumps(evaluation.metrics, indent=2) + "\n")
        files = {file.name: sha256_bytes(file.read_bytes()) for file in sorted(folder.iterdir())}
        record = Record(facts, missing, files)
        record.save(folder)
        builtin_card(name, version, record, evaluation.metrics).write(folder)
        log_record(client, name, version, folder)
    client.update_model_version(name, version, description=(packaged / builtin.CARD).read_text())


def builtin_card(name: str, version: str, record: Record, metrics: Mapping[str, Any]) -> Card:
    """The model card of the built-in model, with its metrics on a project's test cases."""
    settings = record.facts["pretraining"]["settings"]
    network = settings["network"]
    real = record.facts["pretraining"].get(TRAINED_ON)
    trained_on = f"synthetic and {len(real['sha256'])} real cases" if real else "synthetic cases alone"
    dice = ", ".join(f"{region} {metrics['dice'][region]['mean']:.3f}" for region in REGIONS)
    shape = f"{network['architecture']}, depth {network['depth']}, {network['spacing_mm']} mm"
    summary = (
        f"The model that comes with glioseg {record.facts['package']['version']}: a 3D U-Net ({shape}),"
        f" trained on {trained_on}. Mean Dice on {metrics['cases']} test cases of this project:"
        f" {dice}. Not for clinical use."
    )
    sections = [
        Section("Training data", [_training_text(record.facts["pretraining"])]),
        Section("Intended use", USE),
        Section("Metrics", *scores(metrics)),
        Section("Limitations", [_limitations_text(record.facts["pretraining"])]),
        Section("Lineage", *lineage_table(record)),
        Section(
            "Reproducing it", ["`make pretrain` in a checkout of the commit above trains it again, in hours."]
        ),
        Section(
            "Parameters",
            [f"Each training phase has more: {builtin.RECORD}."],
            Table(("setting", "value"), _setting_rows(settings)),
        ),
    ]
    return Card(f"{name}, version {version}", summary, sections)


def _training_text(pretraining: Mapping[str, Any]) -> str:
    """What the network was trained on."""
    preset, real = pretraining["settings"]["stream"]["preset"], pretraining.get(TRAINED_ON)
    synthetic = (
        f"Synthetic cases of glioseg's phantom generator, preset {preset}, generated during"
        f" {pretraining['steps']} training steps."
    )
    if real:
        return f"{synthetic} The last of them also used {real_cases(real['sha256'])}."
    return f"{synthetic} No scan of a patient was used for training."


def _limitations_text(pretraining: Mapping[str, Any]) -> str:
    """Where the limitations are stated, and on which cases probabilities and confidence rest."""
    text = (
        f"{builtin.CARD}, beside this page, is the card that it was published with. It states where the model"
        " fails, and its Dice on real cases."
    )
    if TRAINED_ON not in pretraining:
        text += " Its probabilities are calibrated on synthetic cases, not on real ones."
    if confidence := pretraining.get(REAL_CASES):
        learned_on = real_cases(confidence["cases"])
        text += f" Its expected Dice and volume intervals were learned on {learned_on}."
    return text


def _setting_rows(settings: Mapping[str, Any]) -> list[list[str]]:
    return [
        [f"{section}.{key}", json.dumps(value)]
        for section in ("network", "train", "inference", "crop")
        for key, value in settings[section].items()
    ]


def real_cases(names: Collection[str]) -> str:
    """The number and the names of real cases.

    >>> real_cases(["BraTS2021_00003", "BraTS2021_00019"])
    '2 real cases: BraTS2021_00003, BraTS2021_00019'
    """
    return f"{len(names)} real cases: {', '.join(names)}"


def _pretraining() -> dict[str, Any]:
    record: dict[str, Any] = read_json(builtin.FOLDER / builtin.RECORD)
    return record


def _package_version() -> str:
    try:
        return version("glioseg")
    except PackageNotFoundError:
        return UNKNOWN
