"""Kinds of glioma, as numbers: how often each is drawn, how large, where, and what is in it.

The shares follow what BraTS holds (Menze et al. 2015; Baid et al. 2021) with the rare kinds raised: a
network learns from a kind that it sees, and each of these is somebody's scan.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glioseg.data.phantom.sampling import Focus, TumourPlan, draw_site, satellite, triple

Range = tuple[float, float]


@dataclass(frozen=True)
class Archetype:
    """One kind of glioma; of every range a number is drawn.

    Attributes:
        share: of all cases.
        core_ml, oedema_ml: volume, log-uniform.
        rim_mm: thickness of what enhances at a core's surface, log-uniform; None where nothing enhances.
        gaps: share of the rim that does not enhance.
        site: a name of `SITES`, or None for the lobes where gliomas mostly sit.
        foci: how many.
        fluid: share of what does not enhance that is a cyst.
        bleeding: chance of blood products.
        cavity: share of the core that was taken out.
    """

    share: float
    core_ml: Range
    oedema_ml: Range
    rim_mm: Range | None
    gaps: Range = (0.0, 0.15)
    site: str | None = None
    foci: tuple[int, int] = (1, 1)
    fluid: Range = (0.0, 0.0)
    bleeding: float = 0.25
    cavity: Range = (0.0, 0.0)


SITES: dict[str, tuple[Range, Range, Range]] = {
    "base": ((18.0, 45.0), (-10.0, 45.0), (-34.0, -12.0)),
    "ventricle": ((3.0, 18.0), (-45.0, 28.0), (8.0, 30.0)),
    "anywhere": ((8.0, 55.0), (-88.0, 58.0), (-28.0, 62.0)),
}
"""Boxes of |x|, y and z in MNI mm: the skull base, beside the ventricles and the corpus callosum."""

ARCHETYPES = {
    "ring": Archetype(0.38, (4.0, 95.0), (8.0, 140.0), (1.8, 6.5)),
    "solid": Archetype(0.11, (1.5, 60.0), (5.0, 110.0), (8.0, 30.0), gaps=(0.0, 0.3)),
    "non_enhancing": Archetype(0.10, (8.0, 130.0), (2.0, 50.0), None, site="anywhere", fluid=(0.0, 0.2)),
    "faint": Archetype(0.06, (8.0, 110.0), (5.0, 60.0), (1.2, 3.0), gaps=(0.4, 0.9), site="anywhere"),
    "oedematous": Archetype(0.11, (0.6, 6.0), (30.0, 150.0), (1.5, 5.0), gaps=(0.0, 0.4)),
    "multifocal": Archetype(0.08, (3.0, 40.0), (8.0, 80.0), (1.8, 6.0), foci=(2, 4)),
    "base": Archetype(0.05, (4.0, 70.0), (5.0, 80.0), (1.8, 6.0), site="base"),
    "ventricle": Archetype(0.05, (4.0, 80.0), (5.0, 90.0), (1.8, 6.0), site="ventricle"),
    "cystic": Archetype(0.04, (10.0, 110.0), (3.0, 60.0), (1.2, 4.0), gaps=(0.1, 0.6), fluid=(0.5, 0.95)),
    "resected": Archetype(0.02, (10.0, 80.0), (5.0, 90.0), (1.8, 5.0), gaps=(0.1, 0.6), cavity=(0.3, 0.8)),
}


def draw_archetype(rng: np.random.Generator) -> str:
    """Draw a kind of glioma by its share."""
    shares = [kind.share for kind in ARCHETYPES.values()]
    return str(rng.choice(list(ARCHETYPES), p=shares))


def draw_tumour_of(kind: Archetype, rng: np.random.Generator) -> TumourPlan:
    """Draw a tumour of a kind.

    >>> ring = draw_tumour_of(ARCHETYPES["ring"], np.random.default_rng(0))
    >>> 4 <= ring.core_ml <= 95, len(ring.foci)
    (True, 1)
    """
    main = Focus(
        triple(_site(kind.site, rng)),
        core_ml=_log_uniform(rng, kind.core_ml),
        oedema_ml=_log_uniform(rng, kind.oedema_ml),
        rim_mm=_log_uniform(rng, kind.rim_mm) if kind.rim_mm else 0.0,
    )
    count = int(rng.integers(kind.foci[0], kind.foci[1] + 1))
    return TumourPlan(
        foci=(main, *(satellite(rng, main) for _ in range(count - 1))),
        lobulation=float(rng.uniform(0.0, 1.0) ** 2),
        rim_variation=float(rng.uniform(0.1, 0.7)),
        gaps=float(rng.uniform(*kind.gaps)),
        bleeding=bool(rng.random() < kind.bleeding),
        push=float(rng.uniform(0.05, 0.6)),
        fluid=float(rng.uniform(*kind.fluid)),
        cavity=float(rng.uniform(*kind.cavity)),
    )


def _site(name: str | None, rng: np.random.Generator) -> NDArray[np.float64]:
    if name is None:
        return draw_site(rng)
    site = np.array([rng.uniform(*edges) for edges in SITES[name]])
    site[0] *= rng.choice([-1, 1])
    return site


def _log_uniform(rng: np.random.Generator, ends: Range) -> float:
    low, high = np.log(ends)
    return float(np.exp(rng.uniform(low, high)))
