"""How far each modality of a case is displaced from the others.

The contrasts of modalities differ, but borders between tissues lie at the same place in all of them. So two
images are compared by the magnitude of their gradient, relative to its mean nearby. Only the inside of each
brain counts: outlines agree where one mask was applied to all images. The masked cross-correlation (Padfield
2012, https://doi.org/10.1109/TIP.2011.2181402) gives the displacement of each octant of the brain, and a
rigid motion is fitted to the octants, so that a rotation shows too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Bool, Float, Float32, Num
from numpy.typing import NDArray
from scipy import fft, ndimage

from glioseg.core.geometry import Box, Shape3, Spacing3, bounding_box, downsample
from glioseg.core.nifti import Volume
from glioseg.data.quality.near_duplicates import scale_to_unit

COARSE_MM = 3.0
"""Approximate edge of the blocks of voxels whose means are compared."""
REACH_MM = 30.0
"""Largest displacement along each axis that is searched for."""
OCTANT_REACH_MM = 15.0
"""As `REACH_MM`, for an octant of the brain; larger displacements are measured for the whole brain alone."""
NEARBY_VOX = 3.0
"""Standard deviation of the Gaussian over which the mean gradient is computed."""
STRONGEST = 4.0
"""Largest value of a gradient relative to its mean: vessels and edges of lesions are stronger."""
MIN_VOXELS = 500
"""Fewest blocks inside the brain, or an octant of it, that can be compared."""
MIN_OCTANTS = 4
"""Fewest octants for a rigid motion, which has six parameters; each octant gives three equations."""
FIT_ROUNDS = 10
"""Rounds of reweighting in which octants that contradict the others lose weight."""

Octant = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Borders:
    """Borders of tissues inside a brain, in LPS.

    `strength`: magnitude of the gradient relative to its mean nearby, with mean 0, and 0 outside; `inside`:
    1 inside the brain, 0 elsewhere; `mm`: spacing of both.
    """

    strength: Float32[NDArray, "d h w"]
    inside: Float32[NDArray, "d h w"]
    mm: Spacing3

    def octants(self) -> list[Octant]:
        """The eight parts of the grid between its middles."""
        d, h, w = ((slice(0, n // 2), slice(n // 2, n)) for n in self.strength.shape)
        return list(product(d, h, w))

    def part(self, at: Octant) -> "Borders":
        """The same in a box."""
        return Borders(self.strength[at], self.inside[at], self.mm)


def measure_displacements(images: Mapping[str, Volume]) -> dict[str, float]:
    """The displacement of each image from most of the others, in mm.

    It is the largest displacement of the centre of an octant of the brain, and the lower median over the
    other images: an image that lies right has only few that do not agree with it.

    Args:
        images: volumes of real, finite numbers by modality, on one grid; 0 outside the brain.

    Returns:
        By modality; empty if there are fewer than two images, or if a brain is too small.
    """
    if len(images) < 2:
        return {}
    borders = _borders_by_name(images)
    if any(each.inside.sum() < MIN_VOXELS for each in borders.values()):
        return {}
    pairs = {
        frozenset((one, other)): _displacement(borders[one], borders[other])
        for one, other in combinations(borders, 2)
    }
    found = {}
    for name in borders:
        of_others = sorted(pairs[frozenset((name, other))] for other in borders if other != name)
        found[name] = round(of_others[(len(of_others) - 1) // 2], 2)
    return found


def _borders_by_name(images: Mapping[str, Volume]) -> dict[str, Borders]:
    grid = next(iter(images.values())).grid
    arrays = {name: image.grid.to_lps(image.data) for name, image in images.items()}
    d, h, w = (max(1, round(COARSE_MM / mm)) for mm in grid.lps_spacing_mm)
    coarse = [array[::d, ::h, ::w] != 0 for array in arrays.values()]
    if not all(mask.any() for mask in coarse):
        return {}
    box = bounding_box(np.logical_or.reduce(coarse), margin_vox=1)
    return {name: _borders(array, box, (d, h, w), grid.lps_spacing_mm) for name, array in arrays.items()}


def _borders(array: Num[NDArray, "d h w"], box: Box, factors: Shape3, mm: Spacing3) -> Borders:
    """Borders of one image, in a box of blocks of `factors` voxels along each axis."""
    ends = zip(box.start, box.stop, factors, strict=True)
    d, h, w = (slice(start * factor, stop * factor) for start, stop, factor in ends)
    fine = scale_to_unit(array[d, h, w])
    blocks, shares = (
        downsample(each[..., np.newaxis], factors)[..., 0] for each in (fine, (fine != 0).astype(np.float32))
    )
    inside = ndimage.binary_erosion(shares > 0.99)
    a, b, c = (spacing * factor for spacing, factor in zip(mm, factors, strict=True))
    return Borders(_relative_gradient(blocks, inside), inside.astype(np.float32), (a, b, c))


def _relative_gradient(
    image: Float32[NDArray, "d h w"], inside: Bool[NDArray, "d h w"]
) -> Float32[NDArray, "d h w"]:
    weight = inside.astype(np.float32)
    if not inside.any() or min(image.shape) < 2:
        return np.zeros_like(weight)
    magnitude = np.sqrt(sum(np.square(slope) for slope in np.gradient(image))) * weight
    nearby, share = (ndimage.gaussian_filter(each, NEARBY_VOX) for each in (magnitude, weight))
    relative = np.zeros_like(weight)
    np.divide(magnitude * share, nearby, out=relative, where=inside & (nearby > 0))
    np.minimum(relative, STRONGEST, out=relative)
    return np.asarray((relative - relative[inside].mean()) * weight, np.float32)


def _displacement(one: Borders, other: Borders) -> float:
    """Largest displacement in mm of an octant of the brain between two images."""
    whole_mm = _shift_mm(one, other, REACH_MM)
    octants = [_octant(one, other, at) for at in one.octants()]
    found = [octant for octant in octants if octant is not None]
    if float(np.linalg.norm(whole_mm)) > OCTANT_REACH_MM or len(found) < MIN_OCTANTS:
        return float(np.linalg.norm(whole_mm))
    centres, shifts = (np.array(each) for each in zip(*found, strict=True))
    return float(np.linalg.norm(_rigid_motion(centres, shifts), axis=1).max())


def _octant(
    one: Borders, other: Borders, at: Octant
) -> tuple[Float[NDArray, "3"], Float[NDArray, "3"]] | None:
    """Centre of an octant and its displacement, both in mm; None if the brain fills too little of it."""
    parts = one.part(at), other.part(at)
    if min(part.inside.sum() for part in parts) < MIN_VOXELS:
        return None
    corner = np.array([side.start for side in at])
    centre_vox = np.array(ndimage.center_of_mass(parts[0].inside)) + corner
    return centre_vox * one.mm, _shift_mm(*parts, OCTANT_REACH_MM)


def _rigid_motion(
    centres: Float[NDArray, "octants 3"], shifts: Float[NDArray, "octants 3"]
) -> Float[NDArray, "octants 3"]:
    """The displacements of the centres in the rigid motion of small angle that fits the shifts best.

    A displacement is t + w × r for the translation t, the rotation vector w and the position r. The fit
    minimises the sum of distances, not of squares, by reweighting, so that single wrong shifts have little
    effect.
    """
    x, y, z = (centres - centres.mean(axis=0)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = np.array(
        [
            [one, zero, zero, zero, z, -y],
            [zero, one, zero, -z, zero, x],
            [zero, zero, one, y, -x, zero],
        ]
    ).transpose(2, 0, 1)
    weight = np.ones(len(centres))
    fitted = shifts
    for _ in range(FIT_ROUNDS):
        root = np.sqrt(weight)[:, np.newaxis]
        system, target = rows * root[..., np.newaxis], shifts * root
        motion = np.linalg.lstsq(system.reshape(-1, 6), target.ravel())[0]
        fitted = rows @ motion
        weight = 1 / np.maximum(np.linalg.norm(shifts - fitted, axis=1), 1.0)
    return fitted


def _shift_mm(one: Borders, other: Borders, reach_mm: float) -> Float[NDArray, "3"]:
    """The shift between two images with the highest correlation, to a fraction of a voxel by a parabola."""
    reach = [min(round(reach_mm / mm), n - 1) for mm, n in zip(one.mm, one.strength.shape, strict=True)]
    correlation = _masked_correlation(one, other, reach)
    peak = np.unravel_index(int(correlation.argmax()), correlation.shape)
    shift = []
    for axis, at in enumerate(peak):
        line = correlation[tuple(slice(None) if a == axis else peak[a] for a in range(3))]
        shift.append((at - reach[axis] + _parabola_peak(line, int(at))) * one.mm[axis])
    return np.array(shift)


def _parabola_peak(line: Float[NDArray, "n"], at: int) -> float:
    """Offset of the peak of the parabola through a largest value and its two neighbours.

    >>> _parabola_peak(-np.square(np.arange(5) - 2.25), 2)
    0.25
    """
    if not 0 < at < len(line) - 1:
        return 0.0
    before, top, after = line[at - 1 : at + 2].tolist()
    bend = before - 2 * top + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _masked_correlation(one: Borders, other: Borders, reach: list[int]) -> Float[NDArray, "i j k"]:
    """Pearson's correlation of two images where both are inside, for each shift within the reach."""
    shape = [fft.next_fast_len(n + r, real=True) for n, r in zip(one.strength.shape, reach, strict=True)]
    near = np.ix_(*(np.r_[-r : r + 1] for r in reach))

    def transform(array: Float32[NDArray, "d h w"]) -> NDArray:
        return np.asarray(fft.rfftn(array, shape))

    def sums(first: NDArray, second: NDArray) -> NDArray:
        return np.asarray(fft.irfftn(first * second, shape)[near])

    a, b = one.strength, other.strength
    fa, fa2, ma = (transform(each) for each in (a, a * a, one.inside))
    fb, fb2, mb = (np.conj(transform(each)) for each in (b, b * b, other.inside))
    count = np.maximum(sums(ma, mb), 1)
    sum_a, sum_b = sums(fa, mb), sums(ma, fb)
    covariance = sums(fa, fb) - sum_a * sum_b / count
    spread_a = np.maximum(sums(fa2, mb) - sum_a**2 / count, 1e-3)
    spread_b = np.maximum(sums(ma, fb2) - sum_b**2 / count, 1e-3)
    correlation = covariance / np.sqrt(spread_a * spread_b)
    # A few common voxels correlate by chance.
    return np.where(count < MIN_VOXELS / 2, -1.0, correlation)
