"""The brain of a synthetic case, warped from the MNI152 template.

The template is an average of 152 brains, so its tissue maps are blurred. A softmax of the maps plus smooth
noise samples one plausible brain from them: where the maps are ambiguous, the noise determines the tissue.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.data.phantom.grid import BRAIN_BOX, GRID_1MM, PhantomGrid, evaluate_spline
from glioseg.data.phantom.sampling import HeadPlan
from glioseg.data.phantom.template import LPS, ORIGIN_VOX, Template, load_template

_WARP_SPACING_MM = 8.0
_BRAIN_CENTRE_MM = np.array([0.0, -17.0, 5.0])
_VENTRICLE_CENTRE_MM = np.array([0.0, -16.0, 12.0])


@dataclass(frozen=True)
class MassEffect:
    """Displacement by one focus: tissue `radius_mm` from `centre_mm` (in the box) moves out by `shift_mm`."""

    centre_mm: NDArray[np.float64]
    radius_mm: float
    shift_mm: float


@dataclass(frozen=True)
class Anatomy:
    """One brain in `BRAIN_BOX`; each map is (D, H, W).

    Attributes:
        grid: grid of the maps.
        brain: mask of the skull-stripped brain.
        csf, grey, white: tissue fractions that sum to 1 inside the brain.
        surface: 1 at the brain's surface, 0 about 4 mm inside.
        ventricle_wall, ventricles, choroid_plexus, cerebrum, iron: maps of the template, 0 to 1.
        midline_mm: distance from the mid-sagittal plane.
    """

    grid: PhantomGrid
    brain: Bool[NDArray, "d h w"]
    csf: Float32[NDArray, "d h w"]
    grey: Float32[NDArray, "d h w"]
    white: Float32[NDArray, "d h w"]
    surface: Float32[NDArray, "d h w"]
    ventricle_wall: Float32[NDArray, "d h w"]
    ventricles: Float32[NDArray, "d h w"]
    choroid_plexus: Float32[NDArray, "d h w"]
    cerebrum: Float32[NDArray, "d h w"]
    iron: Float32[NDArray, "d h w"]
    midline_mm: Float32[NDArray, "d h w"]


def build_anatomy(
    head: HeadPlan,
    *,
    mass_effects: list[MassEffect],
    rng: np.random.Generator,
    grid: PhantomGrid = GRID_1MM,
) -> Anatomy:
    """Warp the template to one head, and sample the fine borders of its tissue.

    Args:
        head: shape of the head.
        mass_effects: one for each focus of the tumour.
        rng: random generator of the warp and of the tissue noise.
        grid: voxels to render.
    """
    template = load_template()
    warp = warp_coordinates(head, mass_effects=mass_effects, rng=rng, grid=grid)
    index = _flat_index(warp, template.soft_mask.shape)
    soft_mask = template.soft_mask.ravel()[index] / np.float32(255)
    soft_mask = grid.gaussian_blur(soft_mask, 1.5)
    # Skull-stripping is irregular: it leaves a film of CSF at one place and cuts into the cortex at another.
    irregularity = 0.03 * grid.noise(rng, 3.0)
    irregularity += 0.10 * grid.noise(rng, 10.0)
    brain = _largest_component(soft_mask + irregularity > 0.60 - 0.14 * head.atrophy)
    csf, grey, white = _sample_tissue(template, warp, index, brain, head, rng, grid)
    maps = {
        name: (getattr(template, name).ravel()[index] / np.float32(255)) * brain
        for name in ("ventricle_wall", "ventricles", "cerebrum", "iron")
    }
    return Anatomy(
        grid=grid,
        brain=brain,
        csf=csf,
        grey=grey,
        white=white,
        surface=np.clip(2 - 2 * soft_mask, 0, 1) * brain,
        ventricle_wall=maps["ventricle_wall"],
        ventricles=(maps["ventricles"] > 0.2).astype(np.float32),
        # The template marks the plexus by 128 of 255.
        choroid_plexus=(np.abs(maps["ventricles"] - 0.5) < 0.1).astype(np.float32),
        cerebrum=maps["cerebrum"],
        iron=maps["iron"],
        midline_mm=np.abs(warp[0] - np.float32(ORIGIN_VOX[0])),
    )


def mni_to_box_mm(head: HeadPlan, site_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Position of an MNI point in the box, before the elastic warp: (3,) in mm from its first 1 mm voxel."""
    offset = (np.array(site_mm) - _BRAIN_CENTRE_MM) * LPS
    return np.asarray(np.linalg.inv(_affine(head)) @ offset + np.array(head.centre_vox) - BRAIN_BOX.start)


