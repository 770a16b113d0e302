"""The domain-randomised cohort: contrasts far wider than those of any scanner, and eleven kinds of glioma.

To a network that was trained on contrasts, artefacts and shapes beyond the real ones, a real scan is one more
variation (domain randomisation: Tobin et al. 2017; for brain MRI, Billot et al. 2023).

The shares of the kinds follow BraTS (Menze et al. 2015; Baid et al. 2021), but rare kinds are more frequent
here: a network must be trained on each kind that occurs in patients.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom.contrast import Contrast, sample_contrast
from glioseg.data.phantom.sampling import (
    CasePlan,
    Focus,
    HeadPlan,
    TumourPlan,
    sample_head,
    sample_satellite,
    sample_site,
    sample_survival,
    triple,
)

Range = tuple[float, float]


@dataclass(frozen=True)
class Archetype:
    """Distribution of one kind of glioma; ranges are uniform unless stated otherwise.

    Attributes:
        share: share of all cases.
        core_ml, oedema_ml: volumes, log-uniform.
        rim_mm: thickness of the enhancing rim, log-uniform; None without enhancement.
        rim_gaps: share of the rim that does not enhance.
        site: a key of `SITES`, or None for the lobes in which gliomas are most frequent.
        foci: number of foci.
        cyst_share: share of the non-enhancing core that is a cyst.
        haemorrhage: probability of blood products.
        resected_share: share of the core that was resected.
        infiltration: speed at which oedema spreads in grey matter, log-uniform.
    """

    share: float
    core_ml: Range
    oedema_ml: Range
    rim_mm: Range | None
    rim_gaps: Range = (0.0, 0.15)
    site: str | None = None
    foci: tuple[int, int] = (1, 1)
    cyst_share: Range = (0.0, 0.0)
    haemorrhage: float = 0.25
    resected_share: Range = (0.0, 0.0)
    infiltration: Range = (0.08, 0.9)


SITES: dict[str, tuple[Range, Range, Range]] = {
    "base": ((18.0, 45.0), (-10.0, 45.0), (-34.0, -12.0)),
    "ventricle": ((3.0, 18.0), (-45.0, 28.0), (8.0, 30.0)),
    "anywhere": ((4.0, 55.0), (-88.0, 58.0), (-28.0, 62.0)),
}
"""Boxes of |x|, y and z in MNI mm: skull base; beside the ventricles and corpus callosum; cerebrum."""

ARCHETYPES = {
    "ring": Archetype(0.33, (12.0, 150.0), (12.0, 200.0), (2.2, 9.0)),
    "solid": Archetype(0.15, (5.0, 80.0), (8.0, 160.0), (8.0, 30.0), rim_gaps=(0.0, 0.2)),
    "non_enhancing": Archetype(
        0.08, (12.0, 180.0), (2.0, 90.0), None, site="anywhere", cyst_share=(0.0, 0.2)
    ),
    "faint": Archetype(0.06, (12.0, 150.0), (8.0, 110.0), (1.4, 5.0), rim_gaps=(0.4, 0.97), site="anywhere"),
    "diffuse": Archetype(
        0.08, (14.0, 190.0), (70.0, 240.0), (1.4, 6.0), (0.2, 0.97), site="anywhere", infiltration=(0.3, 1.0)
    ),
    "oedematous": Archetype(0.09, (1.5, 30.0), (30.0, 230.0), (2.0, 8.0), rim_gaps=(0.0, 0.3)),
    "multifocal": Archetype(0.07, (4.0, 45.0), (10.0, 110.0), (2.0, 8.0), foci=(2, 4)),
    "base": Archetype(0.03, (5.0, 75.0), (8.0, 110.0), (2.0, 8.0), site="base"),
    "ventricle": Archetype(0.05, (5.0, 80.0), (8.0, 130.0), (2.0, 8.0), site="ventricle"),
    "cystic": Archetype(0.04, (10.0, 110.0), (3.0, 60.0), (1.5, 5.0), (0.1, 0.6), cyst_share=(0.5, 0.95)),
    "resected": Archetype(0.02, (10.0, 80.0), (5.0, 90.0), (1.8, 5.0), (0.1, 0.6), resected_share=(0.3, 0.8)),
}

TYPICAL_SHARE = 0.1
"""Share of the cases with typical contrasts, with any tumour."""
_SIGNALS: dict[str, dict[str, Range]] = {
    "t1": {
        "csf": (0.18, 0.65), "grey": (0.66, 0.96), "dura": (0.1, 1.0),
        "ncr": (0.42, 1.12), "ed": (0.60, 1.10), "et": (0.60, 1.12),
    },
    "t1ce": {
        "csf": (0.20, 0.72), "grey": (0.62, 0.95), "dura": (0.3, 5.0),
        "ncr": (0.40, 1.10), "ed": (0.60, 1.08), "et": (1.1, 2.4),
    },
    "t2": {
        "csf": (1.3, 7.5), "grey": (0.65, 1.75), "dura": (0.1, 0.8),
        "ncr": (0.7, 1.75), "ed": (1.02, 2.7), "et": (0.65, 1.4),
    },
    "flair": {
        "csf": (0.12, 0.5), "grey": (0.82, 1.65), "dura": (0.1, 2.2),
        "ncr": (0.45, 1.7), "ed": (1.05, 2.8), "et": (0.55, 1.5),
    },
}  # fmt: skip
"""Ranges of the signals relative to white matter, log-uniform; `_RELATIVE_TO` lists exceptions.

