"""Near-duplicate images of a cohort: the fingerprint of an image, and pairs with nearly the same one.

Block means of an image hardly change with noise, blur, scale or file format. All brains are alike in their
block means and outline, but not in the differences between a block and its neighbours. The fingerprint holds
these differences, and the correlation of two fingerprints is the similarity of two images.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float32, Num
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES

BLOCKS = 12
"""Blocks along each axis, each the mean of up to 3 x 3 x 3 voxels."""

MIN_BRAIN_VOX = 14
"""Minimum number of brain voxels among the 27 of a block; with fewer, the block counts as background."""

STEPS_PER_DEVIATION = 24
"""Steps of a fingerprint's values per standard deviation: int8 then covers five deviations."""


@dataclass(frozen=True)
class Image:
    """One image of a cohort. `is_copy`: an earlier image has the same bytes or voxels."""

    case: str
    patient: str
    role: str
    fingerprint: str | None
    is_copy: bool


@dataclass(frozen=True)
class Pair:
    """Two similar images of different cases, by their positions in the cohort."""

    later: int
    earlier: int
    correlation: float


def fingerprint(coarse: Num[NDArray, "d h w"]) -> str | None:
    """The fingerprint of an image: standardised int8 in base64. None if no block differs from its neighbours.

    Args:
        coarse: the image in LPS, subsampled in the bounding box of its brain.
    """
    at = np.ix_(*(np.arange(3 * BLOCKS) * side // (3 * BLOCKS) for side in coarse.shape))
    cells = scale_to_unit(coarse[at]).reshape(BLOCKS, 3, BLOCKS, 3, BLOCKS, 3)
    brain_vox = (cells != 0).sum(axis=(1, 3, 5))
    means = cells.sum(axis=(1, 3, 5)) / np.maximum(brain_vox, 1)
    differences = _neighbour_differences(means, brain_vox >= MIN_BRAIN_VOX)
    deviation = float(differences.std())
    if not deviation > 0:
        return None
    steps = np.round((differences - differences.mean()) / deviation * STEPS_PER_DEVIATION)
    return base64.b64encode(np.clip(steps, -127, 127).astype(np.int8).tobytes()).decode()


def hash_voxels(coarse: Num[NDArray, "d h w"]) -> str:
    """Hash of the voxels of an image, equal for the same image in another dtype, file or orientation.

    Args:
        coarse: the image in LPS, subsampled.

    >>> image = np.arange(8).reshape(2, 2, 2)
    >>> hash_voxels(image) == hash_voxels(image.astype(np.float32)), hash_voxels(image) == hash_voxels(-image)
    (True, False)
    """
    content = np.ascontiguousarray(coarse, np.float64) + 0.0  # -0.0 equals 0.0, but in other bytes
    return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()


def scale_to_unit(values: Num[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """The values scaled to -1 to 1, so that their squares do not overflow single precision."""
    largest = max(abs(float(values.max())), abs(float(values.min())), 1e-300) if values.size else 1.0
    scaled: NDArray[np.float32] = (values / largest).astype(np.float32)
    return scaled


def _neighbour_differences(
    means: Float[NDArray, "b b b"], brain: Bool[NDArray, "b b b"]
) -> Float[NDArray, " inner"]:
    """Sum of a block's differences from its six neighbours, for inner blocks; background counts as 0."""
    inner = (slice(1, -1),) * 3
    total = np.zeros(means[inner].shape, means.dtype)
    for axis, side in product(range(3), (slice(None, -2), slice(2, None))):
        neighbour = (*inner[:axis], side, *inner[axis + 1 :])
        total += np.where(brain[neighbour], means[neighbour] - means[inner], 0)
    return np.where(brain[inner], total, 0).ravel()


def read_fingerprint(text: str) -> Float32[NDArray, " inner"]:
    """A fingerprint as a vector of length 1: the dot product of two is their correlation."""
    steps = np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32)
    vector: NDArray[np.float32] = steps / np.float32(np.linalg.norm(steps))
    return vector


def find_pairs(images: Sequence[Image], *, correlation: float, same_patient: float) -> list[Pair]:
    """Pairs of images of one modality, from two cases, with nearly the same content.

    Args:
        images: images of a cohort, in its order.
        correlation: correlation of the fingerprints above which images of different patients are similar.
        same_patient: the same for two visits of one patient.
    """
    pairs = []
    for modality in MODALITIES:
        numbers = [n for n, image in enumerate(images) if image.role == modality and image.fingerprint]
        if len(numbers) < 2:
            continue
        prints = np.stack([read_fingerprint(str(images[number].fingerprint)) for number in numbers])
        similarity = np.tril(prints @ prints.T, -1)
        for later, earlier in np.argwhere(similarity > correlation).tolist():
            pair = Pair(numbers[later], numbers[earlier], float(similarity[later, earlier]))
            one, other = images[pair.later], images[pair.earlier]
            threshold = correlation if one.patient != other.patient else same_patient
            if one.case != other.case and pair.correlation > threshold:
                pairs.append(pair)
    return pairs


def describe_pairs(images: Sequence[Image], pairs: Iterable[Pair]) -> dict[int, str]:
    """The earlier case and the correlation, for the first similar image of each pair of cases.

    Several similar modalities of two cases yield one text. If an image has several earlier duplicates, the
    last one is named. Images with the same voxels are left out, since the rule `own bytes` reports them.
    """
    last = {
        pair.later: pair for pair in pairs if not (images[pair.later].is_copy or images[pair.earlier].is_copy)
    }
    pairs_of_cases: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in last.values():
        pairs_of_cases[images[pair.later].case, images[pair.earlier].case].append(pair)
    return {
        similar[0].later: _describe(images, earlier, similar)
        for (_, earlier), similar in pairs_of_cases.items()
    }


def _describe(images: Sequence[Image], earlier: str, similar: Sequence[Pair]) -> str:
    least = min(pair.correlation for pair in similar)
    if len(similar) == 1:
        return f"{earlier}, with a correlation of {least:.3f}"
    roles = ", ".join(images[pair.later].role for pair in similar)
    return f"{earlier} in {roles}, with a correlation of at least {least:.3f}"
