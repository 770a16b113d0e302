"""Grow a planned tumour in a brain: irregular cores, ragged rims, oedema that follows white matter.

A region is the set of voxels that a growing front reaches first. The front is fast in white matter and stops
at CSF, as in growth models of gliomas (Swanson et al. 2000). In grey matter it is slow for vasogenic oedema,
and nearly as fast for infiltrating tumour, which has the same label. Growth ends at the planned number of
voxels, so the volume is exact.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from glioseg.core.geometry import Box, Shape3
from glioseg.data.phantom.anatomy import Anatomy
from glioseg.data.phantom.grid import PhantomGrid, apply_along_axis, smooth_noise
from glioseg.data.phantom.sampling import Focus, TumourPlan

NCR, ED, ET, CAVITY = 1, 2, 4, 5
_STEP_MM = 2
"""Edge of a voxel of the front's grid, which has an eighth of the voxels of a 1 mm grid."""
_MIN_SPEED = 1e-3
"""Speed outside the brain and the cerebrum; a front needs a speed above 0 everywhere."""


@dataclass(frozen=True)
class FrontSpeed:
    """Speed of a front in grey matter and CSF, relative to white matter."""

    grey: float
    csf: float


_CORE_SPEED = FrontSpeed(grey=0.9, csf=0.4)
_OEDEMA_CSF_SPEED = 0.004


def grow_tumour(
    plan: TumourPlan,
    anatomy: Anatomy,
    *,
    centres_mm: list[NDArray[np.float64]],
    rng: np.random.Generator,
) -> UInt8[NDArray, "d h w"]:
    """Label map of all foci: 0, 1 (necrosis, non-enhancing), 2 (oedema), 4 (enhancing), 5 (cavity).

    Args:
        plan: plan of the tumour.
        anatomy: the brain; not changed.
        centres_mm: (3,) position of each focus in the box; it is moved to the nearest white matter.
        rng: random generator of the irregularity.
    """
    labels = np.zeros(anatomy.brain.shape, np.uint8)
    for focus, centre_mm in zip(plan.foci, centres_mm, strict=True):
        centre = anatomy.grid.to_vox(centre_mm)
        box = _focus_box(centre, focus, anatomy.grid)
        grown = _grow_focus(plan, focus, _crop_anatomy(anatomy, box), centre - box.start, rng)
        # Where two foci overlap, core replaces oedema.
        replaced = _PRIORITY[labels[box.slices]] < _PRIORITY[grown]
        labels[box.slices][replaced] = grown[replaced]
    return labels


_PRIORITY = np.array([0, 2, 1, 0, 3, 4], np.uint8)
"""Priority of each label: where foci overlap, the label with the higher priority is kept."""


@dataclass(frozen=True)
class _LocalAnatomy:
    """The part of a brain around one focus."""

    grid: PhantomGrid
    brain: Bool[NDArray, "d h w"]
    csf: Float32[NDArray, "d h w"]
    grey: Float32[NDArray, "d h w"]
    white: Float32[NDArray, "d h w"]
    cerebrum: Float32[NDArray, "d h w"]
    ventricles: Float32[NDArray, "d h w"]

    @property
    def step_vox(self) -> int:
        """Edge of a voxel of the front's grid."""
        return _STEP_MM // self.grid.voxel_mm

    def noise(self, rng: np.random.Generator, spacing_mm: float) -> Float32[NDArray, "d h w"]:
        """Gaussian noise of unit variance over this part."""
        return smooth_noise(rng, _shape(self.brain), spacing_mm / self.grid.voxel_mm)


def _crop_anatomy(anatomy: Anatomy, box: Box) -> _LocalAnatomy:
    names = ("brain", "csf", "grey", "white", "cerebrum", "ventricles")
    return _LocalAnatomy(anatomy.grid, *(getattr(anatomy, name)[box.slices] for name in names))


