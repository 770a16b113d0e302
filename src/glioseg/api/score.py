"""Score label maps against true ones."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.core.geometry import AFFINE_TOLERANCE_MM
from glioseg.core.labels import LabelError, LabelScheme, from_detected_scheme, from_scheme, round_labels
from glioseg.core.memory_images import Image, to_volume
from glioseg.core.nifti import Volume, VolumeError
from glioseg.evaluation.metrics import case_metrics


def evaluate(prediction: Image, truth: Image, *, scheme: str | None = None) -> dict[str, float]:
    """All metrics of a predicted label map.

    Args:
        prediction: a label map: a file, an image of nibabel, or an array with its affine. It must lie on the
            grid of the true one; the order and direction of the axes may differ.
        truth: the true label map.
        scheme: the label values of both, e.g. "msd" or "1=ET 2=NCR 4=ED"; by default, each map's own values
            tell which scheme of BraTS it has (enhancing tumour is 4 until 2021, and 3 from 2023 on).

    Returns:
        Values by name: `dice_wt`, `hd95_area_wt_mm`, `sensitivity_wt`, `lesion_dice_wt`, `surface_dice_wt`,
        `truth_wt_ml`, … for WT, TC and ET, and `mean_dice`; every value is finite.

    Raises:
        GliosegError: a file cannot be read, the grids differ, or a label does not belong to the scheme.
    """
    true = to_volume(truth, name="truth")
    predicted = to_volume(prediction, name="prediction")
    if not (true.grid.has_valid_affine and predicted.grid.has_valid_affine):
        raise VolumeError("evaluate: expected affines that can be inverted")
    predicted = predicted.turned_to(true.grid)
    _check_same_grid(predicted, true)
    return case_metrics(
        _dense_labels(true, scheme, name=_name(truth, "truth")),
        _dense_labels(predicted, scheme, name=_name(prediction, "prediction")),
        spacing_mm=true.grid.spacing_mm,
    )


def _dense_labels(volume: Volume, scheme: str | None, *, name: str) -> UInt8[NDArray, "d h w"]:
    try:
        if scheme:
            return from_scheme(round_labels(volume.data), LabelScheme(scheme))
        return from_detected_scheme(volume.data, LabelScheme.BRATS2023)
    except ValueError as error:
        raise LabelError(f"{name}: {str(error).removeprefix('labels: ')}") from None


def _check_same_grid(predicted: Volume, true: Volume) -> None:
    if predicted.data.shape != true.data.shape:
        raise VolumeError(
            f"evaluate: expected a prediction of shape {true.data.shape}, got {predicted.data.shape}"
        )
    distance = float(np.abs(predicted.grid.affine - true.grid.affine).max())
    if distance > AFFINE_TOLERANCE_MM:
        raise VolumeError(f"evaluate: expected both on one grid, got affines that differ by {distance:.3g}")


def _name(image: Image, name: str) -> str:
    return str(image) if isinstance(image, str | Path) else name
