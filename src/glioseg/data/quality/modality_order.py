"""The modality of each image of a case, from its intensities alone: a linear classifier of whole orders.

An order gives each image of a case a different modality. The probability of an order is a softmax of its
scores, which add up the weights of each image's features and of each pair's features (a conditional
log-linear model: Lafferty et al. 2001). Pairs are needed because T1 and T1ce are nearly the same image: where
both differ, T1ce is the brighter one. `modality_training` learns the weights from phantoms.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Num
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.modalities import MODALITIES

WEIGHTS = Path(__file__).with_name("modality_weights.json")
STEP_MM = 3.0
"""Distance of the voxels that are measured."""
MAX_VOX = 20_000
"""Maximum number of voxels that are measured."""
MIN_BRAIN_ML = 300.0
"""Smallest brain whose modalities are classified; an adult's has more than 1000 ml."""
SHELLS_MM = (6.0, 18.0)
"""Depths below the brain's surface that separate three shells: of cortex and fluid, of white matter, of the
ventricles."""
PERCENTILES = (2, 10, 25, 50, 75, 90, 98)
DIFFERENCE_PERCENTILES = (1, 5, 25, 75, 95, 99)
MAX_DEVIATIONS = 4.0
"""Features count at most this many standard deviations from their mean over the phantoms."""

Order = tuple[int, ...]
"""The modality of each image, as its position in `MODALITIES`."""
Voxels = Float64[NDArray, " voxels"]


@dataclass(frozen=True)
class CaseFeatures:
    """Features of each image of a case and of each ordered pair of images.

    `single`: (images, features); `pair`: (images, images, features), unused on the diagonal.
    """

    single: Float64[NDArray, "n f"]
    pair: Float64[NDArray, "n n g"]

    def of_images(self, numbers: Sequence[int]) -> "CaseFeatures":
        """The features of some images of the case, in the given order."""
        return CaseFeatures(self.single[list(numbers)], self.pair[np.ix_(numbers, numbers)])


@dataclass(frozen=True)
class ModalityClassifier:
    """Mean and standard deviation of the features over the phantoms, and the weights of `order_vector`."""

    single_mean: Float64[NDArray, " f"]
    single_deviation: Float64[NDArray, " f"]
    pair_mean: Float64[NDArray, " g"]
    pair_deviation: Float64[NDArray, " g"]
    weights: Float64[NDArray, " w"]

    def order_vectors(self, features: CaseFeatures) -> Float64[NDArray, "orders w"]:
        """The vector of each of `orders`, with which `weights` are multiplied."""
        single = _standardise(features.single, self.single_mean, self.single_deviation)
        pair = _standardise(features.pair, self.pair_mean, self.pair_deviation)
        return np.stack([_order_vector(single, pair, order) for order in orders(len(single))])

    def log_probabilities(self, features: CaseFeatures) -> Float64[NDArray, " orders"]:
        """The natural logarithm of the probability of each of `orders`."""
        scores = self.order_vectors(features) @ self.weights
        scores -= scores.max()
        return np.asarray(scores - np.log(np.exp(scores).sum()))


@cache
def orders(images: int) -> tuple[Order, ...]:
    """All orders of some images of a case.

    >>> len(orders(4)), orders(1)
    (24, ((0,), (1,), (2,), (3,)))
    """
    return tuple(permutations(range(len(MODALITIES)), images))


@cache
def load_classifier(path: Path = WEIGHTS) -> ModalityClassifier:
    """The classifier of the package."""
    record = json.loads(path.read_text())
    return ModalityClassifier(**{name: np.array(record[name]) for name in ModalityClassifier.__annotations__})


def likeliest_modalities(
    images: Mapping[str, Num[NDArray, "d h w"]],
    brain: Bool[NDArray, "d h w"],
    spacing_mm: Sequence[float],
) -> tuple[dict[str, str], float] | None:
    """The modality that each image looks like, and how much likelier these are than the given ones.

    Args:
        images: finite images on one grid, by the modality that they are said to be.
        brain: the brain mask.
        spacing_mm: of the voxels, along each axis.

    Returns:
        The modality that each image looks like, all of them different; and the log-odds (natural logarithm
        of the ratio of both probabilities), 0 if they are those given. None if the brain is too small, or
        an image is constant.
    """
    features = measure_features(list(images.values()), brain, spacing_mm)
    if features is None:
        return None
    logs = load_classifier().log_probabilities(features)
    given = orders(len(images)).index(tuple(MODALITIES.index(name) for name in images))
    best = int(np.argmax(logs))
    found = {name: MODALITIES[i] for name, i in zip(images, orders(len(images))[best], strict=True)}
    return found, float(logs[best] - logs[given])


