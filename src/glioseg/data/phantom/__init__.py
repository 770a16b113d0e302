"""The built-in cohort: brain scans with gliomas, synthesised from a template, the same for each seed.

No patient's data is needed: the anatomy comes from the MNI152 maps that nilearn ships, and the
tumours and the look of the scans are drawn at random. `plan` and `looks` draw numbers; `template`,
`anatomy` and `tumour` turn them into shapes, `scan` into scans.

The same index and seed give the same bytes on CPUs of one kind (checked over BLAS kernels and numbers
of threads); an older instruction set can round a few voxels otherwise.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, UInt8
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.data.phantom import scan
from glioseg.data.phantom.anatomy import GRID, WORK, build_anatomy, to_work_vox
from glioseg.data.phantom.plan import CasePlan, draw_plan
from glioseg.data.phantom.tumour import grow, radius_mm
from glioseg.geometry import paste

__all__ = ["PhantomCase", "make_case", "name_of", "plan_case", "render_plan"]

_PUSH = 0.3  # how far a core's surface displaces its surroundings, as a share of its radius

_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
"""Voxel to world of every BraTS scan: axes run to the left, posterior and superior, 1 mm a voxel."""


@dataclass(frozen=True)
class PhantomCase:
    """One synthetic patient in the form of a BraTS case.

    Attributes:
        case: its name, e.g. "phantom_0001".
        images: modality to (240, 240, 155) int16, LPS, 1 mm, background exactly 0.
        segmentation: (240, 240, 155) uint8; 1 necrosis, 2 oedema, 4 enhancing (BraTS 2021).
        affine: (4, 4), voxel to world in mm.
        grade: "HGG" or "LGG".
        age: years.
        survival_days: days from diagnosis, or None where it is not known.
    """

    case: str
    images: dict[str, Int16[NDArray, "240 240 155"]]
    segmentation: UInt8[NDArray, "240 240 155"]
    affine: Float64[NDArray, "4 4"]
    grade: str
    age: float
    survival_days: float | None


def name_of(index: int) -> str:
    """The name of a case.

    >>> name_of(7)
    'phantom_0007'
    """
    return f"phantom_{index:04d}"


def plan_case(*, index: int, seed: int) -> CasePlan:
    """What a case will be, without rendering it; `make_case` uses the same plan."""
    return draw_plan(_streams(index, seed)[0])


def make_case(*, index: int, seed: int) -> PhantomCase:
    """Render one case; the same index and seed give the same bytes, whatever other cases exist.

    Args:
        index: which case of the cohort, 0 or more.
        seed: which cohort.
    """
    plan_rng, *render_rngs = _streams(index, seed)
    # Cases are rendered side by side in processes; BLAS threads on top would only fight for cores.
    with threadpool_limits(1, user_api="blas"):
        return render_plan(draw_plan(plan_rng), case=name_of(index), rngs=render_rngs)


def render_plan(plan: CasePlan, *, case: str, rngs: list[np.random.Generator]) -> PhantomCase:
    """Turn a plan, drawn or written by hand, into volumes.

    Args:
        plan: what the case will be.
        case: its name.
        rngs: three sources, of the anatomy, the tumour and the scans.
    """
    head_rng, tumour_rng, scan_rng = rngs
    foci = plan.tumour.foci
    centres = [to_work_vox(plan.head, focus.site_mm) for focus in foci]
    radii = [radius_mm(focus.core_ml) for focus in foci]
    pushes = [(c, r, _PUSH * r) for c, r in zip(centres, radii, strict=True)]
    brain = build_anatomy(plan.head, pushes=pushes, rng=head_rng)
    labels = grow(plan.tumour, brain, centres_vox=centres, rng=tumour_rng)
    scene = scan.build_scene(brain, labels, head=plan.head, tumour=plan.tumour, rng=scan_rng)
    return PhantomCase(
        case=case,
        images={
            name: paste(scan.render(look, scene, scan_rng), WORK, GRID) for name, look in plan.looks.items()
        },
        segmentation=paste(labels, WORK, GRID),
        affine=_AFFINE.copy(),
        grade=plan.grade,
        age=plan.age,
        survival_days=plan.survival_days,
    )


def _streams(index: int, seed: int) -> list[np.random.Generator]:
    """Independent streams for plan, head, tumour and scans: a change in one leaves the others."""
    return np.random.default_rng([seed, index]).spawn(4)