With them, each contrast that was measured on thirteen labelled real cases is well inside what is drawn; see
docs/phantoms-vs-real.md."""
_RELATIVE_TO = {
    ("t2", "ed"): ("white", "grey"), ("t2", "ncr"): ("ed",), ("t2", "et"): ("ed",),
    ("flair", "ed"): ("white", "grey"), ("flair", "ncr"): ("ed",), ("flair", "et"): ("ed",),
    ("t1ce", "et"): ("white", "ed", "ncr"),
}  # fmt: skip
"""Signals relative to the brightest of other tissues, in the order in which they are sampled.

Oedema is brighter than white and grey matter. The core differs less from oedema than from white matter, and
on T2 it is seldom darker. Enhancing tumour is brighter than all around it, or nothing would show it."""
_MAX_CORE_VARIATION = {"t1": 0.15, "t1ce": 0.15, "t2": 0.4, "flair": 0.4}
"""Largest `core_variation`: the non-enhancing core is a mixture of necrosis, debris and living tumour."""
_HETEROGENEITY: dict[str, Range] = {
    "t1": (0.1, 1.2), "t1ce": (0.15, 2.5), "t2": (0.12, 2.5), "flair": (0.12, 2.0),
}  # fmt: skip
_MAX_PARENCHYMA_TEXTURE = {"t1": 0.02, "t1ce": 0.05, "t2": 0.24, "flair": 0.12}
_CYST_SIGNAL = {"t1": (0.3, 0.8), "t1ce": (0.3, 0.8), "t2": (2.5, 5.5), "flair": (0.2, 2.2)}
"""Cysts range from cerebrospinal fluid to fluid rich in protein."""
_T2_FLAIR_MISMATCH = (0.4, 1.1)
"""FLAIR signal of a solid core that is dark although it is bright on T2: the T2-FLAIR mismatch sign."""


def sample_randomised_plan(rng: np.random.Generator, archetype: str | None = None) -> CasePlan:
    """Random plan of a domain-randomised case.

    Args:
        rng: random generator.
        archetype: a key of `ARCHETYPES`; sampled by share if None.
    """
    tumour = sample_tumour_of(ARCHETYPES[archetype or sample_archetype(rng)], rng)
    grade = "HGG" if tumour.enhancing else "LGG"
    age = round(float(rng.uniform(18, 88)), 1)
    head = _widen(sample_head(rng, age), rng)
    if rng.random() < TYPICAL_SHARE:
        contrasts = {name: sample_contrast(name, enhancing=tumour.enhancing, rng=rng) for name in MODALITIES}
    else:
        contrasts = {name: sample_wide_contrast(name, tumour, rng) for name in MODALITIES}
    return CasePlan(grade, age, sample_survival(rng, grade, age, tumour), head, tumour, contrasts)


def _widen(head: HeadPlan, rng: np.random.Generator) -> HeadPlan:
    """A head that differs more from the template: tilted, with more lesions and remnants of dura."""
    return replace(
        head,
        scale=triple(np.array(head.scale) * rng.uniform(0.93, 1.07, 3)),
        angles_rad=triple(np.array(head.angles_rad) + rng.normal(0, np.deg2rad(4), 3)),
        elastic_mm=triple(rng.uniform([2.0, 1.0, 0.4], [5.0, 2.4, 1.2])),
        ventricle_growth=float(np.clip(head.ventricle_growth + rng.normal(0, 0.2), -0.4, 0.8)),
        lesion_load=float(rng.uniform(0, 2.0)) if rng.random() < 0.3 else head.lesion_load,
        skull_remnants=float(rng.uniform(0.3, 2.0)) if rng.random() < 0.25 else 0.0,
        sinus_mm2=_log_uniform(rng, (3.0, 60.0)),
    )


def sample_wide_contrast(modality: str, tumour: TumourPlan, rng: np.random.Generator) -> Contrast:
    """Random wide contrast of one modality; 4 % are of low quality: noise, and slices of 6 mm or more."""
    contrast = sample_contrast(modality, enhancing=tumour.enhancing, rng=rng)
    low_quality = rng.random() < 0.04
    return replace(
        contrast,
        signal=_signals(modality, tumour, rng),
        slice_thickness_mm=_thickness_mm(rng, low_quality=low_quality),
        slice_axis=int(rng.choice([0, 1, 2], p=[0.15, 0.15, 0.7])),
        blur_mm=float(rng.uniform(0.3, 2.1)),
        noise=float(rng.uniform(0.1, 0.3)) if low_quality else _log_uniform(rng, (0.004, 0.08)),
        bias_field=float(rng.uniform(0.03, 0.2)),
        contrast_uptake=_log_uniform(rng, (0.1, 5.0)) if modality == "t1ce" else 0.0,
        lesion=contrast.lesion * float(rng.uniform(0.3, 1.7)),
        flow=contrast.flow * float(rng.uniform(0.3, 1.7)),
        blood=contrast.blood * float(rng.uniform(0.3, 1.7)),
        iron=contrast.iron * float(rng.uniform(0.3, 1.7)),
        oedema_opacity=float(rng.uniform(0.6, 1.0)),
        oedema_margin_mm=_log_uniform(rng, (0.8, 5.0)) if rng.random() < 0.9 else 0.0,
        heterogeneity=_log_uniform(rng, _HETEROGENEITY[modality]),
        parenchyma_texture=float(rng.uniform(0.0, _MAX_PARENCHYMA_TEXTURE[modality])),
        enhancement_variation=float(rng.uniform(0.0, 0.4)) if modality == "t1ce" else 0.0,
        core_variation=_MAX_CORE_VARIATION[modality] * float(rng.uniform(-1.0, 1.0)),
        gamma=float(np.exp(rng.normal(0, 0.15))),
        clip_quantile=float(rng.uniform(0.965, 0.999)) if rng.random() < 0.2 else 1.0,
        shift_mm=triple(rng.normal(0, 0.9, 3)) if rng.random() < 0.25 else (0.0, 0.0, 0.0),
    )


def _signals(modality: str, tumour: TumourPlan, rng: np.random.Generator) -> dict[str, float]:
    signal = {name: _log_uniform(rng, ends) for name, ends in _SIGNALS[modality].items()}
    for (of, name), references in _RELATIVE_TO.items():
        if of == modality:
            signal[name] *= max({"white": 1.0, **signal}[reference] for reference in references)
    if modality == "flair" and not tumour.enhancing and rng.random() < 0.3:
        signal["ncr"] = float(rng.uniform(*_T2_FLAIR_MISMATCH))
    return signal | {"fluid": float(rng.uniform(*_CYST_SIGNAL[modality]))}


def _thickness_mm(rng: np.random.Generator, *, low_quality: bool) -> float:
    if low_quality:
        return float(rng.uniform(6.0, 10.0))
    return float(rng.uniform(2.0, 7.0)) if rng.random() < 0.5 else 1.0


def sample_archetype(rng: np.random.Generator) -> str:
    """Random kind of glioma, by share."""
    shares = [archetype.share for archetype in ARCHETYPES.values()]
    return str(rng.choice(list(ARCHETYPES), p=shares))


def sample_tumour_of(archetype: Archetype, rng: np.random.Generator) -> TumourPlan:
    """Random tumour of an archetype.

    >>> ring = sample_tumour_of(ARCHETYPES["ring"], np.random.default_rng(0))
    >>> 12 <= ring.core_ml <= 150, len(ring.foci)
    (True, 1)
    """
    main = Focus(
        triple(_site(archetype.site, rng)),
        core_ml=_log_uniform(rng, archetype.core_ml),
        oedema_ml=_log_uniform(rng, archetype.oedema_ml),
        rim_mm=_log_uniform(rng, archetype.rim_mm) if archetype.rim_mm else 0.0,
    )
    count = int(rng.integers(archetype.foci[0], archetype.foci[1] + 1))
    return TumourPlan(
        foci=(main, *(sample_satellite(rng, main) for _ in range(count - 1))),
        lobulation=float(rng.uniform(0.0, 1.0) ** 3),
        rim_variation=float(rng.uniform(0.1, 0.7)),
        rim_gaps=float(rng.uniform(*archetype.rim_gaps)),
        haemorrhage=bool(rng.random() < archetype.haemorrhage),
        mass_effect=float(rng.uniform(0.05, 0.6)),
        cyst_share=float(rng.uniform(*archetype.cyst_share)),
        resected_share=float(rng.uniform(*archetype.resected_share)),
        infiltration=_log_uniform(rng, archetype.infiltration),
        nodule_threshold=float(rng.uniform(1.7, 3.0)),
        roundness=float(rng.uniform(0.0, 0.9)),
        gap_mm=float(rng.uniform(2.0, 10.0)) if rng.random() < 0.75 else 0.0,
    )


def _site(name: str | None, rng: np.random.Generator) -> NDArray[np.float64]:
    if name is None:
        return sample_site(rng)
    site = np.array([rng.uniform(*edges) for edges in SITES[name]])
    site[0] *= rng.choice([-1, 1])
    return site


def _log_uniform(rng: np.random.Generator, ends: Range) -> float:
    low, high = np.log(ends)
    return float(np.exp(rng.uniform(low, high)))
