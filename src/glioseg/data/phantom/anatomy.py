"""A patient's brain, warped from the MNI152 template.

The template is an average of 152 brains, so its maps are blurry. Sharpening them with a noisy
softmax draws one plausible brain from the atlas: where the average is unsure, the noise decides.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.data.phantom import random_fields
from glioseg.data.phantom.grid import FINE, WORK, Canvas
from glioseg.data.phantom.sampling import HeadPlan
from glioseg.data.phantom.template import LPS, ORIGIN_VOX, Template, load_template

_WARP_SPACING_MM = 8.0
_BRAIN_CENTRE_MM = np.array([0.0, -17.0, 5.0])
_VENTRICLE_CENTRE_MM = np.array([0.0, -16.0, 12.0])


@dataclass(frozen=True)
class Push:
    """Mass effect of a focus: tissue at `radius_mm` from `centre_mm` (of the box) moves out by `shift_mm`."""

    centre_mm: NDArray[np.float64]
    radius_mm: float
    shift_mm: float


@dataclass(frozen=True)
class Anatomy:
    """One brain in the working box, every map (D, H, W).

    Attributes:
        canvas: the grid of the maps.
        brain: the skull-stripped mask.
        csf, grey, white: tissue fractions that sum to 1 inside the brain.
        edge: 1 at the brain's surface, 0 some 4 mm inside.
        lining, chamber, plexus, cerebrum, iron: the template's maps, 0 to 1.
        midline_mm: distance from the mid-sagittal plane.
    """

    canvas: Canvas
    brain: Bool[NDArray, "d h w"]
    csf: Float32[NDArray, "d h w"]
    grey: Float32[NDArray, "d h w"]
    white: Float32[NDArray, "d h w"]
    edge: Float32[NDArray, "d h w"]
    lining: Float32[NDArray, "d h w"]
    chamber: Float32[NDArray, "d h w"]
    plexus: Float32[NDArray, "d h w"]
    cerebrum: Float32[NDArray, "d h w"]
    iron: Float32[NDArray, "d h w"]
    midline_mm: Float32[NDArray, "d h w"]


def build_anatomy(
    head: HeadPlan,
    *,
    pushes: list[Push],
    rng: np.random.Generator,
    canvas: Canvas = FINE,
) -> Anatomy:
    """Warp the template to one patient and draw its fine tissue borders.

    Args:
        head: shape of the head.
        pushes: mass effect, one a focus.
        rng: source of the warp and of the tissue noise.
        canvas: the grid to draw on.
    """
    template = load_template()
    where = warp_coordinates(head, pushes=pushes, rng=rng, canvas=canvas)
    index = _flat_index(where, template.shell.shape)
    shell = template.shell.ravel()[index] / np.float32(255)
    shell = canvas.blurred(shell, 1.5)
    # A skull-strip wavers: here it leaves a film of CSF, there it shaves the cortex.
    ragged = 0.03 * canvas.noise(rng, 3.0)
    ragged += 0.10 * canvas.noise(rng, 10.0)
    brain = _solid(shell + ragged > 0.60 - 0.14 * head.atrophy)
    tissue = _sharpen(template, where, index, brain, head, rng, canvas)
    looked_up = {
        name: (getattr(template, name).ravel()[index] / np.float32(255)) * brain
        for name in ("lining", "chamber", "cerebrum", "iron")
    }
    plexus = np.abs(looked_up["chamber"] - 0.5) < 0.1
    return Anatomy(
        canvas=canvas,
        brain=brain,
        csf=tissue[0],
        grey=tissue[1],
        white=tissue[2],
        edge=np.clip(2 - 2 * shell, 0, 1) * brain,
        lining=looked_up["lining"],
        chamber=(looked_up["chamber"] > 0.2).astype(np.float32),
        plexus=plexus.astype(np.float32),
        cerebrum=looked_up["cerebrum"],
        iron=looked_up["iron"],
        midline_mm=np.abs(where[0] - np.float32(ORIGIN_VOX[0])),
    )


def to_work_mm(head: HeadPlan, site_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Where an MNI position lies in the working box, before any elastic warp: (3,) mm from its first mm."""
    offset = (np.array(site_mm) - _BRAIN_CENTRE_MM) * LPS
    return np.asarray(np.linalg.inv(_affine(head)) @ offset + np.array(head.centre_vox) - WORK.start)