def warp_coordinates(
    head: HeadPlan,
    *,
    mass_effects: list[MassEffect],
    rng: np.random.Generator,
    grid: PhantomGrid,
) -> list[Float32[NDArray, "d h w"]]:
    """Template coordinates, in voxels, of every voxel of the box: three (D, H, W) arrays."""
    axes = [grid.knot_positions_mm(axis, _WARP_SPACING_MM) for axis in range(3)]
    knots = np.stack(np.meshgrid(*axes, indexing="ij"))
    for mass in mass_effects:
        offset = knots - mass.centre_mm[:, None, None, None]
        distance = np.linalg.norm(offset, axis=0) + 1e-6
        # Tissue at the tumour's surface moves outward by `shift_mm`; the shift decreases with the distance.
        relative = distance / mass.radius_mm
        knots = knots - offset / distance * mass.shift_mm * relative * np.exp(1 - relative)
    centre = np.array(head.centre_vox) - BRAIN_BOX.start
    moved = np.einsum("ij,j...->i...", _affine(head), knots - centre[:, None, None, None])
    moved += ((_BRAIN_CENTRE_MM * LPS) + ORIGIN_VOX)[:, None, None, None]
    moved = _magnify(moved, (_VENTRICLE_CENTRE_MM * LPS) + ORIGIN_VOX, head.ventricle_growth)
    return [_add_elastic(axis.astype(np.float32), head, rng, grid) for axis in moved]


def _magnify(moved: NDArray[np.float64], centre: NDArray[np.float64], growth: float) -> NDArray[np.float64]:
    """Magnify the surroundings of a centre; the effect falls off as a Gaussian of 24 mm."""
    offset = moved - centre[:, None, None, None]
    weight = np.exp(-np.sum(offset**2, axis=0) / (2 * 24.0**2))
    return np.asarray(moved - offset * (growth * weight))


def _add_elastic(
    control: Float32[NDArray, "a b c"], head: HeadPlan, rng: np.random.Generator, grid: PhantomGrid
) -> Float32[NDArray, "d h w"]:
    """Evaluate the warp of one axis and add noise at three scales."""
    field = evaluate_spline(control, grid.shape, _WARP_SPACING_MM / grid.voxel_mm)
    for size_mm, spacing_mm in zip(head.elastic_mm, (40.0, 16.0, 8.0), strict=True):
        field += np.float32(size_mm) * grid.noise(rng, spacing_mm)
    return field


def _affine(head: HeadPlan) -> NDArray[np.float64]:
    """Matrix (3, 3) from head to template: rotation about the three axes, and division by the scale."""
    (a, b, c), matrix = head.angles_rad, np.eye(3)
    for axis, angle in ((0, a), (1, b), (2, c)):
        i, j = [k for k in range(3) if k != axis]
        rotation = np.eye(3)
        rotation[i, i] = rotation[j, j] = np.cos(angle)
        rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ rotation
    return np.diag(1 / np.array(head.scale)) @ matrix


def _flat_index(warp: list[Float32[NDArray, "d h w"]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Nearest template voxel of every voxel, as an index into the flattened template."""
    rows = [np.clip(np.rint(axis), 0, n - 1).astype(np.int64) for axis, n in zip(warp, shape, strict=True)]
    return np.asarray((rows[0] * shape[1] + rows[1]) * shape[2] + rows[2])


def _sample_tissue(
    template: Template,
    warp: list[Float32[NDArray, "d h w"]],
    index: NDArray[np.int64],
    brain: Bool[NDArray, "d h w"],
    head: HeadPlan,
    rng: np.random.Generator,
    grid: PhantomGrid,
) -> list[Float32[NDArray, "d h w"]]:
    """CSF, grey and white fractions: a softmax of the log probabilities plus smooth noise."""
    points = np.stack([axis[brain] for axis in warp])
    grey, white = (
        ndimage.map_coordinates(volume, points, order=1, prefilter=False)
        for volume in (template.grey, template.white)
    )
    csf = np.clip(1 - grey - white, 0, 1)
    sharpness = template.border_sharpness.ravel()[index[brain]] / np.float32(255)
    gain = 1.0 + 3.0 * sharpness
    logits = []
    biases = (-1.0 + 2.2 * head.atrophy, 0.0, 0.5)
    for probability, bias in zip((csf, grey, white), biases, strict=True):
        noise = 1.3 * grid.noise(rng, 3.0)[brain]
        noise += 0.9 * grid.noise(rng, 7.0)[brain]
        logits.append(gain * np.log(probability + 0.01) + sharpness * (noise + np.float32(bias)))
    largest = np.maximum(np.maximum(logits[0], logits[1]), logits[2])
    powers = [np.exp(logit - largest) for logit in logits]
    total = powers[0] + powers[1] + powers[2]
    return [_scatter(power / total, brain) for power in powers]


def _scatter(values: Float32[NDArray, " n"], mask: Bool[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """Volume with these values in the mask, and 0 outside."""
    out = np.zeros(mask.shape, np.float32)
    out[mask] = values
    return out


def _largest_component(mask: Bool[NDArray, "d h w"]) -> Bool[NDArray, "d h w"]:
    """The largest connected component: a skull-stripped brain has only one."""
    components, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(components == np.bincount(components.ravel())[1:].argmax() + 1)
