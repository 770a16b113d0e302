"""Grow a planned tumour in a brain: irregular cores, ragged rims, oedema that follows white matter.

A region grows as the set of voxels that a front reaches first. The front runs fast in white matter
and stops at CSF, the anisotropy that glioma growth models use (Swanson et al. 2000), and a planned
volume is met exactly by stopping the front when it has swept that many voxels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from glioseg.core.geometry import Box, Shape3
from glioseg.data.phantom import random_fields
from glioseg.data.phantom.anatomy import Anatomy
from glioseg.data.phantom.grid import Canvas
from glioseg.data.phantom.sampling import Focus, TumourPlan

NCR, ED, ET, CAVITY = 1, 2, 4, 5
_STEP_MM = 2  # the front runs on a grid of 2 mm: eight times fewer voxels
_BARRED = 1e-3  # speed where a front must not go


@dataclass(frozen=True)
class Tissue:
    """How fast a front runs, relative to white matter."""

    grey: float
    csf: float


_CORE = Tissue(grey=0.9, csf=0.4)
_OEDEMA = Tissue(grey=0.13, csf=0.004)


def grow(
    plan: TumourPlan,
    anatomy: Anatomy,
    *,
    centres_mm: list[NDArray[np.float64]],
    rng: np.random.Generator,
) -> UInt8[NDArray, "d h w"]:
    """Labels of every focus: 0, 1 (necrosis, non-enhancing), 2 (oedema), 4 (enhancing), 5 (cavity).

    Args:
        plan: what to grow.
        anatomy: the brain; not changed.
        centres_mm: one (3,) position in the box a focus; each moves to white matter nearby.
        rng: source of the irregularity.
    """
    labels = np.zeros(anatomy.brain.shape, np.uint8)
    for focus, centre_mm in zip(plan.foci, centres_mm, strict=True):
        centre = anatomy.canvas.to_vox(centre_mm)
        box = _around(centre, focus, anatomy.canvas)
        grown = _grow_focus(plan, focus, _crop(anatomy, box), centre - box.start, rng)
        # Where two foci meet, core wins over oedema.
        merged = _RANK[labels[box.slices]] < _RANK[grown]
        labels[box.slices][merged] = grown[merged]
    return labels


_RANK = np.array([0, 2, 1, 0, 3, 4], np.uint8)


@dataclass(frozen=True)
class _Local:
    """The part of a brain that one focus can reach."""

    canvas: Canvas
    brain: Bool[NDArray, "d h w"]
    csf: Float32[NDArray, "d h w"]
    grey: Float32[NDArray, "d h w"]
    white: Float32[NDArray, "d h w"]
    home: Float32[NDArray, "d h w"]

    @property
    def step(self) -> int:
        """Voxels to a step of the front's grid."""
        return _STEP_MM // self.canvas.voxel_mm

    def noise(self, rng: np.random.Generator, spacing_mm: float) -> Float32[NDArray, "d h w"]:
        """Gaussian noise of unit variance in this part."""
        return random_fields.smooth_noise(rng, _shape(self.brain), spacing_mm / self.canvas.voxel_mm)


def _crop(anatomy: Anatomy, box: Box) -> _Local:
    names = ("brain", "csf", "grey", "white", "cerebrum")
    return _Local(anatomy.canvas, *(getattr(anatomy, name)[box.slices] for name in names))


