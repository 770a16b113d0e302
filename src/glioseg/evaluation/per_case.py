"""Judge predictions case by case: predict, measure on the scan's own grid, draw."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.labels import Scheme, as_labels, from_scheme, to_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.core.progress import track
from glioseg.data.cohort.case_io import read_images
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.calibration import calibration_errors
from glioseg.evaluation.case_figure import Scan
from glioseg.evaluation.columns import column
from glioseg.evaluation.cost import Cost, measured
from glioseg.evaluation.hausdorff import Spacing3
from glioseg.evaluation.metrics import case_metrics
from glioseg.models.inference.prediction import Answer, Model

SHOWN = ("flair", "t1ce")
"""FLAIR shows the whole tumour, T1ce its core."""


class EvaluationError(GliosegError):
    """A case that cannot be judged; the message names it."""


def evaluate_cases(
    model: Model, cases: Sequence[Case], *, cluster: Cluster = LOCAL
) -> tuple[pd.DataFrame, list[Cost]]:
    """Predict and measure cases; keep no prediction.

    Args:
        model: e.g. a `Segmenter`.
        cases: with their four images and their segmentation.
        cluster: where they are measured.

    Returns:
        As `judge_cases`; and what each answer cost.
    """
    with TemporaryDirectory() as folder:
        answers, costs = predict_cases(model, cases, Path(folder))
        table = judge_cases(cases, answers, predictions=Path(folder), pictures=None, cluster=cluster)
    return table, costs


def predict_cases(
    model: Model, cases: Sequence[Case], folder: Path, *, cluster: Cluster | None = None
) -> tuple[pd.DataFrame, list[Cost]]:
    """Write a case's predicted labels to `<folder>/<case>.nii.gz`, in its own grid and scheme.

    Args:
        model: loaded; for a cluster one that loads where it is asked.
        cases: with their four images and their segmentation.
        folder: for the labels.
        cluster: whose workers predict; None: this process, in which a network uses all cores.

    Returns:
        What a label map does not hold, one row a case: `case`; `interval_level`, `low_wt_ml`, `high_wt_ml`, …
        (level and ends of the volume intervals) where the model has them; `calibration_error_wt`, … (over
        the brain); `confidence_wt`, … and `doubt` where the model has learned them; `grade`, `survival_days`
        where they are known; and where the model has such an output `grade_lgg`, `survival_days_predicted`.
        And what each answer cost.

    Raises:
        EvaluationError: a case without one of its four images or its segmentation, or no case.
    """
    _check(cases)
    work = partial(predict_case, model=model, folder=folder)
    if cluster:
        done = cluster.map(work, cases, title="predict", gpu=True)
    else:
        done = [work(case) for case in track(cases, title="predict", total=len(cases))]
    rows, costs = zip(*done, strict=True)
    return pd.DataFrame(rows), list(costs)


def predict_case(case: Case, *, model: Model, folder: Path) -> tuple[dict[str, object], Cost]:
    """Predict one case; see `predict_cases`."""
    answer, images = model.answer, read_images(case)
    said, cost = measured(answer, images)
    labels = to_scheme(said.labels, case.scheme)
    write_volume(prediction_file(folder, case), Volume(labels, images[MODALITIES[0]].grid))
    return _kept(case, said), cost


def _kept(case: Case, said: Answer) -> dict[str, object]:
    row: dict[str, object] = {"case": case.case}
    if said.interval_level is not None:
        row["interval_level"] = said.interval_level
        for region, volume in said.volumes.items():
            row |= {column("low_ml", region): volume.low_ml, column("high_ml", region): volume.high_ml}
    truth = dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme)
    errors = calibration_errors(said.probabilities, truth)
    row |= {column("calibration_error", region): error for region, error in errors.items()}
    row |= {column("confidence", region): dice for region, dice in said.confidence.items()}
    if said.confidence:
        row["doubt"] = "; ".join(said.doubt)
    row |= {"grade": case.grade, "survival_days": case.survival_days}
    predicted = {"grade_lgg": said.grade_lgg, "survival_days_predicted": said.survival_days}
    return row | {name: value for name, value in predicted.items() if value is not None}


def judge_cases(
    cases: Sequence[Case],
    answers: pd.DataFrame,
    *,
    predictions: Path,
    pictures: Path | None,
    imagej: bool = False,
    cluster: Cluster = LOCAL,
) -> pd.DataFrame:
    """Measure predicted cases in parallel, and draw them where a folder for the pictures is given.

    Args:
        cases: with their segmentation.
        answers: as from `predict_cases`.
        predictions: where `predict_cases` wrote.
        pictures: where each case's pictures go, or None for no pictures.
        imagej: whether an ImageJ TIFF lies among the pictures.
        cluster: where they are measured.

    Returns:
        One row a case, worst first: `case`, the columns of `metrics.case_metrics`, those of `answers`.
    """
    work = partial(judge_case, predictions=predictions, pictures=pictures, imagej=imagej)
    rows = cluster.map(work, cases, title="measure")
    table = pd.DataFrame(rows).merge(answers, on="case", validate="one_to_one")
    return table.sort_values(["mean_dice", "case"], ignore_index=True)


def judge_case(
    case: Case, *, predictions: Path, pictures: Path | None, imagej: bool = False
) -> dict[str, object]:
    """Measure one predicted case and, where asked, draw it; see `judge_cases`."""
    known = read_volume(case.files[SEGMENTATION])
    truth = dense_labels(known, case.scheme)
    prediction = dense_labels(read_volume(prediction_file(predictions, case)), case.scheme)
    row = case_metrics(truth, prediction, spacing_mm=known.grid.spacing_mm)
    if pictures:
        from glioseg.evaluation.case_pictures import (
            draw_case,  # drawing libraries load only where they are asked for
        )

        images = {name: read_volume(case.files[name]).data for name in SHOWN}
        scan = scan_in_lps(images, truth, prediction, known.grid)
        draw_case(pictures, case.case, scan, row, imagej=imagej)
    return {"case": case.case, **row}


def scan_in_lps(
    images: Mapping[str, NDArray],
    truth: UInt8[NDArray, "d h w"],
    prediction: UInt8[NDArray, "d h w"],
    grid: Grid,
) -> Scan:
    """Bring a case from its own grid to LPS, as pictures need it."""
    turn = grid.to_lps
    d, h, w = (grid.spacing_mm[axis] for axis in turn.order)
    spacing_mm: Spacing3 = (d, h, w)
    turned = {name: turn.apply(image) for name, image in images.items()}
    return Scan(turned, turn.apply(truth), turn.apply(prediction), spacing_mm)


def prediction_file(folder: Path, case: Case) -> Path:
    """Where a case's prediction lies."""
    return folder / f"{case.case}.nii.gz"


def dense_labels(volume: Volume, scheme: Scheme) -> UInt8[NDArray, "d h w"]:
    """A segmentation as stored, in glioseg's labels."""
    return from_scheme(as_labels(volume.data), scheme)


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise EvaluationError("evaluate: expected at least one case, got none")
    for case in cases:
        missing = [role for role in (*MODALITIES, SEGMENTATION) if role not in case.files]
        if missing:
            raise EvaluationError(f"{case.case}: expected a file for each role, missing {', '.join(missing)}")
