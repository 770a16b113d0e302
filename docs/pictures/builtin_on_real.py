"""Draw the built-in model on a real scan: `python docs/pictures/builtin_on_real.py CASE_FOLDER`.

The picture is written beside this script.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from glioseg.core.labels import regions_from_labels
from glioseg.data.cohort.cases import read_images
from glioseg.data.cohort.layouts import find_cases
from glioseg.models.builtin import builtin_model
from glioseg.models.inference.loading import load_model

OUT = Path(__file__).with_suffix(".jpg")
COLOURS = ("#7fd34e", "#ff5a5f", "#ffd23f")
FOOTER = "{case} (BraTS 2023, CC BY 4.0), as the built-in model sees it: WT green, TC red, ET yellow"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path, help="folder of one BraTS case")
    (case,) = find_cases(parser.parse_args().case)
    images = read_images(case)
    regions = regions_from_labels(load_model(builtin_model()).predict(images).labels)
    x, y, z = (int(np.argmax(regions[..., 1].sum(axis=axes))) for axes in ((1, 2), (0, 2), (0, 1)))
    planes = {"axial": np.s_[:, :, z], "coronal": np.s_[:, y, ::-1], "sagittal": np.s_[x, :, ::-1]}
    figure, axes = plt.subplots(2, 6, figsize=(13, 4.6), facecolor="black")
    for row, modality in zip(axes, ("flair", "t1ce"), strict=True):
        volume = images[modality].data
        for number, plane in enumerate(planes.values()):
            for axis in row[2 * number : 2 * number + 2]:
                top = np.percentile(volume[volume > 0], 99.5)
                axis.imshow(volume[plane].T, cmap="gray", vmin=0, vmax=top)
                axis.axis("off")
            for region, colour in enumerate(COLOURS):
                inside = regions[..., region][plane].T
                if inside.any():
                    row[2 * number + 1].contour(inside, [0.5], colors=colour, linewidths=0.8)
    figure.subplots_adjust(0.002, 0.05, 0.998, 0.998, 0.01, 0.01)
    figure.text(0.5, 0.01, FOOTER.format(case=case.case), color="white", ha="center", fontsize=9)
    figure.savefig(OUT, dpi=80, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