def _focus_box(centre: NDArray[np.float64], focus: Focus, grid: PhantomGrid) -> Box:
    """A box with space for the focus, of even size so that blocks of 2 mm fill it."""
    half_width = (1.9 * sphere_radius_mm(focus.core_ml + focus.oedema_ml) + 8) / grid.voxel_mm
    low = [max(int(c - half_width), 0) // 2 * 2 for c in centre]
    high = [min(int(c + half_width), n) // 2 * 2 for c, n in zip(centre, grid.shape, strict=True)]
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def sphere_radius_mm(volume_ml: float) -> float:
    """Radius of the sphere of a volume."""
    return float((volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def _grow_focus(
    plan: TumourPlan,
    focus: Focus,
    local: _LocalAnatomy,
    centre: NDArray[np.float64],
    rng: np.random.Generator,
) -> UInt8[NDArray, "d h w"]:
    """Labels of one focus: first the core, then oedema from its surface, then the rim inside it."""
    core = _grow_core(plan, focus, local, centre, rng)
    oedema_speed = FrontSpeed(grey=plan.infiltration, csf=_OEDEMA_CSF_SPEED)
    oedema_time = _arrival_time(local, core, oedema_speed, 0.45, focus.core_ml + focus.oedema_ml, rng)
    oedema_time *= np.exp(0.06 * local.noise(rng, 3.0))
    oedema = _first_reached(oedema_time, local.brain & (local.csf < 0.4) & ~core, focus.oedema_ml, local)
    oedema = _close_gaps(core | oedema, plan.gap_mm, local) & ~core
    labels = np.where(oedema, ED, 0).astype(np.uint8)
    labels[core] = NCR
    if focus.rim_mm > 0:
        labels[_rim(core, focus.rim_mm, plan, rng, local)] = ET
    labels[_small_components(labels > 0, local)] = 0
    if plan.resected_share:
        labels[_cavity(core, plan.resected_share, rng, local)] = CAVITY
    return labels


def _grow_core(
    plan: TumourPlan,
    focus: Focus,
    local: _LocalAnatomy,
    centre: NDArray[np.float64],
    rng: np.random.Generator,
) -> Bool[NDArray, "d h w"]:
    """The core of one focus: between the shape of a front and, with `plan.roundness`, that of a sphere."""
    seeds = _seeds(local, centre, focus, plan.lobulation, rng)
    time = _arrival_time(local, seeds, _CORE_SPEED, 0.12 + 0.5 * plan.lobulation, focus.core_ml, rng)
    time *= np.exp((0.03 + 0.07 * plan.lobulation) * local.noise(rng, 3.0))
    if plan.roundness:
        distance_mm = ndimage.distance_transform_edt(~seeds, local.grid.voxel_mm) + 1
        time = (time + 1) ** (1 - plan.roundness) * distance_mm.astype(np.float32) ** plan.roundness
    core = _first_reached(time, local.brain & (local.csf < 0.9), focus.core_ml, local)
    core = ndimage.binary_fill_holes(_smooth(core, local))
    return _close_gaps(core, plan.gap_mm, local)


def _close_gaps(mask: Bool[NDArray, "d h w"], gap_mm: float, local: _LocalAnatomy) -> Bool[NDArray, "d h w"]:
    """A mask with its gaps up to a width, such as sulci, which raters outline as part of the tumour."""
    if not gap_mm:
        return mask
    near = ndimage.distance_transform_edt(~mask, local.grid.voxel_mm) <= gap_mm / 2
    closed = ndimage.distance_transform_edt(near, local.grid.voxel_mm) > gap_mm / 2
    return np.asarray(mask | (closed & local.brain & (local.ventricles == 0)))


def _small_components(mask: Bool[NDArray, "d h w"], local: _LocalAnatomy) -> Bool[NDArray, "d h w"]:
    """Components of up to 50 mm³: raters do not outline them, and BraTS does not score them."""
    components, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return np.asarray(mask & (np.bincount(components.ravel())[components] <= local.grid.voxel_count(0.05)))


def _smooth(core: Bool[NDArray, "d h w"], local: _LocalAnatomy) -> Bool[NDArray, "d h w"]:
    """A core without spikes of 1 mm; a core of fewer than 500 voxels is unchanged, as it could vanish."""
    if local.grid.voxel_mm > 1 or np.count_nonzero(core) < 500:
        return core
    return np.asarray(ndimage.binary_opening(core))


def _cavity(
    core: Bool[NDArray, "d h w"], share: float, rng: np.random.Generator, local: _LocalAnatomy
) -> Bool[NDArray, "d h w"]:
    """The resection cavity: the deepest part of a core, up to a share of it."""
    depth_mm = ndimage.distance_transform_edt(core, local.grid.voxel_mm) + local.noise(rng, 8.0)
    return np.asarray(core & (depth_mm > np.quantile(depth_mm[core], 1 - share)))


def _seeds(
    local: _LocalAnatomy,
    centre: NDArray[np.float64],
    focus: Focus,
    lobulation: float,
    rng: np.random.Generator,
) -> Bool[NDArray, "d h w"]:
    """Voxels from which the core grows: white matter near the centre, and four lobes beside it."""
    radius_vox = sphere_radius_mm(focus.core_ml) / local.grid.voxel_mm
    offsets = [np.zeros(3), *rng.normal(0, 0.45 * radius_vox * lobulation, (4, 3))]
    candidates = np.argwhere((local.white > 0.6) & (local.cerebrum > 0.5))
    seeds = np.zeros(local.brain.shape, bool)
    for offset in offsets:
        nearest = np.argmin(np.sum((candidates - centre - offset) ** 2, axis=1))
        seeds[tuple(candidates[nearest])] = True
    return seeds


def _arrival_time(
    local: _LocalAnatomy,
    start: Bool[NDArray, "d h w"],
    front: FrontSpeed,
    roughness: float,
    volume_ml: float,
    rng: np.random.Generator,
) -> Float32[NDArray, "d h w"]:
    """Time at which a front from `start` reaches each voxel, in mm of smooth white matter."""
    speed = local.white + front.grey * local.grey + front.csf * local.csf
    speed = np.where(local.brain, speed * local.cerebrum**2, _MIN_SPEED)
    cost = 1 / np.clip(_block_means(speed, local.step_vox), _MIN_SPEED, None)
    cost *= np.exp(roughness * smooth_noise(rng, _shape(cost), 4.0))
    cost *= np.exp(0.5 * roughness * smooth_noise(rng, _shape(cost), 2.0))
    mcp = MCP_Geometric(cost, fully_connected=True)
    # A front of 1.6 times the volume still has enough voxels after masking.
    share = min(local.grid.voxel_count(1.6 * volume_ml) / local.brain.size + 0.02, 1.0)
    starts = _block_means(start.astype(np.float32), local.step_vox) > 0
    times, _ = mcp.find_costs(np.argwhere(starts), max_coverage=share)
    times[~np.isfinite(times)] = np.max(times[np.isfinite(times)]) * 1.5
    return _upsample_blocks(times.astype(np.float32) * _STEP_MM, local.step_vox)


def _block_means(volume: Float32[NDArray, "d h w"], step: int) -> Float32[NDArray, "a b c"]:
    """Means over blocks of step³ voxels."""
    d, h, w = (n // step for n in volume.shape)
    blocks = volume.reshape(d, step, h, step, w, step)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32)


def _upsample_blocks(coarse: Float32[NDArray, "a b c"], step: int) -> Float32[NDArray, "d h w"]:
    """Linear interpolation from blocks back to voxels."""
    if step == 1:
        return coarse
    for axis in range(3):
        count = coarse.shape[axis]
        position = (np.arange(count * step) - 0.5) / step
        distance = np.abs(np.clip(position, 0, count - 1)[:, None] - np.arange(count)[None])
        coarse = apply_along_axis(coarse, np.clip(1 - distance, 0, None).astype(np.float32), axis)
    return coarse


def _first_reached(
    time: Float32[NDArray, "d h w"], allowed: Bool[NDArray, "d h w"], volume_ml: float, local: _LocalAnatomy
) -> Bool[NDArray, "d h w"]:
    """The voxels that a front reaches first, up to a volume."""
    inside = time[allowed]
    count = min(int(local.grid.voxel_count(volume_ml)), inside.size - 1)
    return np.asarray(allowed & (time < np.partition(inside, count)[count]))


def _rim(
    core: Bool[NDArray, "d h w"],
    rim_mm: float,
    plan: TumourPlan,
    rng: np.random.Generator,
    local: _LocalAnatomy,
) -> Bool[NDArray, "d h w"]:
    """The enhancing part of a core: a rim of uneven thickness with gaps, and nodules inside it."""
    voxel_mm = local.grid.voxel_mm
    depth_mm = ndimage.distance_transform_edt(core, voxel_mm) - (voxel_mm - 1) / 2
    depth_mm += 0.5 * local.noise(rng, 2.5)
    thickness_mm = rim_mm * np.exp(plan.rim_variation * local.noise(rng, 9.0))
    gaps = local.noise(rng, 12.0) < np.quantile(rng.standard_normal(4001), plan.rim_gaps)
    pockets = (local.noise(rng, 4.0) > 1.4) & (depth_mm > 1.5)
    nodules = local.noise(rng, 5.0) > plan.nodule_threshold
    rim = (depth_mm < np.clip(thickness_mm, 1.0, max(9.0, rim_mm))) & ~gaps & ~pockets
    enhancing = core & (rim | nodules)
    return np.asarray(enhancing & ~_small_components(enhancing, local))


def _shape(array: NDArray[np.generic]) -> Shape3:
    d, h, w = array.shape
    return (d, h, w)
