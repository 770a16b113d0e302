"""How each modality of one case looks: signals, slice thickness, noise and shading, as numbers.

Signals are relative to normal white matter (1.0); their medians were read off labelled BraTS 2021
scans (Baid et al. 2021) and their spreads make no two cases alike.
"""

from dataclasses import dataclass

import numpy as np

SIGNALS: dict[str, dict[str, tuple[float, float]]] = {
    "t1": {
        "csf": (0.34, 0.12), "grey": (0.81, 0.04), "dura": (0.30, 0.3),
        "ncr": (0.72, 0.10), "ed": (0.87, 0.05), "et": (0.88, 0.08),
    },
    "t1ce": {
        "csf": (0.38, 0.12), "grey": (0.80, 0.05), "dura": (1.60, 0.4),
        "ncr": (0.68, 0.14), "ed": (0.85, 0.05), "et": (2.1, 0.12),
    },
    "t2": {
        "csf": (4.7, 0.12), "grey": (1.30, 0.06), "dura": (0.25, 0.4),
        "ncr": (2.7, 0.14), "ed": (2.0, 0.10), "et": (1.85, 0.14),
    },
    "flair": {
        "csf": (0.25, 0.20), "grey": (1.36, 0.06), "dura": (0.25, 0.4),
        "ncr": (1.9, 0.28), "ed": (2.35, 0.10), "et": (2.0, 0.13),
    },
}  # fmt: skip
"""Median and log standard deviation of the signals, by modality and tissue."""
SOLID_CORE = {"t1": 0.62, "t1ce": 0.64, "t2": 3.1, "flair": 1.9}
"""A core without enhancement is solid tumour: darker on T1, even brighter on T2."""
EFFECTS = {
    "t1": {"lesion": -0.12, "flow": 0.0, "blood": 0.6, "iron": 0.0},
    "t1ce": {"lesion": -0.10, "flow": 0.0, "blood": 0.2, "iron": 0.0},
    "t2": {"lesion": 0.60, "flow": -0.5, "blood": -0.6, "iron": -0.25},
    "flair": {"lesion": 0.70, "flow": 0.0, "blood": -0.4, "iron": -0.25},
}
_LEVEL = {"t1": 700.0, "t1ce": 1100.0, "t2": 550.0, "flair": 650.0}
_THICK_CHANCE = {"t1": 0.5, "t1ce": 0.2, "t2": 0.5, "flair": 0.5}


@dataclass(frozen=True)
class Look:
    """How one modality of one case looks.

    Attributes:
        signal: of csf, grey, dura, ncr, ed, et and fluid (cysts) relative to white matter.
        level: intensity of white matter, in the arbitrary units of the scanner.
        thickness_mm: slice thickness, and the axis (0, 1, 2) that it lies along.
        blur_mm: standard deviation of the in-plane blur.
        noise: standard deviation of the noise relative to white matter.
        shading: log standard deviation of the bias field.
        uptake: signal that contrast agent adds in vessels and choroid plexus.
        lesion: signal that a white-matter lesion adds.
        flow, blood, iron: relative change in a vessel, in blood products and in iron-rich nuclei.
        soak: how much of oedema's signal is its own; the rest is that of the tissue that it soaks.
        soft_mm: standard deviation of the oedema's margin, beyond the scanner's own blur.
        unevenness: of tumour tissue, relative to the usual.
        fading: log standard deviation of enhancement from place to place.
        mottling: the same of what does not enhance of a core; below 0, it is dark where another modality's
            is bright.
        gamma: exponent on the scan, its white matter held.
        ceiling: quantile of the brain at which the scan is cut off, as stretched intensities are.
        shift_mm: misregistration along each axis.
    """

    signal: dict[str, float]
    level: float
    thickness_mm: float
    slice_axis: int
    blur_mm: float
    noise: float
    shading: float
    uptake: float
    lesion: float
    flow: float
    blood: float
    iron: float
    soak: float = 0.75
    soft_mm: float = 0.0
    unevenness: float = 1.0
    fading: float = 0.0
    mottling: float = 0.0
    gamma: float = 1.0
    ceiling: float = 1.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_look(modality: str, *, enhancing: bool, rng: np.random.Generator) -> Look:
    """Draw the look of one modality.

    Args:
        modality: "t1", "t1ce", "t2" or "flair".
        enhancing: False makes the core a solid one, as in LGG, in place of necrosis.
        rng: source of every number.

    >>> draw_look("flair", enhancing=True, rng=np.random.default_rng(0)).signal["ed"] > 1.5
    True
    """
    signal = {
        name: float(middle * np.exp(np.clip(rng.normal(), -2, 2) * spread))
        for name, (middle, spread) in SIGNALS[modality].items()
    }
    if not enhancing:
        signal["ncr"] = SOLID_CORE[modality] * float(np.exp(rng.normal(0, 0.08)))
    signal["fluid"] = signal["csf"]
    thick = rng.random() < _THICK_CHANCE[modality]
    sagittal = rng.random() < 0.08
    effect = EFFECTS[modality]
    return Look(
        signal=signal,
        level=float(_LEVEL[modality] * np.exp(0.6 * np.clip(rng.normal(), -2, 2))),
        thickness_mm=float(rng.uniform(2.5, 5.5) * (0.5 if sagittal else 1.0)) if thick else 1.0,
        slice_axis=0 if sagittal else 2,
        blur_mm=float(rng.uniform(0.35, 0.65)),
        noise=float(rng.uniform(0.01, 0.03)),
        shading=float(rng.uniform(0.06, 0.13)),
        uptake=float(rng.uniform(2.0, 4.5)) if modality == "t1ce" else 0.0,
        lesion=effect["lesion"],
        flow=effect["flow"],
        blood=effect["blood"],
        iron=effect["iron"],
    )
