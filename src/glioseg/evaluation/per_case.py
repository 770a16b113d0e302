"""Evaluation case by case: predict, score on the scan's own grid, draw.

Seconds and memory of a prediction vary from run to run, so they are separate from the metrics.
"""

import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import pandas as pd
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.labels import LabelScheme, from_scheme, round_labels, to_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.core.progress import track
from glioseg.data.cohort.cases import Case, read_image, read_images
from glioseg.evaluation.case_figure import SHOWN_MODALITIES, scan_in_lps
from glioseg.evaluation.columns import column
from glioseg.evaluation.metrics import calibration_errors, case_metrics
from glioseg.models.inference.prediction import CaseModel, Predict, Prediction

PROC_STATUS, PROC_CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class EvaluationError(GliosegError):
    """A case that cannot be evaluated; the message names it."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one prediction, and the peak memory of its process meanwhile."""

    seconds: float
    memory_gb: float


def evaluate_cases(
    model: CaseModel, cases: Sequence[Case], *, pictures: Path | None = None, cluster: Cluster = LOCAL
) -> tuple[pd.DataFrame, list[Cost]]:
    """Predict and score cases, without keeping the predictions.

    Args:
        model: e.g. a `Predictor`.
        cases: with their four images and their segmentation.
        pictures: folder for each case's pictures, or None for no pictures.
        cluster: scores the cases.

    Returns:
        The table of `measure_cases`, and the cost of each prediction.
    """
    with TemporaryDirectory() as folder:
        predicted, costs = predict_cases(model, cases, Path(folder))
        table = measure_cases(cases, predicted, predictions=Path(folder), pictures=pictures, cluster=cluster)
    return table, costs


def predict_cases(
    model: CaseModel, cases: Sequence[Case], folder: Path, *, cluster: Cluster | None = None
) -> tuple[pd.DataFrame, list[Cost]]:
    """Write the predicted labels of each case to `<folder>/<case>.nii.gz`, in its own grid and scheme.

    Args:
        model: loaded; for a cluster a `CachedModel`, which each worker loads.
        cases: with their four images and their segmentation.
        folder: folder for the labels.
        cluster: workers that predict; with None, this process predicts, and a network uses all cores.

    Returns:
        A table with one row for each case, and the cost of each prediction. Columns: `case`;
        `interval_level`, `low_wt_ml`, `high_wt_ml`, … (level and ends of the volume intervals) and
        `confidence_wt`, …, `low_confidence_reasons`, if the model has them;
        `calibration_error_wt`, … (over the brain); `grade`, `survival_days`; and `grade_lgg`,
        `survival_days_predicted`, if the model has these outputs.

    Raises:
        EvaluationError: there is no case, or a case lacks one of its four images or its segmentation.
    """
    _check(cases)
    task = partial(predict_case, model=model, folder=folder)
    if cluster:
        done = cluster.map(task, cases, title="predict", gpu=True)
    else:
        done = [task(case) for case in track(cases, title="predict", total=len(cases))]
    rows, costs = zip(*done, strict=True)
    return pd.DataFrame(rows), list(costs)


def predict_case(case: Case, *, model: CaseModel, folder: Path) -> tuple[dict[str, object], Cost]:
    """Predict one case; see `predict_cases`."""
    predict, images = model.predict, read_images(case)
    prediction, cost = predict_with_cost(predict, images)
    labels = to_scheme(prediction.labels, case.scheme)
    write_volume(prediction_path(folder, case), Volume(labels, images[MODALITIES[0]].grid))
    return _prediction_row(case, prediction), cost


def _prediction_row(case: Case, prediction: Prediction) -> dict[str, object]:
    row: dict[str, object] = {"case": case.case}
    if prediction.interval_level is not None:
        row["interval_level"] = prediction.interval_level
        for region, volume in prediction.volumes.items():
            row |= {column("low_ml", region): volume.low_ml, column("high_ml", region): volume.high_ml}
    grid = prediction.probabilities.placement.grid
    truth = dense_labels(read_volume(case.files[SEGMENTATION]).turned_to(grid), case.scheme)
    errors = calibration_errors(prediction.probabilities, truth)
    row |= {column("calibration_error", region): error for region, error in errors.items()}
    row |= {column("confidence", region): dice for region, dice in prediction.confidence.items()}
    if prediction.confidence:
        row["low_confidence_reasons"] = "; ".join(prediction.low_confidence_reasons)
    row |= {"grade": case.grade, "survival_days": case.survival_days}
    predicted = {"grade_lgg": prediction.grade_lgg, "survival_days_predicted": prediction.survival_days}
    return row | {name: value for name, value in predicted.items() if value is not None}


