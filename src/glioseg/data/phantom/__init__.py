"""The built-in cohort: brain scans with gliomas, synthesised from a template, the same for each seed.

No patient's data is needed: the anatomy comes from the MNI152 maps that nilearn ships, and the
tumours and the look of the scans are drawn at random. `plan` and `looks` draw numbers; `template`,
`anatomy` and `tumour` turn them into shapes, `scan` into scans.

The same index and seed give the same bytes on CPUs of one kind (checked over BLAS kernels and numbers
of threads); an older instruction set can round a few voxels otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, UInt8
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.core.geometry import paste
from glioseg.data.phantom import rendering
from glioseg.data.phantom.anatomy import Push, build_anatomy, to_work_mm
from glioseg.data.phantom.domain_randomisation import draw_randomised_plan
from glioseg.data.phantom.grid import FINE, GRID, WORK, Canvas
from glioseg.data.phantom.sampling import CasePlan, draw_plan
from glioseg.data.phantom.tumour import CAVITY, grow, radius_mm
from glioseg.params.sections import PhantomPreset as Preset

__all__ = ["PhantomCase", "make_case", "name_of", "plan_case", "render_plan"]

DrawPlan = Callable[[np.random.Generator], CasePlan]
PLANS: dict[Preset, DrawPlan] = {
    "typical": draw_plan,
    "domain_randomised": draw_randomised_plan,
}
"""How the patients of a cohort are drawn, by the cohort's preset."""

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


def plan_case(*, index: int, seed: int, preset: Preset = "typical") -> CasePlan:
    """What a case will be, without rendering it; `make_case` uses the same plan."""
    return PLANS[preset](_streams(index, seed)[0])


def make_case(*, index: int, seed: int, preset: Preset = "typical") -> PhantomCase:
    """Render one case; the same index and seed give the same bytes, whatever other cases exist.

    Args:
        index: which case of the cohort, 0 or more.
        seed: which cohort.
        preset: a name of `PLANS`.
    """
    plan, drawn = draw_case(index=index, seed=seed, plans=PLANS[preset], canvas=FINE)
    return PhantomCase(
        case=name_of(index),
        images={name: paste(image, WORK, GRID) for name, image in drawn.images.items()},
        segmentation=paste(drawn.labels, WORK, GRID),
        affine=_AFFINE.copy(),
        grade=plan.grade,
        age=plan.age,
        survival_days=plan.survival_days,
    )


@dataclass(frozen=True)
class Drawn:
    """A plan as voxels in the working box: modality to scan (0 outside the brain), and BraTS 2021 labels."""

    images: dict[str, Int16[NDArray, "d h w"]]
    labels: UInt8[NDArray, "d h w"]


def draw_case(*, index: int, seed: int, plans: DrawPlan, canvas: Canvas) -> tuple[CasePlan, Drawn]:
    """Plan a case by one of `PLANS`, or another function, and draw it on a canvas; see `make_case`."""
    plan_rng, *rngs = _streams(index, seed)
    plan = plans(plan_rng)
    # Cases are rendered side by side in processes; BLAS threads on top would only fight for cores.
    with threadpool_limits(1, user_api="blas"):
        return plan, draw(plan, rngs=rngs, canvas=canvas)


def draw(plan: CasePlan, *, rngs: Sequence[np.random.Generator], canvas: Canvas) -> Drawn:
    """Turn a plan, drawn or written by hand, into volumes.

    Args:
        plan: what the case will be.
        rngs: three sources, of the anatomy, the tumour and the scans.
        canvas: the grid to draw on.
    """
    head_rng, tumour_rng, scan_rng = rngs
    foci, share = plan.tumour.foci, plan.tumour.push
    centres = [to_work_mm(plan.head, focus.site_mm) for focus in foci]
    radii = [radius_mm(focus.core_ml) for focus in foci]
    pushes = [Push(c, r, share * r) for c, r in zip(centres, radii, strict=True)]
    brain = build_anatomy(plan.head, pushes=pushes, rng=head_rng, canvas=canvas)
    labels = grow(plan.tumour, brain, centres_mm=centres, rng=tumour_rng)
    scene = rendering.build_scene(brain, labels, head=plan.head, tumour=plan.tumour, rng=scan_rng)
    images = {name: rendering.render(look, scene, scan_rng) for name, look in plan.looks.items()}
    labels[labels == CAVITY] = 0
    return Drawn(images, labels)


def _streams(index: int, seed: int) -> list[np.random.Generator]:
    """Independent streams for plan, head, tumour and scans: a change in one leaves the others."""
    return np.random.default_rng([seed, index]).spawn(4)
