"""Benchmark: one case, raw NIfTI to label map on the scan's own grid, beside MONAI with the same weights."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from bench.cohort import prepare
from bench.nested import from_nested
from bench.options import TRAINING, Options, digest
from bench.paired import ratios, take_turns
from bench.results import Goal, Result, Row, once
from bench.worker import Worker
from glioseg.core.labels import from_scheme, regions_from_labels
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.ingest import detect_case_scheme, resolve_schemes
from glioseg.data.cohort.layouts import find_cases
from glioseg.models.inference.model_settings import Settings

TITLE = "One case: MONAI's sliding window with the same weights"
USES = ("train_minutes", "model", "real")
SPEED, DICE, WHOLE_GB, WINDOW_GB = 5.0, 0.005, 5.0, 2.0
WINDOW = [128, 128, 128]


@dataclass(frozen=True)
class Size:
    """The network, the patch that trains it, phantoms to segment, and how often each case is timed."""

    base_filters: int
    depth: int
    patch: int
    steps_per_epoch: int
    phantoms: int
    rounds: int


FULL, SMOKE = Size(16, 5, 128, 24, 3, 3), Size(4, 4, 32, 2, 1, 1)


def run(options: Options) -> Result:
    """Segment phantoms and real scans: in one pass, window by window, and by MONAI, in turn."""
    size, cohort = SMOKE if options.smoke else FULL, prepare(options)
    work = options.work / "infer_case"
    work.mkdir(parents=True, exist_ok=True)
    model = options.model or _trained(size, options)
    with Worker("ours_net.py", log=options.log("ours_net")) as ours:
        ours.ask("export", model=model, out=work / "weights.npz")
    cases = cohort.tests[: size.phantoms]
    real = find_cases(options.real) if options.real else []
    cases += resolve_schemes(real, [detect_case_scheme(case) for case in real])
    with (
        Worker("ours_infer.py", log=options.log("ours_infer_whole")) as whole,
        Worker("ours_infer.py", log=options.log("ours_infer_window")) as window,
        Worker("monai_infer.py", log=options.log("monai_infer")) as monai,
    ):
        sides = {"whole": whole, "window": window, "MONAI": monai}
        whole.ask("load_whole", model=model, memory_gb=WHOLE_GB)
        window.ask("load_windowed", model=model, window=WINDOW)
        shape = {"base_filters": size.base_filters, "depth": size.depth}
        monai.ask("load", weights=work / "weights.npz", window=WINDOW, **shape)
        rows = [_measure(case, sides, work, size.rounds) for case in cases]
        peaks = {name: side.ask("peak_gb") for name, side in sides.items()}
    remarks = [
        "whole: glioseg in one pass; window: glioseg window by window, with memory for one window."
        f" By its own settings this network ({model.name}) answers"
        f" {'in one pass' if Settings.load(model).one_pass else 'window by window'}.",
        f"MONAI's process held {peaks['MONAI']:.2f} GB at most.",
    ]
    return Result(rows, _goals(rows, peaks), remarks)


def _trained(size: Size, options: Options) -> Path:
    """A network at 1 mm, trained once; nothing is post-processed, since MONAI's side has no such step."""
    cohort = prepare(options)
    name = f"{cohort.folder.name}_{digest(*TRAINING)}_{options.train_minutes:g}_minutes"
    model = options.work / "infer_case" / name
    network = {"spacing_mm": 1, "architecture": "seed", "heads": "plain", "deep_supervision": "sum"}
    network |= {"target": "regions", "base_filters": size.base_filters, "depth": size.depth}
    train = {"patch_shape": [size.patch] * 3, "batch_size": 1, "steps_per_epoch": size.steps_per_epoch}
    changes = {
        "network": network,
        "train": train | {"outputs": ["segmentation"]},
        "inference": {"threshold": [0.5], "min_et_ml": [0], "min_component_ml": [0], "mirror": False},
    }

    def make() -> Row:
        with Worker("ours_train.py", log=options.log("ours_train")) as ours:
            given = {"store": cohort.store, "parts": cohort.splits, "changes": changes}
            return ours.ask("train", minutes=options.train_minutes, out=model, **given)

    once(model / "train.json", make)
    return model


def _measure(case: Case, sides: dict[str, Worker], work: Path, rounds: int) -> Row:
    """One case's row: medians over rounds, each of which asks every side."""
    files = {name: case.files[name].resolve() for name in MODALITIES}
    asked = {
        name: {"files": list(files.values()) if name == "MONAI" else files, "out": work / f"{name}.npy"}
        for name in sides
    }
    taken = take_turns(
        [lambda name=name: sides[name].ask("segment", **asked[name]) for name in sides], rounds=rounds
    )
    seconds = dict(zip(sides, map(median, zip(*taken, strict=True)), strict=True))
    labels = {name: np.load(work / f"{name}.npy") for name in sides}
    labels["MONAI"] = from_nested(labels["MONAI"])
    faster = {
        name: ratios([(times[column], times[2]) for times in taken])["ratio"]
        for column, name in enumerate(("whole", "window"))
    }
    row = {"case": case.case}
    row |= {f"{name} s": seconds[name] for name in sides}
    row |= {f"{name} faster": value for name, value in faster.items()}
    row |= {f"Dice {name}, MONAI": _dice(labels[name], labels["MONAI"]) for name in faster}
    if case.labelled:
        known = np.rint(read_volume(case.files[SEGMENTATION]).data).astype(np.int16)
        truth = from_scheme(known, case.scheme)
        row |= {f"Dice {name}, truth": _dice(labels[name], truth) for name in sides}
    return row


def _dice(one: UInt8[NDArray, "d h w"], other: UInt8[NDArray, "d h w"]) -> float:
    """Mean Dice of WT, TC and ET; 1 where both are empty."""
    a, b = regions_from_labels(one), regions_from_labels(other)
    voxels = (0, 1, 2)
    size = a.sum(voxels) + b.sum(voxels)
    return float(np.where(size > 0, 2 * (a & b).sum(voxels) / np.maximum(size, 1), 1.0).mean())


def _goals(rows: list[Row], peaks: dict[str, float]) -> list[Goal]:
    faster = median(row["whole faster"] for row in rows)
    goals = [Goal(f"whole ≥ {SPEED:g}× faster than MONAI", f"{faster:.1f}×", faster >= SPEED)]
    labelled = [row for row in rows if "Dice MONAI, truth" in row]
    for name, limit_gb in (("whole", WHOLE_GB), ("window", WINDOW_GB)):
        gap = mean(row[f"Dice {name}, truth"] - row["Dice MONAI, truth"] for row in labelled)
        goals.append(Goal(f"{name}: Dice within {DICE} of MONAI's", f"{gap:+.4f}", abs(gap) <= DICE))
        peak_gb = peaks[name]
        goals.append(Goal(f"{name}: memory ≤ {limit_gb:g} GB", f"{peak_gb:.2f} GB", peak_gb <= limit_gb))
    return goals
