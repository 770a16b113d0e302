"""Random parameters of synthetic cases, without their rendering.

Sampling a plan takes microseconds, so a cohort can be described without rendering a voxel.
The distributions follow the BraTS training sets (Menze et al. 2015; Bakas et al. 2017): about three
HGG to one LGG, HGG older, most LGG without enhancement, whole tumours of 20 to 200 ml.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom.contrast import Contrast, sample_contrast

# (probability, |x|, y, z in MNI mm): white matter of each lobe, the most frequent sites of gliomas
# (Larjavaara et al. 2007: frontal, then temporal, parietal, insular, occipital).
_SITES_MM = (
    (0.38, 26.0, 32.0, 18.0),
    (0.24, 42.0, -16.0, -14.0),
    (0.20, 30.0, -42.0, 34.0),
    (0.10, 34.0, 4.0, 6.0),
    (0.08, 26.0, -72.0, 8.0),
)
_SITE_SPREAD_MM = 9.0


@dataclass(frozen=True)
class Focus:
    """One tumour focus.

    Attributes:
        site_mm: (x, y, z) in MNI space; x < 0 is the patient's left.
        core_ml: volume of the tumour core (necrosis, non-enhancing and enhancing tumour).
        oedema_ml: volume of the oedema around the core.
        rim_mm: median thickness of the enhancing rim; 0 without enhancement.
    """

    site_mm: tuple[float, float, float]
    core_ml: float
    oedema_ml: float
    rim_mm: float


@dataclass(frozen=True)
class TumourPlan:
    """The tumour of one case.

    Attributes:
        foci: largest first.
        lobulation: 0 for a round core, 1 for a ragged one.
        rim_variation: log standard deviation of the rim's thickness.
        rim_gaps: share of the rim that does not enhance.
        haemorrhage: whether the core contains blood products.
        mass_effect: displacement of tissue at a core's surface, as a share of the core's radius.
        cyst_share: share of the non-enhancing core that is a cyst.
        resected_share: share of the core that was resected; the cavity holds fluid and has no label.
        infiltration: speed at which oedema spreads in grey matter, relative to white matter. Vasogenic oedema
            spares the cortex; infiltrating tumour, which has the same label, does not.
        roundness: 0 for cores that follow the tissue, 1 for spheres around their seeds.
        gap_mm: width of the gaps in core and oedema that have their labels, e.g. sulci between invaded gyri.
        nodule_threshold: noise, in standard deviations, above which the inside of a core enhances.
    """

    foci: tuple[Focus, ...]
    lobulation: float
    rim_variation: float
    rim_gaps: float
    haemorrhage: bool
    mass_effect: float = 0.3
    cyst_share: float = 0.0
    resected_share: float = 0.0
    infiltration: float = 0.13
    nodule_threshold: float = 1.9
    roundness: float = 0.0
    gap_mm: float = 0.0

    @property
    def enhancing(self) -> bool:
        """Whether any focus has an enhancing rim."""
        return any(focus.rim_mm > 0 for focus in self.foci)

    @property
    def core_ml(self) -> float:
        """Planned core volume of all foci together."""
        return sum(focus.core_ml for focus in self.foci)


@dataclass(frozen=True)
class HeadPlan:
    """Transformation of the template into the head of a case.

    Attributes:
        scale: template mm to head mm along left, posterior and superior.
        angles_rad: rotation about those axes.
        centre_vox: position of the brain's centre in the 240 x 240 x 155 grid.
        elastic_mm: standard deviation of the warp at 40, 16 and 8 mm.
        ventricle_growth: relative growth of the ventricles, -0.3 to 0.5.
        atrophy: 0 for a young brain that fills its skull, 1 for wide sulci.
        lesion_load: amount of age-related white-matter hyperintensity.
        skull_remnants: amount of dura that skull-stripping left on the brain; 0 for the usual film.
        sinus_mm2: squared width of the sagittal sinus, whose signal falls off as exp(−distance² / sinus_mm2).
    """

    scale: tuple[float, float, float]
    angles_rad: tuple[float, float, float]
    centre_vox: tuple[float, float, float]
    elastic_mm: tuple[float, float, float]
    ventricle_growth: float
    atrophy: float
    lesion_load: float
    skull_remnants: float = 0.0
    sinus_mm2: float = 5.0


@dataclass(frozen=True)
class CasePlan:
    """Parameters of one case; `contrasts` has one entry for each modality."""

    grade: str
    age: float
    survival_days: float | None
    head: HeadPlan
    tumour: TumourPlan
    contrasts: dict[str, Contrast]


def sample_case_plan(rng: np.random.Generator) -> CasePlan:
    """Random plan of a typical case: grade, age, head, tumour, and a survival that depends on them."""
    grade = "HGG" if rng.random() < 0.77 else "LGG"
    mean_age, spread = (60.0, 11.0) if grade == "HGG" else (43.0, 12.0)
    age = round(float(np.clip(rng.normal(mean_age, spread), 19, 87)), 1)
    head, tumour = sample_head(rng, age), sample_tumour(rng, grade)
    survival_days = sample_survival(rng, grade, age, tumour)
    contrasts = {name: sample_contrast(name, enhancing=tumour.enhancing, rng=rng) for name in MODALITIES}
    return CasePlan(grade, age, survival_days, head, tumour, contrasts)


def sample_head(rng: np.random.Generator, age: float) -> HeadPlan:
    """Random shape of a head; older brains have wider sulci, wider ventricles and more lesions."""
    old = float(np.clip((age - 25) / 55 + rng.normal(0, 0.15), 0, 1))
    size = 0.93 * np.clip(rng.normal(1, 0.016), 0.95, 1.04)
    scale = size * np.clip(rng.normal(1, 0.02, 3), 0.96, 1.04)
    angles = np.deg2rad(np.clip(rng.normal(0, [4.0, 2.0, 2.0]), -9, 9))
    centre = np.array([117.5, 124.0, 71.0]) + rng.uniform([-3, -3, -5], [3, 3, 5])
    return HeadPlan(
        scale=triple(scale),
        angles_rad=triple(angles),
        centre_vox=triple(centre),
        elastic_mm=triple(rng.uniform([2.2, 1.0, 0.5], [3.8, 1.7, 0.9])),
        ventricle_growth=float(np.clip(rng.normal(0.5 * old - 0.15, 0.12), -0.3, 0.5)),
        atrophy=old,
        lesion_load=float(np.clip(old * rng.gamma(2.0, 0.5), 0, 1.4)),
    )


def sample_tumour(rng: np.random.Generator, grade: str) -> TumourPlan:
    """Random foci and their irregularity; LGG seldom enhances and has little oedema."""
    high = grade == "HGG"
    enhancing = bool(rng.random() < (0.97 if high else 0.18))
    count = 1 + (int(rng.integers(1, 4)) if rng.random() < (0.16 if high else 0.04) else 0)
    main = _sample_focus(rng, high, enhancing)
    others = [sample_satellite(rng, main) for _ in range(count - 1)]
    return TumourPlan(
        foci=(main, *others),
        lobulation=float(rng.uniform(0.1, 0.8)),
        rim_variation=float(rng.uniform(0.2, 0.5)),
        rim_gaps=float(rng.uniform(0.0, 0.12) if high else rng.uniform(0.1, 0.4)),
        haemorrhage=bool(rng.random() < (0.25 if high else 0.04)),
    )


def _sample_focus(rng: np.random.Generator, high: bool, enhancing: bool) -> Focus:
    """Random main focus: core and oedema are log-normal, and one in ten is tiny."""
    site = sample_site(rng)
    if rng.random() < 0.1:
        core, oedema = rng.uniform(1.5, 4.0), rng.uniform(2.0, 20.0)
    else:
        core = np.clip(rng.lognormal(np.log(28.0), 0.7), 4.0, 95.0)
        oedema = np.clip(rng.lognormal(np.log(48.0 if high else 18.0), 0.6), 5.0, 140.0)
    # Larger cores have thicker rims; enhancing tumour is about half of a core in BraTS.
    typical_mm = (4.0 if high else 3.0) * (core / 28.0) ** (1 / 6)
    rim = np.clip(typical_mm * rng.lognormal(0, 0.25), 1.8, 6.0)
    return Focus(triple(site), float(core), float(oedema), float(rim) if enhancing else 0.0)


def sample_site(rng: np.random.Generator) -> NDArray[np.float64]:
    """Random site of a glioma: (3,) in MNI mm, in the white matter of a lobe."""
    probability, *coordinates = np.array(_SITES_MM).T
    lobe = rng.choice(len(probability), p=probability / probability.sum())
    site = np.array([axis[lobe] for axis in coordinates]) + rng.normal(0, _SITE_SPREAD_MM, 3)
    site[0] = max(site[0], 12.0) * rng.choice([-1, 1])
    return np.asarray(site)


def sample_satellite(rng: np.random.Generator, main: Focus) -> Focus:
    """Random smaller focus, about 28 to 50 mm from the main one and in the same hemisphere."""
    direction = rng.normal(0, 1, 3)
    site = np.array(main.site_mm) + direction / np.linalg.norm(direction) * rng.uniform(28, 50)
    site = np.clip(site, [-48, -75, -20], [48, 48, 50])
    site[0] = np.copysign(max(abs(site[0]), 12.0), main.site_mm[0])
    share = rng.uniform(0.05, 0.35)
    return Focus(
        triple(site),
        core_ml=max(main.core_ml * share, 0.6),
        oedema_ml=max(main.oedema_ml * share, 2.0),
        rim_mm=main.rim_mm,
    )


def sample_survival(rng: np.random.Generator, grade: str, age: float, tumour: TumourPlan) -> float | None:
    """Random survival in days from diagnosis, known for most HGG and few LGG.

    A log-linear model whose coefficients have the signs found in patients: survival is shorter with age, core
    volume, enhancement and several foci (Lacroix et al. 2001). The residual is log-normal.
    """
    known = rng.random() < (0.85 if grade == "HGG" else 0.2)
    log_days = np.log(430.0 if grade == "HGG" else 1500.0)
    log_days += -0.025 * (age - 58) - 0.3 * np.log(tumour.core_ml / 28.0)
    log_days += -0.25 * tumour.enhancing - 0.25 * (len(tumour.foci) > 1) + rng.normal(0, 0.35)
    return round(float(np.clip(np.exp(log_days), 5, 3650)), 1) if known else None


def triple(values: ArrayLike) -> tuple[float, float, float]:
    """Three numbers as a tuple, for a frozen dataclass."""
    x, y, z = np.asarray(values, float)
    return (float(x), float(y), float(z))
