"""Contrast of each modality of a case: tissue signals, slice thickness, noise and bias field.

Signals are relative to normal white matter (1.0). Their medians were measured on labelled BraTS 2021 scans
(Baid et al. 2021); a random deviation from them varies between cases.
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
"""Signal of a core without enhancement, which is solid tumour: darker on T1, even brighter on T2."""
EFFECTS = {
    "t1": {"lesion": -0.12, "flow": 0.0, "blood": 0.6, "iron": 0.0},
    "t1ce": {"lesion": -0.10, "flow": 0.0, "blood": 0.2, "iron": 0.0},
    "t2": {"lesion": 0.60, "flow": -0.5, "blood": -0.6, "iron": -0.25},
    "flair": {"lesion": 0.70, "flow": 0.0, "blood": -0.4, "iron": -0.25},
}
"""Effects of white-matter lesions, flow in vessels, blood products and iron; see `Contrast`."""
_WHITE_MATTER_LEVEL = {"t1": 700.0, "t1ce": 1100.0, "t2": 550.0, "flair": 650.0}
_THICK_SLICES = {"t1": 0.5, "t1ce": 0.2, "t2": 0.5, "flair": 0.5}
"""Probability of thick slices."""


@dataclass(frozen=True)
class Contrast:
    """Contrast and acquisition of one modality of one case.

    Attributes:
        signal: signals of csf, grey, dura, ncr, ed, et and fluid (cysts), relative to white matter.
        white_matter_level: intensity of white matter, in the arbitrary units of the scanner.
        slice_thickness_mm: 1 where slices are not thick.
        slice_axis: axis (0, 1, 2) across the slices.
        blur_mm: standard deviation of the scanner's blur.
        noise: standard deviation of the noise, relative to white matter.
        bias_field: log standard deviation of the bias field.
        contrast_uptake: signal that contrast agent adds in vessels and choroid plexus.
        lesion: signal that a white-matter lesion adds.
        flow, blood, iron: relative change in a vessel, in blood products and in iron-rich nuclei.
        oedema_opacity: weight of the oedema's signal; the rest is the signal of the healthy tissue there.
        oedema_margin_mm: standard deviation of the oedema's margin, in addition to the scanner's blur.
        heterogeneity: strength of the texture of tumour tissue; 1 is typical.
        parenchyma_texture: standard deviation of a texture of white and grey matter, in addition to the usual
            2.5 %, relative to white matter.
        enhancement_variation: log standard deviation of the enhancement's signal within a tumour.
        core_variation: the same for the non-enhancing core. If two modalities have opposite signs, one is
            dark where the other is bright.
        gamma: exponent on the scan; white matter keeps its intensity.
        clip_quantile: quantile of the brain's intensities at which the scan is clipped.
        shift_mm: misregistration along each axis.
    """

    signal: dict[str, float]
    white_matter_level: float
    slice_thickness_mm: float
    slice_axis: int
    blur_mm: float
    noise: float
    bias_field: float
    contrast_uptake: float
    lesion: float
    flow: float
    blood: float
    iron: float
    oedema_opacity: float = 0.75
    oedema_margin_mm: float = 0.0
    heterogeneity: float = 1.0
    parenchyma_texture: float = 0.0
    enhancement_variation: float = 0.0
    core_variation: float = 0.0
    gamma: float = 1.0
    clip_quantile: float = 1.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


def sample_contrast(modality: str, *, enhancing: bool, rng: np.random.Generator) -> Contrast:
    """Random contrast of one modality.

    Args:
        modality: "t1", "t1ce", "t2" or "flair".
        enhancing: if False, the core has the signal of solid tumour, as in LGG, instead of necrosis.
        rng: random generator.

    >>> sample_contrast("flair", enhancing=True, rng=np.random.default_rng(0)).signal["ed"] > 1.5
    True
    """
    signal = {
        name: float(median * np.exp(np.clip(rng.normal(), -2, 2) * spread))
        for name, (median, spread) in SIGNALS[modality].items()
    }
    if not enhancing:
        signal["ncr"] = SOLID_CORE[modality] * float(np.exp(rng.normal(0, 0.08)))
    signal["fluid"] = signal["csf"]
    thick = rng.random() < _THICK_SLICES[modality]
    sagittal = rng.random() < 0.08
    effect = EFFECTS[modality]
    return Contrast(
        signal=signal,
        white_matter_level=float(_WHITE_MATTER_LEVEL[modality] * np.exp(0.6 * np.clip(rng.normal(), -2, 2))),
        slice_thickness_mm=float(rng.uniform(2.5, 5.5) * (0.5 if sagittal else 1.0)) if thick else 1.0,
        slice_axis=0 if sagittal else 2,
        blur_mm=float(rng.uniform(0.35, 0.65)),
        noise=float(rng.uniform(0.01, 0.03)),
        bias_field=float(rng.uniform(0.06, 0.13)),
        contrast_uptake=float(rng.uniform(2.0, 4.5)) if modality == "t1ce" else 0.0,
        lesion=effect["lesion"],
        flow=effect["flow"],
        blood=effect["blood"],
        iron=effect["iron"],
    )
