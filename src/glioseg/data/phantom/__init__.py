"""Synthetic BraTS cases: brain scans with gliomas, rendered from a template and reproducible by seed.

A phantom contains no patient data: its anatomy is the MNI152 template that nilearn ships, and the tumour and
the contrast of the scans are random. `sampling` and `domain_randomisation` sample the parameters of a case,
`anatomy` and `tumour` turn them into label maps, and `rendering` turns those into scans.

The same index and seed give the same bytes on CPUs of one kind (checked over BLAS kernels and numbers of
threads); CPUs with an older instruction set may round a few voxels differently.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, UInt8
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.core.geometry import paste
from glioseg.data.phantom.anatomy import MassEffect, build_anatomy, mni_to_box_mm
from glioseg.data.phantom.domain_randomisation import sample_randomised_plan
from glioseg.data.phantom.grid import BRAIN_BOX, BRATS_SHAPE, GRID_1MM, PhantomGrid
from glioseg.data.phantom.rendering import build_scene, render_scan
from glioseg.data.phantom.sampling import CasePlan, sample_case_plan
from glioseg.data.phantom.tumour import CAVITY, grow_tumour, sphere_radius_mm
from glioseg.params.sections import PhantomPreset as Preset

__all__ = ["PhantomCase", "case_name", "make_case", "plan_case", "render_case", "render_plan"]

PlanSampler = Callable[[np.random.Generator], CasePlan]
PLAN_SAMPLERS: dict[Preset, PlanSampler] = {
    "typical": sample_case_plan,
    "domain_randomised": sample_randomised_plan,
}
"""The function that samples the cases of a cohort, by `phantom.preset`."""

_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
"""Voxel-to-world matrix of every BraTS scan: axes point left, posterior and superior, voxels of 1 mm."""


@dataclass(frozen=True)
class PhantomCase:
    """One synthetic case in the format of BraTS.

    Attributes:
        case: name of the case, e.g. "phantom_0001".
        images: modality to (240, 240, 155) int16, LPS, 1 mm, background exactly 0.
        segmentation: (240, 240, 155) uint8; 1 necrosis, 2 oedema, 4 enhancing (BraTS 2021).
        affine: (4, 4), voxel to world in mm.
        grade: "HGG" or "LGG".
        age: years.
        survival_days: days from diagnosis, or None if not known.
    """

    case: str
    images: dict[str, Int16[NDArray, "240 240 155"]]
    segmentation: UInt8[NDArray, "240 240 155"]
    affine: Float64[NDArray, "4 4"]
    grade: str
    age: float
    survival_days: float | None


def case_name(index: int) -> str:
    """Name of a case.

    >>> case_name(7)
    'phantom_0007'
    """
    return f"phantom_{index:04d}"


def plan_case(*, index: int, seed: int, preset: Preset = "typical") -> CasePlan:
    """Parameters of a case, without rendering it; `make_case` uses the same plan."""
    return PLAN_SAMPLERS[preset](_generators(index, seed)[0])


def make_case(*, index: int, seed: int, preset: Preset = "typical") -> PhantomCase:
    """Render one case at 1 mm; it depends only on its index and the seed, not on other cases of the cohort.

    Args:
        index: number of the case in the cohort, from 0.
        seed: of the cohort.
        preset: a key of `PLAN_SAMPLERS`.
    """
    plan, phantom = render_case(index=index, seed=seed, sample_plan=PLAN_SAMPLERS[preset], grid=GRID_1MM)
    return PhantomCase(
        case=case_name(index),
        images={name: paste(image, BRAIN_BOX, BRATS_SHAPE) for name, image in phantom.images.items()},
        segmentation=paste(phantom.labels, BRAIN_BOX, BRATS_SHAPE),
        affine=_AFFINE.copy(),
        grade=plan.grade,
        age=plan.age,
        survival_days=plan.survival_days,
    )


@dataclass(frozen=True)
class RenderedPhantom:
    """Voxels of a case in `BRAIN_BOX`: a scan of each modality (0 outside the brain), BraTS 2021 labels."""

    images: dict[str, Int16[NDArray, "d h w"]]
    labels: UInt8[NDArray, "d h w"]


def render_case(
    *, index: int, seed: int, sample_plan: PlanSampler, grid: PhantomGrid
) -> tuple[CasePlan, RenderedPhantom]:
    """Sample the plan of a case and render it.

    Args:
        index: number of the case in the cohort, from 0.
        seed: of the cohort.
        sample_plan: a value of `PLAN_SAMPLERS`, or another function of that type.
        grid: voxels to render.
    """
    plan_rng, *rngs = _generators(index, seed)
    plan = sample_plan(plan_rng)
    # Cases are rendered in parallel processes; BLAS threads in each of them would compete for the cores.
    with threadpool_limits(1, user_api="blas"):
        return plan, render_plan(plan, rngs=rngs, grid=grid)


def render_plan(plan: CasePlan, *, rngs: Sequence[np.random.Generator], grid: PhantomGrid) -> RenderedPhantom:
    """Render the scans and the label map of a plan.

    Args:
        plan: parameters of the case, sampled or set by hand.
        rngs: three random generators, for the anatomy, the tumour and the scans.
        grid: voxels to render.
    """
    head_rng, tumour_rng, scan_rng = rngs
    foci, displacement = plan.tumour.foci, plan.tumour.mass_effect
    centres = [mni_to_box_mm(plan.head, focus.site_mm) for focus in foci]
    radii = [sphere_radius_mm(focus.core_ml) for focus in foci]
    mass_effects = [MassEffect(c, r, displacement * r) for c, r in zip(centres, radii, strict=True)]
    anatomy = build_anatomy(plan.head, mass_effects=mass_effects, rng=head_rng, grid=grid)
    labels = grow_tumour(plan.tumour, anatomy, centres_mm=centres, rng=tumour_rng)
    scene = build_scene(anatomy, labels, head=plan.head, tumour=plan.tumour, rng=scan_rng)
    images = {name: render_scan(contrast, scene, scan_rng) for name, contrast in plan.contrasts.items()}
    labels[labels == CAVITY] = 0
    return RenderedPhantom(images, labels)


def _generators(index: int, seed: int) -> list[np.random.Generator]:
    """Independent random generators for plan, head, tumour and scans; one does not affect the others."""
    return np.random.default_rng([seed, index]).spawn(4)
