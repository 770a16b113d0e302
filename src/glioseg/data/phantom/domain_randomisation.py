"""The cohort that teaches: looks far wider than any one scanner's, and every kind of glioma.

A network that has seen contrasts, artefacts and shapes beyond the real ones takes a real scan for one more
of them (domain randomisation: Tobin et al. 2017; for brain MRI, Billot et al. 2023).
"""

from dataclasses import replace

import numpy as np

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom.archetypes import ARCHETYPES, draw_archetype, draw_tumour_of
from glioseg.data.phantom.contrast import SIGNALS, SOLID_CORE, Look, draw_look
from glioseg.data.phantom.sampling import (
    CasePlan,
    HeadPlan,
    TumourPlan,
    draw_head,
    draw_survival,
    triple,
)

TYPICAL_LOOKS = 0.25
"""Share of the cases that look as scans mostly do, whatever grows in them."""
_SPREAD = {"csf": 0.30, "grey": 0.10, "dura": 0.60, "ncr": 0.32, "ed": 0.28, "et": 0.25}
"""Log standard deviation of each tissue's signal; cut off at two of them."""
_ANYWHERE = {"t1ce": {"et": (1.3, 3.0)}, "t2": {"ed": (1.3, 3.6)}, "flair": {"ed": (1.4, 3.8)}}
"""Log-uniform where a spread tells too little: enhancement from faint to that of vessels, oedema to fluid."""
_MOTTLING = {"t1": 0.15, "t1ce": 0.15, "t2": 0.4, "flair": 0.4}
"""How uneven what does not enhance of a core is at most: necrosis, debris and living tumour lie mixed."""
_FLUID = {"t1": (0.3, 0.8), "t1ce": (0.3, 0.8), "t2": (2.5, 5.5), "flair": (0.2, 2.2)}
"""A cyst holds anything between cerebrospinal fluid and protein."""
_MISMATCH = (0.4, 1.1)
"""FLAIR of a solid core that is dark there though bright on T2: the T2-FLAIR mismatch sign."""


def draw_randomised_plan(rng: np.random.Generator, archetype: str | None = None) -> CasePlan:
    """Draw a patient of the cohort that teaches.

    Args:
        rng: source of every number.
        archetype: a name of `ARCHETYPES`; by default one is drawn.
    """
    tumour = draw_tumour_of(ARCHETYPES[archetype or draw_archetype(rng)], rng)
    grade = "HGG" if tumour.enhancing else "LGG"
    age = round(float(rng.uniform(18, 88)), 1)
    head = _wider(draw_head(rng, age), rng)
    if rng.random() < TYPICAL_LOOKS:
        looks = {name: draw_look(name, enhancing=tumour.enhancing, rng=rng) for name in MODALITIES}
    else:
        looks = {name: draw_wide_look(name, tumour, rng) for name in MODALITIES}
    return CasePlan(grade, age, draw_survival(rng, grade, age, tumour), head, tumour, looks)


def _wider(head: HeadPlan, rng: np.random.Generator) -> HeadPlan:
    """A head that differs more from the template, tilted, with lesions and remnants of the skull."""
    return replace(
        head,
        scale=triple(np.array(head.scale) * rng.uniform(0.93, 1.07, 3)),
        angles_rad=triple(np.array(head.angles_rad) + rng.normal(0, np.deg2rad(4), 3)),
        elastic_mm=triple(rng.uniform([2.0, 1.0, 0.4], [5.0, 2.4, 1.2])),
        ventricles=float(np.clip(head.ventricles + rng.normal(0, 0.2), -0.4, 0.8)),
        lesion_load=float(rng.uniform(0, 2.0)) if rng.random() < 0.3 else head.lesion_load,
        remnants=float(rng.uniform(0.3, 2.0)) if rng.random() < 0.25 else 0.0,
    )


def draw_wide_look(modality: str, tumour: TumourPlan, rng: np.random.Generator) -> Look:
    """Draw how one modality looks; one in twenty-five is spoilt by noise and slices of 6 mm and more."""
    look = draw_look(modality, enhancing=tumour.enhancing, rng=rng)
    spoilt = rng.random() < 0.04
    return replace(
        look,
        signal=_signals(modality, tumour, rng),
        thickness_mm=_thickness_mm(rng, spoilt=spoilt),
        slice_axis=int(rng.choice([0, 1, 2], p=[0.15, 0.15, 0.7])),
        blur_mm=float(rng.uniform(0.3, 1.1)),
        noise=float(rng.uniform(0.1, 0.3) if spoilt else np.exp(rng.uniform(np.log(0.004), np.log(0.08)))),
        shading=float(rng.uniform(0.03, 0.2)),
        uptake=float(rng.uniform(0.8, 5.0)) if modality == "t1ce" else 0.0,
        lesion=look.lesion * float(rng.uniform(0.3, 1.7)),
        flow=look.flow * float(rng.uniform(0.3, 1.7)),
        blood=look.blood * float(rng.uniform(0.3, 1.7)),
        iron=look.iron * float(rng.uniform(0.3, 1.7)),
        soak=float(rng.uniform(0.6, 1.0)),
        soft_mm=float(rng.uniform(0.5, 3.0)) if rng.random() < 0.7 else 0.0,
        unevenness=float(rng.uniform(0.4, 2.5)),
        fading=float(rng.uniform(0.0, 0.4)) if modality == "t1ce" else 0.0,
        mottling=_MOTTLING[modality] * float(rng.uniform(-1.0, 1.0)),
        gamma=float(np.exp(rng.normal(0, 0.15))),
        ceiling=float(rng.uniform(0.965, 0.999)) if rng.random() < 0.2 else 1.0,
        shift_mm=triple(rng.normal(0, 0.9, 3)) if rng.random() < 0.25 else (0.0, 0.0, 0.0),
    )


def _signals(modality: str, tumour: TumourPlan, rng: np.random.Generator) -> dict[str, float]:
    middles = {name: middle for name, (middle, _) in SIGNALS[modality].items()}
    if not tumour.enhancing:
        middles["ncr"] = SOLID_CORE[modality]
    signal = {
        name: float(middle * np.exp(np.clip(rng.normal(), -2, 2) * _SPREAD[name]))
        for name, middle in middles.items()
    }
    if modality == "flair" and not tumour.enhancing and rng.random() < 0.3:
        signal["ncr"] = float(rng.uniform(*_MISMATCH))
    for name, ends in _ANYWHERE.get(modality, {}).items():
        signal[name] = float(np.exp(rng.uniform(*np.log(ends))))
    return signal | {"fluid": float(rng.uniform(*_FLUID[modality]))}


def _thickness_mm(rng: np.random.Generator, *, spoilt: bool) -> float:
    if spoilt:
        return float(rng.uniform(6.0, 10.0))
    return float(rng.uniform(2.0, 7.0)) if rng.random() < 0.5 else 1.0
