"""Score models on labelled real cases: `python -m bench.score_real MODEL CASES… [--csv FILE]`.

The model segments each case as shipped (threshold, filters, filled cores), in float32 and in one pass,
without mirror images. Dice and volumes are those of the scan's own grid, at 1 mm for BraTS. A region that is
empty in both label maps has a Dice of 1.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from glioseg.core.dice import dice_per_channel
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case, read_images
from glioseg.data.cohort.ingest import labelled_cases
from glioseg.evaluation.per_case import dense_labels
from glioseg.models.builtin import builtin_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks.keras_file import MODEL_FILE, load_network


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.score_real", description=__doc__)
    parser.add_argument(
        "model", help="`builtin`, a model folder, or a .keras file, which gets the built-in model's settings"
    )
    parser.add_argument("cases", type=Path, nargs="+", help="folders of labelled cases")
    parser.add_argument("--csv", type=Path, help="write the row of each case to this file")
    arguments = parser.parse_args()
    table = score(load(arguments.model), labelled_cases(arguments.cases))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    print(table.round(3).to_string(index=False))
    print(mean_dice(table))


def load(model: str) -> Predictor:
    """A model as shipped, in float32 and without mirror images."""
    path = builtin_model() if model == "builtin" else Path(model)
    folder, file = (path, path / MODEL_FILE) if path.is_dir() else (builtin_model(), path)
    settings = replace(Settings.load(folder), mirror=False)
    return Predictor((load_network(file, "float32"),), settings)


def score(predictor: Predictor, cases: Sequence[Case]) -> pd.DataFrame:
    """One row for each case: Dice, true and predicted volume in ml of each region, and the mean Dice."""
    return pd.DataFrame(list(_rows(predictor, cases)))


def _rows(predictor: Predictor, cases: Sequence[Case]) -> Iterator[dict[str, object]]:
    for case in cases:
        volume = read_volume(case.files[SEGMENTATION])
        truth = regions_from_labels(dense_labels(volume, case.scheme))
        predicted = regions_from_labels(predictor.segment(read_images(case)))
        voxel_ml = float(np.prod(volume.grid.spacing_mm)) / 1000
        dice = dice_per_channel(truth, predicted)
        yield {"case": case.case, "mean": float(np.mean(dice))} | {
            f"{region.lower()}{name}": float(value)
            for name, values in (
                ("", dice),
                ("_ml", truth.sum(axis=(0, 1, 2)) * voxel_ml),
                ("_predicted_ml", predicted.sum(axis=(0, 1, 2)) * voxel_ml),
            )
            for region, value in zip(REGIONS, values, strict=True)
        }


def mean_dice(table: pd.DataFrame) -> str:
    """Means over the cases, and over those with enhancing tumour.

    >>> mean_dice(pd.DataFrame({"wt": [0.8, 0.6], "tc": [0.5, 0.7], "et": [1.0, 0.4],
    ...     "mean": [0.77, 0.57], "et_ml": [0.0, 2.0]}))
    '2 cases: WT .700  TC .600  ET .700  mean .670; ET of the 1 with ET .400'
    """
    means = "  ".join(
        f"{name} {_short(table[column].mean())}"
        for name, column in (("WT", "wt"), ("TC", "tc"), ("ET", "et"), ("mean", "mean"))
    )
    enhancing = table[table["et_ml"] > 0]
    return f"{len(table)} cases: {means}; ET of the {len(enhancing)} with ET {_short(enhancing['et'].mean())}"


def _short(dice: float) -> str:
    return f"{dice:.3f}".replace("0.", ".", 1) if dice < 1 else "1.000"


if __name__ == "__main__":
    main()
