"""Benchmark: how many labelled real cases a model needs, from the built-in model, from scratch, and as peers.

All cases of `GLIOSEG_REAL_SCANS` are test cases, each of trainings that have not seen it; `few_shot_design`
says which trainings there are. One fixed set of five test cases and three orders of the others would take as
many trainings with up to 8 cases, but would test five cases instead of thirteen. With 12 cases each test case
needs a training of its own either way.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pandas as pd

from bench import machine
from bench.cohort import Cohort
from bench.few_shot_cases import cohort_of, prepare, short_hash
from bench.few_shot_design import BUILTIN, NNUNET, SCRATCH, SEGRESNET, Training, design
from bench.few_shot_scores import DICE, Scores, counted_cases, draw, key, missing, tables
from bench.nnunet_data import write_dataset
from bench.options import HERE, TRAINING, Options, digest
from bench.quality import nnunet, segresnet
from bench.results import Result, Row, once
from bench.worker import Worker
from glioseg.core.dice import dice_per_channel
from glioseg.core.labels import regions_from_labels
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.per_case import dense_labels, prediction_path
from glioseg.models.builtin import SYNTHETIC, builtin_model
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.params.presets import load_presets

TITLE = "How many labelled real cases a model needs"
USES = ("few_shot_minutes", "init", "real")
SIZES, FOLDS = (1, 2, 4, 8, 12), 3
SMOKE_SIZES, SMOKE_FOLDS = (1, 2), 2
PICTURE = HERE.parent / "docs/pictures/few_shot.png"

Changes = Mapping[str, Mapping[str, object]]
ADAPT: Changes = {
    section: {**load_presets()["adapt"][section], **own}
    for section, own in {"network": {}, "train": {"folds": 1, "ensemble": True, "init_from": None}}.items()
}
"""What differs from params.yaml where a model is adapted: preset adapt, one network at a time."""
CHANGES: Mapping[str, Changes] = {
    BUILTIN: ADAPT,
    SCRATCH: {**ADAPT, "train": {**ADAPT["train"], "phantom_share": 0.0, "learning_rate": 0.003}},
}
SMOKE = {"patch_shape": (32, 32, 32)}


def run(options: Options) -> Result:
    """Run the trainings that are chosen and not done yet, and report on all that are done.

    Raises:
        ValueError: there are no real cases, or two cases of one patient.
    """
    base, ranked = prepare(options)
    size = {"sizes": SMOKE_SIZES, "folds": SMOKE_FOLDS} if options.smoke else {"sizes": SIZES, "folds": FOLDS}
    trainings = design(ranked, **size)
    conditions = _conditions(options)
    scores = Scores(options.scores("few_shot"))
    left = missing(scores.of(trainings, conditions), trainings)
    print(f"few_shot: {len(left)} of {len(trainings)} trainings are missing", flush=True)
    chosen = [training for training in left if fnmatch(training.name, options.trainings)]
    for training in chosen[: options.at_most]:
        print(f"few_shot: {training.name}", flush=True)
        work = f"work_{short_hash(repr(key(training, conditions)))}"
        scores.add(training, conditions, _train(training, base, work, options))
    return _report(scores.of(trainings, conditions), trainings, options)


def _report(table: pd.DataFrame, trainings: list[Training], options: Options) -> Result:
    cases, left = counted_cases(table, trainings), missing(table, trainings)
    if len(table):
        draw(options.work / PICTURE.name if options.smoke else PICTURE, table, cases)
    remarks = [
        f"{options.few_shot_minutes:g} minutes of training each, from its first step (glioseg: from the call"
        " of `fit`) without planning, preprocessing and prediction. The built-in model has learned from"
        " synthetic cases for hours before.",
        f"{len(cases)} test cases, each segmented by networks that have not seen it, without mirror images."
        " Dice on the scan's own grid, 1 where a region is empty in truth and prediction; 95 % bootstrap"
        " intervals over test cases.",
        "No validation case chooses anything: all take the weights of the last step. From the built-in"
        " model: half of the patches are of phantoms, and the threshold and the smallest sizes are those that"
        " it came with. From scratch: the same network, threshold 0.5, nothing removed.",
    ]
    if left:
        names = ", ".join(training.name for training in left[:4])
        remarks.append(f"{len(left)} of {len(trainings)} trainings are missing, first {names}.")
    if len(processors := sorted(set(table["processor"]))) > 1:
        remarks.append(f"Trained on different processors: {'; '.join(processors)}.")
    return Result(tables(table, cases), [], remarks)


def _conditions(options: Options) -> dict[str, Row]:
    """What the result of each method depends on beside its cases."""
    ours = {
        method: digest(*TRAINING) + short_hash(json.dumps(changes)) for method, changes in CHANGES.items()
    }
    ours[BUILTIN] += sha256((_start(options) / MODEL_FILE).read_bytes()).hexdigest()[:8]
    settings = ours | {SEGRESNET: "its own", NNUNET: "its own"}
    return {
        method: {"minutes": options.few_shot_minutes, "settings": text} for method, text in settings.items()
    }


def _start(options: Options) -> Path:
    """The model folder from which the built-in model's side starts: by default it has seen no real case."""
    return (options.init or builtin_model(SYNTHETIC)).resolve()


