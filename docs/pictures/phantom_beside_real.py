"""Draw real BraTS scans above phantoms: `python docs/pictures/phantom_beside_real.py REAL_FOLDER`.

REAL_FOLDER contains BraTS cases, one folder for each case; only cases with a segmentation are drawn. The
picture is written beside this script. The seed and the indices below determine its phantoms.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int16, UInt8
from matplotlib.axes import Axes
from numpy.typing import NDArray

from glioseg.core.labels import Label, LabelScheme, from_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.phantom import make_case

OUT = Path(__file__).with_suffix(".jpg")
SEED, INDICES = 2018, (0, 17, 3)
FOOTER = (
    "First {real} rows: BraTS 2021 (Baid et al. 2021), CC BY 4.0. Last {phantoms} rows: glioseg phantoms."
)
OUTLINES = {"#7fd34e": list(Label)[1:], "#ff5a5f": [Label.NCR, Label.ET], "#ffd23f": [Label.ET]}
TITLES = ("T1", "T1ce", "T2", "FLAIR", "WT, TC, ET", "FLAIR, coronal", "T1ce, sagittal")

Images = dict[str, Int16[NDArray, "d h w"]]
Labels = UInt8[NDArray, "d h w"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path, help="folder of BraTS cases")
    real = [read(case.files, case.scheme) for case in find_cases(parser.parse_args().real) if case.labelled]
    phantoms = [phantom(index) for index in INDICES]
    shown = real + phantoms
    figure, axes = plt.subplots(len(shown), 7, figsize=(14, 2.35 * len(shown) + 0.5), facecolor="black")
    for row, (images, labels) in zip(axes, shown, strict=True):
        draw_row(row, images, labels)
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.set_title(title, color="white", fontsize=9)
    figure.subplots_adjust(0.005, 0.03, 0.995, 0.97, 0.02, 0.02)
    footer = FOOTER.format(real=len(real), phantoms=len(phantoms))
    figure.text(0.5, 0.008, footer, color="white", ha="center", fontsize=9)
    figure.savefig(OUT, dpi=100)


def read(files: dict[str, Path], scheme: LabelScheme) -> tuple[Images, Labels]:
    """The images of a real case, and its dense labels."""
    images = {name: read_volume(files[name]).data for name in MODALITIES}
    return images, from_scheme(read_volume(files[SEGMENTATION]).data.astype(np.uint8), scheme)


def phantom(index: int) -> tuple[Images, Labels]:
    """The images of a phantom, and its dense labels."""
    case = make_case(index=index, seed=SEED)
    return case.images, from_scheme(case.segmentation, LabelScheme.BRATS2021)


def draw_row(row: NDArray[np.object_], images: Images, labels: Labels) -> None:
    """Slices through the middle of the tumour core."""
    x, y, z = np.median(np.argwhere(np.isin(labels, (Label.NCR, Label.ET))), axis=0).astype(int)
    axial, coronal, sagittal = np.s_[:, :, z], np.s_[:, y, :], np.s_[x, :, :]
    for axis, name in zip(row, MODALITIES, strict=False):
        draw(axis, images[name], axial)
    draw(row[4], images["flair"], axial)
    for colour, members in OUTLINES.items():
        inside = np.isin(labels[axial].T, members)
        if inside.any():
            row[4].contour(inside, [0.5], colors=colour, linewidths=0.7)
    draw(row[5], images["flair"], coronal)
    draw(row[6], images["t1ce"], sagittal)


def draw(axis: Axes, volume: Int16[NDArray, "d h w"], where: tuple[slice | int, ...]) -> None:
    """One slice, cropped to the head; grey values from 0 to the brain's 99.5th percentile."""
    plane = volume[where].T
    axis.imshow(plane, cmap="gray", vmin=0, vmax=np.percentile(volume[volume > 0], 99.5))
    rows, columns = (np.flatnonzero((plane > 0).any(axis=a)) for a in (1, 0))
    axis.set_xlim(columns[0] - 3, columns[-1] + 3)
    axial = isinstance(where[2], int | np.integer)
    # Axial slices show the front on top; the others show the crown on top.
    axis.set_ylim(*((rows[-1] + 3, rows[0] - 3) if axial else (rows[0] - 3, rows[-1] + 3)))
    axis.axis("off")


if __name__ == "__main__":
    main()