def measure_cases(
    cases: Sequence[Case],
    predicted: pd.DataFrame,
    *,
    predictions: Path,
    pictures: Path | None,
    imagej: bool = False,
    cluster: Cluster = LOCAL,
) -> pd.DataFrame:
    """Score predicted cases in parallel, and draw them if a folder for the pictures is given.

    Args:
        cases: cases with their segmentation.
        predicted: the table of `predict_cases`.
        predictions: the folder of `predict_cases`.
        pictures: folder for each case's pictures, or None for no pictures.
        imagej: whether to write an ImageJ TIFF too.
        cluster: scores the cases.

    Returns:
        One row for each case, worst first: `case`, the columns of `metrics.case_metrics` and of `predicted`.
    """
    task = partial(measure_case, predictions=predictions, pictures=pictures, imagej=imagej)
    rows = cluster.map(task, cases, title="measure")
    table = pd.DataFrame(rows).merge(predicted, on="case", validate="one_to_one")
    return table.sort_values(["mean_dice", "case"], ignore_index=True)


def measure_case(
    case: Case, *, predictions: Path, pictures: Path | None, imagej: bool = False
) -> dict[str, object]:
    """Score one predicted case, and draw it if a folder is given; see `measure_cases`."""
    predicted = read_volume(prediction_path(predictions, case))
    grid, prediction = predicted.grid, dense_labels(predicted, case.scheme)
    truth = dense_labels(read_volume(case.files[SEGMENTATION]).turned_to(grid), case.scheme)
    row = case_metrics(truth, prediction, spacing_mm=grid.spacing_mm)
    if pictures:
        from glioseg.evaluation.case_pictures import (
            draw_case,  # drawing libraries are loaded only for pictures
        )

        images = {name: read_image(case.files[name]).turned_to(grid).data for name in SHOWN_MODALITIES}
        labels = {"truth": truth, "prediction": prediction}
        scan = scan_in_lps(images, labels, grid)
        draw_case(pictures, case.case, scan, row, imagej=imagej)
    return {"case": case.case, **row}


def prediction_path(folder: Path, case: Case) -> Path:
    """The file of a case's prediction."""
    return folder / f"{case.case}.nii.gz"


def dense_labels(volume: Volume, scheme: LabelScheme) -> UInt8[NDArray, "d h w"]:
    """The labels of a stored segmentation, as dense `Label` values."""
    return from_scheme(round_labels(volume.data), scheme)


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise EvaluationError("evaluate: expected at least one case, got none")
    for case in cases:
        missing = [role for role in (*MODALITIES, SEGMENTATION) if role not in case.files]
        if missing:
            raise EvaluationError(f"{case.case}: expected a file for each role, missing {', '.join(missing)}")


def predict_with_cost(predict: Predict, images: Mapping[str, Volume]) -> tuple[Prediction, Cost]:
    """Predict a case, and measure time and memory."""
    reset_peak_memory()
    start = perf_counter()
    prediction = predict(images)
    return prediction, Cost(perf_counter() - start, peak_memory_gb())


def summarise_costs(costs: Sequence[Cost]) -> dict[str, float]:
    """Summarise the cost of several predictions, from one or several processes.

    Returns:
        `case_s`, the median over cases, so that compilation in a process's first case has no effect;
        `memory_gb`, the largest peak of any process.
    """
    seconds = median(cost.seconds for cost in costs)
    return {"case_s": round(seconds, 3), "memory_gb": round(max(cost.memory_gb for cost in costs), 3)}


def reset_peak_memory() -> None:
    """Reset `peak_memory_gb`, if the system supports it: a worker may have run other tasks before."""
    with suppress(OSError):
        PROC_CLEAR_REFS.write_text("5")


def peak_memory_gb() -> float:
    """The peak main memory of this process so far, in GB of 10⁹ bytes, without the memory of a GPU."""
    if not PROC_STATUS.exists():  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    # Linux: getrusage includes the peak of the parent process.
    (line,) = (line for line in PROC_STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
