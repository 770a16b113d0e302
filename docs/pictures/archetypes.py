"""Pictures of the kinds of glioma of the domain-randomised cohort: `python docs/pictures/archetypes.py`.

Each picture shows, on the left, the four modalities with typical contrasts and the regions, and on the right
the same case with wide contrasts. The script writes one picture of each kind to the folder `archetypes`.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int16, UInt8
from matplotlib.axes import Axes
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom import RenderedPhantom, render_plan
from glioseg.data.phantom.contrast import sample_contrast
from glioseg.data.phantom.domain_randomisation import ARCHETYPES, sample_randomised_plan, sample_wide_contrast
from glioseg.data.phantom.grid import GRID_1MM
from glioseg.data.phantom.sampling import CasePlan

OUT = Path(__file__).parent / "archetypes"
SEED = 5
NCR, ED, ET = 1, 2, 4
OUTLINES = {"#7fd34e": (NCR, ED, ET), "#ff5a5f": (NCR, ET), "#ffd23f": (ET,)}
TITLES = ("T1", "T1ce", "T2", "FLAIR", "WT, TC, ET", "T1ce, wide", "FLAIR, wide", "T2, wide")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for number, name in enumerate(ARCHETYPES):
        plan = sample_randomised_plan(np.random.default_rng([SEED, number]), name)
        typical, wide = (render(with_contrasts(plan, number, wide=wide), number) for wide in (False, True))
        figure, axes = plt.subplots(1, len(TITLES), figsize=(14, 2.1), facecolor="black")
        draw_row(axes, typical, wide)
        figure.subplots_adjust(0.002, 0.0, 0.998, 0.9, 0.02, 0.02)
        figure.savefig(OUT / f"{name}.jpg", dpi=80, pil_kwargs={"quality": 85})
        plt.close(figure)


def with_contrasts(plan: CasePlan, number: int, *, wide: bool) -> CasePlan:
    """The same case with typical or with wide contrasts."""
    rng = np.random.default_rng([SEED, number, 1])
    tumour = plan.tumour
    if wide:
        contrasts = {name: sample_wide_contrast(name, tumour, rng) for name in MODALITIES}
    else:
        contrasts = {name: sample_contrast(name, enhancing=tumour.enhancing, rng=rng) for name in MODALITIES}
    return replace(plan, contrasts=contrasts)


def render(plan: CasePlan, number: int) -> RenderedPhantom:
    return render_plan(plan, rngs=np.random.default_rng([SEED, number, 2]).spawn(3), grid=GRID_1MM)


def draw_row(axes: NDArray[np.object_], typical: RenderedPhantom, wide: RenderedPhantom) -> None:
    """Axial slices through the middle of the tumour."""
    tumour = np.isin(typical.labels, (NCR, ET)) if (typical.labels != ED).any() else typical.labels > 0
    z = int(np.argmax(tumour.sum(axis=(0, 1))))
    shown = [typical.images[name] for name in MODALITIES] + [typical.images["flair"]]
    shown += [wide.images[name] for name in ("t1ce", "flair", "t2")]
    for axis, volume, title in zip(axes, shown, TITLES, strict=True):
        draw_slice(axis, volume, z)
        axis.set_title(title, color="white", fontsize=8, pad=2)
    outline(axes[4], typical.labels[:, :, z])


def draw_slice(axis: Axes, volume: Int16[NDArray, "d h w"], z: int) -> None:
    axis.imshow(volume[:, :, z].T, cmap="gray", vmin=0, vmax=np.percentile(volume[volume > 0], 99.5))
    axis.axis("off")


def outline(axis: Axes, labels: UInt8[NDArray, "d h"]) -> None:
    for colour, members in OUTLINES.items():
        inside = np.isin(labels.T, members)
        if inside.any():
            axis.contour(inside, [0.5], colors=colour, linewidths=0.7)


if __name__ == "__main__":
    main()