def _train(training: Training, base: Path, work_name: str, options: Options) -> list[Row]:
    """Train, predict, and score each test case; of all files, the predictions are kept."""
    folder = options.work / "few_shot" / training.name
    cohort = cohort_of(folder / work_name, base, training)
    sides: dict[str, Callable[[Cohort, Path, Options], Row]] = {SEGRESNET: segresnet, NNUNET: nnunet}
    timed = replace(options, minutes=options.few_shot_minutes)
    work = cohort.folder / training.method
    if training.method in CHANGES:
        trained = _glioseg(training, cohort, work, timed)
    else:
        write_dataset(cohort.folder / "dataset", [cohort.cases[name] for name in training.cases])
        trained = sides[training.method](cohort, work, timed)
    shared = {name: trained[name] for name in ("seconds", "steps")}
    shared["processor"] = machine.describe()["processor"]
    rows = [{**_score(case, work / "predictions"), **shared} for case in cohort.tests]
    shutil.rmtree(folder / "predictions", ignore_errors=True)
    (work / "predictions").rename(folder / "predictions")
    shutil.rmtree(cohort.folder)
    return rows


def _glioseg(training: Training, cohort: Cohort, work: Path, options: Options) -> Row:
    changes = dict(CHANGES[training.method])
    given: Row = {"init": _start(options) if training.method == BUILTIN else None, "minutes": options.minutes}
    if options.smoke:
        changes["train"] = {**changes["train"], **SMOKE}
        given = {**given, "pilot_steps": 2}
    model = work / "model" if training.cases else _start(options)
    with Worker("ours_few_shot.py", log=options.log("ours_few_shot")) as ours:
        trained: Row = {"seconds": 0.0, "steps": 0}
        if training.cases:
            asked = {"store": cohort.store, "names": training.cases, "changes": changes, "out": model}
            trained = once(work / "train.json", lambda: ours.ask("train", **asked, **given))
        asked = {"cohort": cohort.raw, "names": training.tests, "out": work / "predictions"}
        ours.ask("predict", model=model, mirror=False, **asked)
    return trained


def _score(case: Case, predictions: Path) -> Row:
    """The Dice of each region on the scan's own grid."""
    predicted = read_volume(prediction_path(predictions, case))
    truth = read_volume(case.files[SEGMENTATION]).turned_to(predicted.grid)
    dice = dice_per_channel(
        *(regions_from_labels(dense_labels(volume, case.scheme)) for volume in (truth, predicted))
    )
    return {"case": case.case, **dict(zip(DICE, dice.tolist(), strict=True))}