def _around(centre: NDArray[np.float64], focus: Focus, canvas: Canvas) -> Box:
    """A box with room for the focus, of even size so that 2 mm blocks fill it."""
    reach = (1.9 * radius_mm(focus.core_ml + focus.oedema_ml) + 8) / canvas.voxel_mm
    low = [max(int(c - reach), 0) // 2 * 2 for c in centre]
    high = [min(int(c + reach), n) // 2 * 2 for c, n in zip(centre, canvas.shape, strict=True)]
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def radius_mm(volume_ml: float) -> float:
    """Radius of the sphere of a volume."""
    return float((volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def _grow_focus(
    plan: TumourPlan,
    focus: Focus,
    local: _Local,
    centre: NDArray[np.float64],
    rng: np.random.Generator,
) -> UInt8[NDArray, "d h w"]:
    """Core first, then oedema from its surface, then the rim inside it."""
    seeds = _seeds(local, centre, focus, plan.lobulation, rng)
    core_time = _arrival(local, seeds, _CORE, 0.12 + 0.5 * plan.lobulation, focus.core_ml, rng)
    core_time *= np.exp((0.03 + 0.07 * plan.lobulation) * local.noise(rng, 3.0))
    core = _first_reached(core_time, local.brain & (local.csf < 0.9), focus.core_ml, local)
    core = ndimage.binary_fill_holes(_smooth(core, local))
    grown = _arrival(local, core, _OEDEMA, 0.45, focus.core_ml + focus.oedema_ml, rng)
    grown *= np.exp(0.06 * local.noise(rng, 3.0))
    oedema = _first_reached(grown, local.brain & (local.csf < 0.4) & ~core, focus.oedema_ml, local)
    labels = np.where(oedema, ED, 0).astype(np.uint8)
    labels[core] = NCR
    if focus.rim_mm > 0:
        labels[_rim(core, focus.rim_mm, plan, rng, local)] = ET
    labels[_flecks(labels > 0, local)] = 0
    if plan.cavity:
        labels[_cavity(core, plan.cavity, rng, local)] = CAVITY
    return labels


def _flecks(mask: Bool[NDArray, "d h w"], local: _Local) -> Bool[NDArray, "d h w"]:
    """Parts too small for a rater to have drawn: BraTS scores no lesion up to 50 mm³ either."""
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return np.asarray(mask & (np.bincount(parts.ravel())[parts] <= local.canvas.voxels(0.05)))


def _smooth(core: Bool[NDArray, "d h w"], local: _Local) -> Bool[NDArray, "d h w"]:
    """A core without spikes of a millimetre; one too small to survive it is kept as it is."""
    if local.canvas.voxel_mm > 1 or np.count_nonzero(core) < 500:
        return core
    return np.asarray(ndimage.binary_opening(core))


def _cavity(
    core: Bool[NDArray, "d h w"], share: float, rng: np.random.Generator, local: _Local
) -> Bool[NDArray, "d h w"]:
    """What a surgeon took out: the deepest part of a core, up to a share of it."""
    depth_mm = ndimage.distance_transform_edt(core, local.canvas.voxel_mm) + local.noise(rng, 8.0)
    return np.asarray(core & (depth_mm > np.quantile(depth_mm[core], 1 - share)))


def _seeds(
    local: _Local,
    centre: NDArray[np.float64],
    focus: Focus,
    lobulation: float,
    rng: np.random.Generator,
) -> Bool[NDArray, "d h w"]:
    """Where the core starts: white matter near the centre, plus a few lobes beside it."""
    radius = radius_mm(focus.core_ml) / local.canvas.voxel_mm
    offsets = [np.zeros(3), *rng.normal(0, 0.45 * radius * lobulation, (4, 3))]
    ok = np.argwhere((local.white > 0.6) & (local.home > 0.5))
    seeds = np.zeros(local.brain.shape, bool)
    for offset in offsets:
        seeds[tuple(ok[np.argmin(np.sum((ok - centre - offset) ** 2, axis=1))])] = True
    return seeds


def _arrival(
    local: _Local,
    start: Bool[NDArray, "d h w"],
    tissue: Tissue,
    roughness: float,
    volume_ml: float,
    rng: np.random.Generator,
) -> Float32[NDArray, "d h w"]:
    """When a front from `start` reaches each voxel, in mm of undisturbed white matter."""
    speed = local.white + tissue.grey * local.grey + tissue.csf * local.csf
    speed = np.where(local.brain, speed * local.home**2, _BARRED)
    slow = 1 / np.clip(_blocks(speed, local.step), _BARRED, None)
    slow *= np.exp(roughness * random_fields.smooth_noise(rng, _shape(slow), 4.0))
    slow *= np.exp(0.5 * roughness * random_fields.smooth_noise(rng, _shape(slow), 2.0))
    mcp = MCP_Geometric(slow, fully_connected=True)
    # 1.6 times the volume leaves room for what is masked out afterwards.
    share = min(local.canvas.voxels(1.6 * volume_ml) / local.brain.size + 0.02, 1.0)
    starts = _blocks(start.astype(np.float32), local.step) > 0
    times, _ = mcp.find_costs(np.argwhere(starts), max_coverage=share)
    times[~np.isfinite(times)] = np.max(times[np.isfinite(times)]) * 1.5
    return _refine(times.astype(np.float32) * _STEP_MM, local.step)


def _blocks(volume: Float32[NDArray, "d h w"], step: int) -> Float32[NDArray, "a b c"]:
    """Means over blocks of step³ voxels."""
    d, h, w = (n // step for n in volume.shape)
    split = volume.reshape(d, step, h, step, w, step)
    return np.asarray(split.mean(axis=(1, 3, 5)), np.float32)


def _refine(coarse: Float32[NDArray, "a b c"], step: int) -> Float32[NDArray, "d h w"]:
    """Linear interpolation from blocks back to voxels."""
    if step == 1:
        return coarse
    for axis in range(3):
        count = coarse.shape[axis]
        where = (np.arange(count * step) - 0.5) / step
        gap = np.abs(np.clip(where, 0, count - 1)[:, None] - np.arange(count)[None])
        coarse = random_fields.along(coarse, np.clip(1 - gap, 0, None).astype(np.float32), axis)
    return coarse


def _first_reached(
    time: Float32[NDArray, "d h w"], allowed: Bool[NDArray, "d h w"], volume_ml: float, local: _Local
) -> Bool[NDArray, "d h w"]:
    """The voxels that a front reaches first, up to a volume."""
    inside = time[allowed]
    count = min(int(local.canvas.voxels(volume_ml)), inside.size - 1)
    return np.asarray(allowed & (time < np.partition(inside, count)[count]))


def _rim(
    core: Bool[NDArray, "d h w"], rim_mm: float, plan: TumourPlan, rng: np.random.Generator, local: _Local
) -> Bool[NDArray, "d h w"]:
    """The enhancing part of a core: a rim of uneven thickness with gaps, and nodules inside it."""
    voxel_mm = local.canvas.voxel_mm
    depth_mm = ndimage.distance_transform_edt(core, voxel_mm) - (voxel_mm - 1) / 2
    depth_mm += 0.5 * local.noise(rng, 2.5)
    thickness_mm = rim_mm * np.exp(plan.rim_variation * local.noise(rng, 9.0))
    gaps = local.noise(rng, 12.0) < np.quantile(rng.standard_normal(4001), plan.gaps)
    pockets = (local.noise(rng, 4.0) > 1.4) & (depth_mm > 1.5)
    nodules = local.noise(rng, 5.0) > 1.9
    rim = (depth_mm < np.clip(thickness_mm, 1.0, max(9.0, rim_mm))) & ~gaps & ~pockets
    enhancing = core & (rim | nodules)
    return np.asarray(enhancing & ~_flecks(enhancing, local))


def _shape(array: NDArray[np.generic]) -> Shape3:
    d, h, w = array.shape
    return (d, h, w)
