"""Benchmark: the same minutes of training on the same cases, and the test Dice that comes of them."""

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.cohort import Cohort, images, prepare
from bench.machine import CORES, PEER_BIN
from bench.nested import from_nested
from bench.nnunet_data import DATASET, NUMBER, label_file, write_dataset, write_splits
from bench.options import TRAINING, Options, digest
from bench.results import Goal, Result, Row, once
from bench.worker import SCRIPTS, Worker
from glioseg.compute import LOCAL
from glioseg.core.labels import REGIONS, to_scheme
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.evaluation.per_case import measure_case, prediction_path
from glioseg.evaluation.summary import bootstrap
from glioseg.params import load_params

TITLE = "Quality after the same minutes of training"
USES = ("minutes",)
COLUMNS = {"mean Dice": "mean_dice", **{region: f"dice_{region.lower()}" for region in REGIONS}}
OURS, PLAIN = "glioseg", "glioseg without mirrors"
TOLERANCE = 0.02
"""Share of the minutes by which a training may miss them without a remark."""
REMARKS = [
    "Training time has no planning, preprocessing or prediction in it. A step that has begun is ended.",
    "nnU-Net: its own plan and trainer (fold 0 is the cohort's split, region-based), stopped by the clock;"
    " predicted without mirroring, which would take eight times as long. On a CPU it trains in float32.",
    "SegResNet: MONAI's BraTS bundle (16 filters, Dice loss, Adam 1e-4, cosine) on 128³ crops in bfloat16,"
    " without validation, which would have cost it time.",
    "glioseg: params.yaml, with as many epochs as fit; building, tracing and validation are in its time. It"
    " averages over mirror images where params.yaml says so; the same networks without that have a row too.",
]


def run(options: Options) -> Result:
    """Train, predict and score each side; what is done already is not done again."""
    cohort = prepare(options)
    seen = [cohort.cases[name] for part in ("train", "validation") for name in cohort.splits[part]]
    once(cohort.folder / "dataset.json", lambda: write_dataset(cohort.folder / "dataset", seen))
    work = options.work / f"quality/{cohort.folder.name}_{options.minutes:g}_minutes"
    sides: dict[str, Callable[[Cohort, Path, Options], Row]] = {
        OURS: _glioseg,
        PLAIN: _without_mirrors,
        "nnU-Net v2": nnunet,
        "MONAI SegResNet": segresnet,
    }
    rows = []
    for name, side in sides.items():
        print(f"quality: {name}", flush=True)
        folder = work / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        trained = side(cohort, folder, options)
        rows.append({"trained": name, **_score(cohort, folder), **trained})
    dice = {row["trained"]: row["mean Dice"] for row in rows}
    goal = Goal(
        f"best mean Dice of WT, TC, ET after {options.minutes:g} minutes",
        ", ".join(f"{name} {value:.3f}" for name, value in dice.items()),
        dice[OURS] == max(dice.values()),
    )
    late = [
        f"{row['trained']} trained for {row['seconds'] / 60:.1f} minutes instead of {options.minutes:g}."
        for row in rows
        if abs(row["seconds"] / 60 / options.minutes - 1) > TOLERANCE
    ]
    return Result(rows, [goal], REMARKS + late)


def _glioseg(cohort: Cohort, work: Path, options: Options) -> Row:
    model = work / digest(*TRAINING) / "model"
    changes = {"train": {"steps_per_epoch": 4}} if options.smoke else {}
    given = {"store": cohort.store, "parts": cohort.splits, "changes": changes, "minutes": options.minutes}
    with Worker("ours_train.py", log=options.log("ours_train")) as ours:
        trained = once(model.parent / "train.json", lambda: ours.ask("train", out=model, **given))
        _segment(ours, cohort, work, model=model, mirror=load_params().inference.mirror)
    return trained


