"""Judge predictions case by case: predict, measure on the scan's own grid, draw."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.cluster import map_cases
from glioseg.data.cases import MODALITIES, SEGMENTATION, Case
from glioseg.data.volumes import Grid, Volume, read_volume, write_volume
from glioseg.eval.distances import Spacing3
from glioseg.eval.figures import Scan
from glioseg.eval.metrics import case_metrics
from glioseg.labels import Scheme, from_scheme, to_scheme
from glioseg.progress import track

Segment = Callable[[Mapping[str, Volume]], UInt8[NDArray, "d h w"]]
"""Gives dense labels on the scan's own grid for a volume of each of `MODALITIES`."""

SHOWN = ("flair", "t1ce")
"""FLAIR shows the whole tumour, T1ce its core."""


class EvaluationError(ValueError):
    """A case that cannot be judged; the message names it."""


def evaluate_cases(segment: Segment, cases: Sequence[Case]) -> pd.DataFrame:
    """Predict and measure cases; keep nothing but the table.

    Args:
        segment: e.g. `Segmenter.segment`.
        cases: with their four images and their segmentation.

    Returns:
        One row a case, worst first: `case`, and the columns of `metrics.case_metrics`.
    """
    with TemporaryDirectory() as folder:
        predict_cases(segment, cases, Path(folder))
        return judge_cases(cases, predictions=Path(folder), pictures=None)


def predict_cases(segment: Segment, cases: Sequence[Case], folder: Path) -> None:
    """Write a case's predicted labels to `<folder>/<case>.nii.gz`, in its own grid and scheme.

    Raises:
        EvaluationError: a case without one of its four images or its segmentation, or no case.
    """
    _check(cases)
    for case in track(cases, title="predict", total=len(cases)):
        images = {name: read_volume(case.files[name]) for name in MODALITIES}
        labels = to_scheme(segment(images), case.scheme)
        write_volume(prediction_file(folder, case), Volume(labels, images[MODALITIES[0]].grid))


def judge_cases(cases: Sequence[Case], *, predictions: Path, pictures: Path | None) -> pd.DataFrame:
    """Measure predicted cases in parallel, and draw them where a folder for the pictures is given.

    Args:
        cases: with their segmentation.
        predictions: where `predict_cases` wrote.
        pictures: where each case's pictures go, or None for no pictures.

    Returns:
        As `evaluate_cases`.
    """
    work = partial(judge_case, predictions=predictions, pictures=pictures)
    rows = map_cases(work, cases, title="measure")
    return pd.DataFrame(rows).sort_values(["mean_dice", "case"], ignore_index=True)


def judge_case(case: Case, *, predictions: Path, pictures: Path | None) -> dict[str, object]:
    """Measure one predicted case and, where asked, draw it; see `judge_cases`."""
    known = read_volume(case.files[SEGMENTATION])
    truth = _labels(known, case.scheme)
    prediction = _labels(read_volume(prediction_file(predictions, case)), case.scheme)
    row = case_metrics(truth, prediction, spacing_mm=known.grid.spacing_mm)
    if pictures:
        from glioseg.eval.pictures import draw_case  # drawing libraries load only where they are asked for

        images = {name: read_volume(case.files[name]).data for name in SHOWN}
        draw_case(pictures, case.case, scan_in_lps(images, truth, prediction, known.grid), row)
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


def _labels(volume: Volume, scheme: Scheme) -> UInt8[NDArray, "d h w"]:
    # Some cohorts store their labels as floating point.
    whole = volume.data if np.issubdtype(volume.data.dtype, np.integer) else np.rint(volume.data)
    return from_scheme(whole.astype(np.int16), scheme)


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise EvaluationError("evaluate: expected at least one case, got none")
    for case in cases:
        missing = [role for role in (*MODALITIES, SEGMENTATION) if role not in case.files]
        if missing:
            raise EvaluationError(f"{case.case}: expected a file for each role, missing {', '.join(missing)}")