def describe_order(modalities: Mapping[str, str]) -> str:
    """The images that look like another modality, as text.

    Args:
        modalities: what each image looks like, as from `likeliest_modalities`.

    >>> describe_order({"t1": "t1ce", "t1ce": "t1", "t2": "t2"})
    't1 and t1ce look swapped'
    >>> describe_order({"t1": "t2", "t1ce": "t1", "t2": "t1ce"})
    't1 looks like t2, t1ce looks like t1, t2 looks like t1ce'
    """
    changed = {role: modality for role, modality in modalities.items() if role != modality}
    if len(changed) == 2 and set(changed) == set(changed.values()):
        return f"{' and '.join(changed)} look swapped"
    return ", ".join(f"{role} looks like {modality}" for role, modality in changed.items())


def measure_features(
    images: Sequence[Num[NDArray, "d h w"]], brain: Bool[NDArray, "d h w"], spacing_mm: Sequence[float]
) -> CaseFeatures | None:
    """The features of a case, from voxels about `STEP_MM` apart; None as for `likeliest_modalities`.

    They depend neither on the scale nor on the offset of the intensities of an image.
    """
    if np.count_nonzero(brain) * np.prod(spacing_mm) < 1000 * MIN_BRAIN_ML:
        return None
    steps = [max(1, round(STEP_MM / mm)) for mm in spacing_mm]
    grid = tuple(slice(None, None, step) for step in steps)
    inside = np.pad(brain[grid], 1)  # the brain ends where the image does
    distances = ndimage.distance_transform_edt(
        inside, [n * mm for n, mm in zip(steps, spacing_mm, strict=True)]
    )
    depths = distances[inside]
    every = slice(None, None, -(-depths.size // MAX_VOX))
    shells = np.digitize(depths[every], SHELLS_MM)
    values = [_normalise(image[grid][brain[grid]][every]) for image in images]
    known = [value for value in values if value is not None]
    if len(known) < len(images) or any((shells == n).sum() < len(PERCENTILES) for n in range(3)):
        return None
    return CaseFeatures(
        np.array([_single_features(value, shells) for value in known]),
        np.array([[_pair_features(one, other) for other in known] for one in known]),
    )


def _normalise(intensities: Num[NDArray, " voxels"]) -> Voxels | None:
    """Distance from the median in interquartile ranges, on a logarithmic scale for large ones."""
    values = intensities.astype(np.float64)
    low, middle, high = np.percentile(values, (25, 50, 75))
    return np.asarray(np.arcsinh((values - middle) / (high - low))) if high > low else None


def _single_features(values: Voxels, shells: Num[NDArray, " voxels"]) -> Float64[NDArray, " f"]:
    """Percentiles in each shell, and 1 for the frequency of a modality."""
    of_shells = [np.percentile(values[shells == number], PERCENTILES) for number in range(3)]
    return np.concatenate([*of_shells, [1.0]])


def _pair_features(one: Voxels, other: Voxels) -> Float64[NDArray, " g"]:
    """Correlation, the distribution of the difference, and one image where the other is dark or bright."""
    difference = one - other
    variance = float(np.mean(np.square(difference)))
    skewness = float(np.mean(difference**3)) / variance**1.5 if variance else 0.0
    very_dark, dark, bright, very_bright = np.percentile(other, (2, 10, 90, 98))
    where = (other <= very_dark, other <= dark, other >= bright, other >= very_bright)
    deviations = float(one.std() * other.std())
    correlation = float(np.mean((one - one.mean()) * (other - other.mean()))) / deviations
    percentiles = np.percentile(difference, DIFFERENCE_PERCENTILES)
    return np.array([correlation, *percentiles, difference.mean(), skewness, *(one[w].mean() for w in where)])


def _standardise(
    features: Float64[NDArray, "... f"], mean: Float64[NDArray, " f"], deviation: Float64[NDArray, " f"]
) -> Float64[NDArray, "... f"]:
    return np.asarray(np.clip((features - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS))


def _order_vector(
    single: Float64[NDArray, "n f"], pair: Float64[NDArray, "n n g"], order: Order
) -> Float64[NDArray, " w"]:
    """The features of each image and pair at the place of their modalities; 0 for missing modalities."""
    count = len(MODALITIES)
    singles, pairs = np.zeros((count, single.shape[-1])), np.zeros((count, count, pair.shape[-1]))
    for number, modality in enumerate(order):
        singles[modality] = single[number]
        pairs[modality, list(order)] = pair[number]
    different = ~np.eye(count, dtype=bool)
    return np.concatenate([singles.ravel(), pairs[different].ravel()])
