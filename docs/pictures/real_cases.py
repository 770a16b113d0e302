"""Draw truth and prediction of all labelled real cases: `python docs/pictures/real_cases.py FOLDER…`.

Each case is predicted by the network of the fold that left it out, so `make pretrain REAL="FOLDER…"` must
have run here. The picture is written beside this script.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from numpy.typing import NDArray

from glioseg.core.dice import dice_per_channel
from glioseg.core.geometry import bounding_box
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case, read_images
from glioseg.evaluation.per_case import dense_labels
from glioseg.mlops.pretraining.real_cases import crop_real_cases, train_on_real_cases
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.params.pretraining import load_pretraining

OUT = Path(__file__).with_suffix(".jpg")
COLOURS = ("#7fd34e", "#ff5a5f", "#ffd23f")
COLUMNS = 2
FOOTER = (
    "BraTS 2021 and 2023 (Baid et al. 2021; TCIA doi 10.7937/jc8x-9874; CC BY 4.0). For each case FLAIR and"
    " T1ce, each with the truth and then with the prediction of a network that was not trained on the case:"
    " WT green, TC red, ET yellow; Dice of WT / TC / ET."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of the labelled cases")
    plan, storage = load_pretraining(Path("pipelines/pretrain.yaml")), ProjectStorage.current()
    cohort = crop_real_cases(parser.parse_args().folders, plan, storage)
    start = builtin.folder_of(builtin.SYNTHETIC) / MODEL_FILE
    trained = train_on_real_cases(plan, cohort, storage, start=start)
    settings, rows = Settings.load(builtin.FOLDER), -(-len(cohort.cases) // COLUMNS)
    figure, axes = plt.subplots(rows, 4 * COLUMNS, figsize=(7 * COLUMNS, 2.35 * rows), facecolor="black")
    for axis in axes.flat:
        axis.axis("off")
    for number, (case, unseen) in enumerate(zip(cohort.cases, trained.unseen(), strict=True)):
        row, column = number % rows, 4 * (number // rows)
        draw(case, Predictor(tuple(unseen.models), settings), axes[row, column : column + 4])
    figure.subplots_adjust(0.002, 0.03, 0.998, 0.985, 0.01, 0.08)
    figure.text(0.5, 0.008, FOOTER, color="white", ha="center", fontsize=7)
    figure.savefig(OUT, dpi=80, pil_kwargs={"quality": 80})


def draw(case: Case, predictor: Predictor, axes: NDArray[np.object_]) -> None:
    """Draw the axial plane with most true tumour."""
    images = read_images(case)
    truth = regions_from_labels(dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme))
    predicted = regions_from_labels(predictor.segment(images))
    z = int(truth[..., 0].sum(axis=(0, 1)).argmax())
    brain = bounding_box(images["flair"].data > 0, margin_vox=3).slices[:2]
    for number, (modality, regions) in enumerate(
        (name, regions) for name in ("flair", "t1ce") for regions in (truth, predicted)
    ):
        volume = images[modality].data
        axes[number].imshow(
            volume[*brain, z].T, cmap="gray", vmin=0, vmax=np.percentile(volume[volume > 0], 99.5)
        )
        outline(axes[number], regions[*brain, z])
    dice = dice_per_channel(truth, predicted)
    scores = " / ".join(f"{value:.2f}" for _, value in zip(REGIONS, dice, strict=True))
    axes[1].set_title(f"{case.case}: {scores}", color="white", fontsize=8, loc="right", pad=2)


def outline(axis: Axes, regions: Bool[NDArray, "x y 3"]) -> None:
    """Draw the outline of each region."""
    for region, colour in enumerate(COLOURS):
        inside = regions[..., region].T
        if inside.any():
            axis.contour(inside, [0.5], colors=colour, linewidths=0.7)


if __name__ == "__main__":
    main()