def warp_coordinates(
    head: HeadPlan,
    *,
    pushes: list[Push],
    rng: np.random.Generator,
    canvas: Canvas,
) -> list[Float32[NDArray, "d h w"]]:
    """For every voxel of the box, the template voxel that it shows: three (D, H, W) arrays."""
    axes = [canvas.positions_mm(axis, _WARP_SPACING_MM) for axis in range(3)]
    knots = np.stack(np.meshgrid(*axes, indexing="ij"))
    for push in pushes:
        gap = knots - push.centre_mm[:, None, None, None]
        far = np.linalg.norm(gap, axis=0) + 1e-6
        # Tissue just outside the tumour moves outward by `shift`, fading with the distance.
        reach = far / push.radius_mm
        knots = knots - gap / far * push.shift_mm * reach * np.exp(1 - reach)
    centre = np.array(head.centre_vox) - WORK.start
    moved = np.einsum("ij,j...->i...", _affine(head), knots - centre[:, None, None, None])
    moved += ((_BRAIN_CENTRE_MM * LPS) + ORIGIN_VOX)[:, None, None, None]
    moved = _widen(moved, (_VENTRICLE_CENTRE_MM * LPS) + ORIGIN_VOX, head.ventricles)
    return [_add_elastic(axis.astype(np.float32), head, rng, canvas) for axis in moved]


def _widen(moved: NDArray[np.float64], centre: NDArray[np.float64], growth: float) -> NDArray[np.float64]:
    """Magnify what lies around a centre, fading over 24 mm."""
    gap = moved - centre[:, None, None, None]
    near = np.exp(-np.sum(gap**2, axis=0) / (2 * 24.0**2))
    return np.asarray(moved - gap * (growth * near))


def _add_elastic(
    control: Float32[NDArray, "a b c"], head: HeadPlan, rng: np.random.Generator, canvas: Canvas
) -> Float32[NDArray, "d h w"]:
    """Evaluate the warp of one axis and add noise at three scales."""
    field = random_fields.upsample(control, canvas.shape, _WARP_SPACING_MM / canvas.voxel_mm)
    for size_mm, spacing_mm in zip(head.elastic_mm, (40.0, 16.0, 8.0), strict=True):
        field += np.float32(size_mm) * canvas.noise(rng, spacing_mm)
    return field


def _affine(head: HeadPlan) -> NDArray[np.float64]:
    """Rotation about the three axes and division by the scale: patient to template, (3, 3)."""
    (a, b, c), matrix = head.angles_rad, np.eye(3)
    for axis, angle in ((0, a), (1, b), (2, c)):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return np.diag(1 / np.array(head.scale)) @ matrix


def _flat_index(where: list[Float32[NDArray, "d h w"]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Nearest template voxel of every voxel, as an index into the flattened template."""
    rows = [np.clip(np.rint(axis), 0, n - 1).astype(np.int64) for axis, n in zip(where, shape, strict=True)]
    return np.asarray((rows[0] * shape[1] + rows[1]) * shape[2] + rows[2])


def _sharpen(
    template: Template,
    where: list[Float32[NDArray, "d h w"]],
    index: NDArray[np.int64],
    brain: Bool[NDArray, "d h w"],
    head: HeadPlan,
    rng: np.random.Generator,
    canvas: Canvas,
) -> list[Float32[NDArray, "d h w"]]:
    """CSF, grey and white fractions: a softmax of the log probabilities plus smooth noise."""
    points = np.stack([axis[brain] for axis in where])
    grey, white = (
        ndimage.map_coordinates(volume, points, order=1, prefilter=False)
        for volume in (template.grey, template.white)
    )
    csf = np.clip(1 - grey - white, 0, 1)
    crisp = template.crisp.ravel()[index[brain]] / np.float32(255)
    gain = 1.0 + 3.0 * crisp
    logits = []
    bias = (-1.0 + 2.2 * head.atrophy, 0.0, 0.5)
    for part, more in zip((csf, grey, white), bias, strict=True):
        wobble = 1.3 * canvas.noise(rng, 3.0)[brain]
        wobble += 0.9 * canvas.noise(rng, 7.0)[brain]
        logits.append(gain * np.log(part + 0.01) + crisp * (wobble + np.float32(more)))
    top = np.maximum(np.maximum(logits[0], logits[1]), logits[2])
    powers = [np.exp(one - top) for one in logits]
    total = powers[0] + powers[1] + powers[2]
    return [_scatter(power / total, brain) for power in powers]


def _scatter(values: Float32[NDArray, " n"], mask: Bool[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    out = np.zeros(mask.shape, np.float32)
    out[mask] = values
    return out


def _solid(mask: Bool[NDArray, "d h w"]) -> Bool[NDArray, "d h w"]:
    """The largest connected part: skull-stripping leaves one piece."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
