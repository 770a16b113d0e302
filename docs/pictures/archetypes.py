"""Draw each kind of glioma of the cohort that teaches: `python docs/pictures/archetypes.py`.

Left the four modalities as scans mostly look, with the regions; right the same patient with a wide look. The
pictures, one a kind, are written to the folder beside this script.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int16, UInt8
from matplotlib.axes import Axes
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom import Drawn, draw
from glioseg.data.phantom.archetypes import ARCHETYPES
from glioseg.data.phantom.contrast import draw_look
from glioseg.data.phantom.domain_randomisation import draw_randomised_plan, draw_wide_look
from glioseg.data.phantom.grid import FINE
from glioseg.data.phantom.sampling import CasePlan

OUT = Path(__file__).parent / "archetypes"
SEED = 5
NCR, ED, ET = 1, 2, 4
OUTLINES = {"#7fd34e": (NCR, ED, ET), "#ff5a5f": (NCR, ET), "#ffd23f": (ET,)}
TITLES = ("T1", "T1ce", "T2", "FLAIR", "WT, TC, ET", "T1ce, wide look", "FLAIR, wide look", "T2, wide look")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for number, name in enumerate(ARCHETYPES):
        plan = draw_randomised_plan(np.random.default_rng([SEED, number]), name)
        typical, wide = (render(look(plan, number, wide=wide), number) for wide in (False, True))
        figure, axes = plt.subplots(1, len(TITLES), figsize=(14, 2.1), facecolor="black")
        draw_row(axes, typical, wide)
        figure.subplots_adjust(0.002, 0.0, 0.998, 0.9, 0.02, 0.02)
        figure.savefig(OUT / f"{name}.jpg", dpi=80, pil_kwargs={"quality": 85})
        plt.close(figure)


def look(plan: CasePlan, number: int, *, wide: bool) -> CasePlan:
    """The same patient with typical or with wide looks."""
    rng = np.random.default_rng([SEED, number, 1])
    if wide:
        return replace(plan, looks={name: draw_wide_look(name, plan.tumour, rng) for name in MODALITIES})
    enhancing = plan.tumour.enhancing
    return replace(plan, looks={name: draw_look(name, enhancing=enhancing, rng=rng) for name in MODALITIES})


def render(plan: CasePlan, number: int) -> Drawn:
    return draw(plan, rngs=np.random.default_rng([SEED, number, 2]).spawn(3), canvas=FINE)


def draw_row(axes: NDArray[np.object_], typical: Drawn, wide: Drawn) -> None:
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