def _without_mirrors(cohort: Cohort, work: Path, options: Options) -> Row:
    """The same network, run as the peers run theirs."""
    trained = work.parent / OURS / digest(*TRAINING)
    with Worker("ours_train.py", log=options.log("ours_train")) as ours:
        _segment(ours, cohort, work, model=trained / "model", mirror=False)
    return json.loads((trained / "train.json").read_text())


def _segment(ours: Worker, cohort: Cohort, work: Path, *, model: Path, mirror: bool) -> None:
    """Let glioseg segment the test cases."""
    asked = {"cohort": cohort.raw, "names": cohort.splits["test"], "out": work / "predictions"}
    record = work / digest(*TRAINING) / "predict.json"
    once(record, lambda: {"seconds": ours.ask("predict", model=model, mirror=mirror, **asked)})


def nnunet(cohort: Cohort, work: Path, options: Options) -> Row:
    """Plan, train and predict; what is done already is not done again."""
    environment = {
        "nnUNet_raw": str(cohort.folder / "dataset"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_extTrainer": str(SCRIPTS / "nnunet_trainer"),
        "nnUNet_n_proc_DA": str(CORES),
        "BENCH_MINUTES": str(options.minutes),
    }

    def prepare_dataset() -> Row:
        command = [PEER_BIN / "nnUNetv2_plan_and_preprocess", "-d", NUMBER, "-c", "3d_fullres"]
        command += ["-np", str(CORES), "-npfp", str(CORES)]
        with options.log("nnunet_prepare").open("a") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, env=os.environ | environment)
        write_splits(work / "preprocessed", cohort)
        return {"dataset": DATASET}

    once(work / "prepare.json", prepare_dataset)
    with Worker("nnunet.py", log=options.log("nnunet"), environment=environment) as peer:
        trained = once(work / "train.json", lambda: peer.ask("train", dataset=DATASET))
        _predict(peer, cohort, work, model=next((work / "results" / DATASET).iterdir()))
    return trained


def segresnet(cohort: Cohort, work: Path, options: Options) -> Row:
    """Train and predict; what is done already is not done again."""
    cases = [
        {"image": images(cohort.cases[name]), "label": label_file(cohort.folder / "dataset", name)}
        for name in cohort.splits["train"]
    ]
    given = {"cases": cases, "minutes": options.minutes, "out": work / "model.pt"}
    with Worker("segresnet.py", log=options.log("segresnet")) as peer:
        trained = once(work / "train.json", lambda: peer.ask("train", **given))
        _predict(peer, cohort, work, model=work / "model.pt")
    return trained


def _predict(peer: Worker, cohort: Cohort, work: Path, *, model: Path) -> None:
    """Let a peer segment the test cases, and write its nested labels as glioseg writes its own."""

    def make() -> Row:
        nested, out = work / "nested", work / "predictions"
        for folder in (nested, out):
            folder.mkdir(parents=True, exist_ok=True)
        cases = {case.case: images(case) for case in cohort.tests}
        seconds = peer.ask("predict", model=model, cases=cases, out=nested)
        for case in cohort.tests:
            answer = read_volume(nested / f"{case.case}.nii.gz")
            labels = to_scheme(from_nested(np.rint(answer.data).astype(np.uint8)), case.scheme)
            write_volume(prediction_path(out, case), Volume(labels, answer.grid))
        return {"seconds": seconds}

    once(work / "predict.json", make)


def _score(cohort: Cohort, work: Path) -> Row:
    """Mean Dice over the test cases, and the 95 % bootstrap interval of their mean Dice."""
    judge = partial(measure_case, predictions=work / "predictions", pictures=None)
    table = LOCAL.map(judge, cohort.tests, title="measure")
    evaluate = load_params().evaluate
    dice = np.array([[row[column] for column in COLUMNS.values()] for row in table], np.float64)
    found = bootstrap(dice, samples=evaluate.bootstrap_samples, seed=evaluate.seed)
    named = {name: summary.mean for name, summary in zip(COLUMNS, found, strict=True)}
    return named | {"test cases": len(table), "interval": f"{found[0].low:.3f} to {found[0].high:.3f}"}
