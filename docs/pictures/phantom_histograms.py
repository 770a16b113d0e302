"""Draw intensities of real brains and phantoms: `python docs/pictures/phantom_histograms.py REAL_FOLDER`.

Each line is the histogram of one brain. Intensities are divided by their median, since MRI has no absolute
scale. The picture is written beside this script.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int16
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.phantom import make_case

OUT = Path(__file__).with_suffix(".png")
SEED, INDICES = 2018, range(1, 13)
BINS = np.linspace(0, 3, 121)

Images = dict[str, Int16[NDArray, "d h w"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path, help="folder of BraTS cases")
    real = [
        {name: read_volume(case.files[name]).data for name in MODALITIES}
        for case in find_cases(parser.parse_args().real)
    ]
    phantoms = [make_case(index=index, seed=SEED).images for index in INDICES]
    figure, axes = plt.subplots(1, len(MODALITIES), figsize=(14, 3.2), sharey=True, layout="constrained")
    for axis, name in zip(axes, MODALITIES, strict=True):
        for cases, colour, label in ((phantoms, "#9aa5b1", "phantoms"), (real, "#d1495b", "real")):
            for index, images in enumerate(cases):
                axis.plot(BINS[1:], histogram(images[name]), color=colour, label=None if index else label)
        axis.set(title=name, xlabel="intensity / median of the brain", xlim=(0, 3))
    axes[0].set_ylabel("share of the brain's voxels")
    axes[0].legend(frameon=False)
    figure.supxlabel("Real: BraTS 2021 (Baid et al. 2021), CC BY 4.0.", fontsize=8)
    figure.savefig(OUT, dpi=90)


def histogram(image: Int16[NDArray, "d h w"]) -> NDArray[np.float64]:
    """Share of the brain's voxels in each bin."""
    values = image[image != 0].astype(np.float64)
    counts, _ = np.histogram(values / np.median(values), BINS)
    return counts / values.size


if __name__ == "__main__":
    main()
