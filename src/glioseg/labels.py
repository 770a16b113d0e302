"""Label values, the two BraTS label schemes, and the tumour regions WT, TC and ET.

Inside glioseg every label map is dense (`Label`: 0, 1, 2, 3). On disk a label map follows one of the
two schemes that BraTS has used: enhancing tumour is 4 up to 2021 and 3 from 2023 on.
"""

from collections.abc import Iterable
from enum import IntEnum, StrEnum

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from numpy.typing import NDArray


class Label(IntEnum):
    """Tumour tissue of one voxel, as glioseg stores it."""

    BACKGROUND = 0
    NCR = 1  # necrotic and non-enhancing core
    ED = 2  # peritumoural oedema
    ET = 3  # enhancing tumour


class Scheme(StrEnum):
    """Which value a file uses for enhancing tumour."""

    BRATS2021 = "brats2021"  # 2012 to 2021: ET = 4
    BRATS2023 = "brats2023"  # 2023 on: ET = 3

    @property
    def et(self) -> int:
        """The value of enhancing tumour in this scheme."""
        return 4 if self is Scheme.BRATS2021 else 3

    @property
    def values(self) -> frozenset[int]:
        """Every value that a label map of this scheme may hold."""
        return frozenset({0, 1, 2, self.et})


REGIONS: dict[str, tuple[Label, ...]] = {
    "WT": (Label.NCR, Label.ED, Label.ET),
    "TC": (Label.NCR, Label.ET),
    "ET": (Label.ET,),
}
"""The nested BraTS regions (Menze et al. 2015): whole tumour, tumour core, enhancing tumour."""

LABEL_NAMES = tuple(label.name for label in Label if label is not Label.BACKGROUND)


def detect_scheme(values: Iterable[int]) -> Scheme | None:
    """Name the scheme that a set of label values shows, or None where it shows neither or both.

    >>> detect_scheme({0, 1, 2, 4})
    <Scheme.BRATS2021: 'brats2021'>
    >>> detect_scheme({0, 1, 2}) is None
    True
    """
    seen = set(values) & {3, 4}
    return {3: Scheme.BRATS2023, 4: Scheme.BRATS2021}[seen.pop()] if len(seen) == 1 else None


def from_scheme(labels: Integer[NDArray, "*grid"], scheme: Scheme) -> UInt8[NDArray, "*grid"]:
    """Translate a file's label values to glioseg's dense ones.

    Args:
        labels: values of `scheme`, any grid.
        scheme: the scheme that the values are in.

    Raises:
        ValueError: a value that the scheme does not have.

    >>> from_scheme(np.array([0, 1, 2, 4]), Scheme.BRATS2021)
    array([0, 1, 2, 3], dtype=uint8)
    """
    strange = sorted(set(np.unique(labels).tolist()) - scheme.values)
    if strange:
        raise ValueError(f"labels: expected {sorted(scheme.values)} ({scheme}), got {strange}")
    return np.where(labels == scheme.et, Label.ET, labels).astype(np.uint8)


def to_scheme(labels: UInt8[NDArray, "*grid"], scheme: Scheme) -> UInt8[NDArray, "*grid"]:
    """Translate glioseg's dense labels to a file's scheme: the inverse of `from_scheme`.

    >>> to_scheme(np.array([0, 3], dtype=np.uint8), Scheme.BRATS2021)
    array([0, 4], dtype=uint8)
    """
    return np.where(labels == Label.ET, scheme.et, labels).astype(np.uint8)


def regions_from_labels(labels: UInt8[NDArray, "*grid"]) -> Bool[NDArray, "*grid 3"]:
    """Mark the voxels of WT, TC and ET, in that order, on a new last axis.

    >>> regions_from_labels(np.array([0, 1, 2, 3], dtype=np.uint8)).astype(int).tolist()
    [[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]
    """
    return np.stack([np.isin(labels, members) for members in REGIONS.values()], axis=-1)


def labels_from_regions(
    probabilities: Float[NDArray, "*grid 3"], threshold: float = 0.5
) -> UInt8[NDArray, "*grid"]:
    """Turn the probabilities of WT, TC and ET into labels that respect the nesting.

    A voxel is in a region where its probability passes the threshold and it is in the enclosing
    region too, so that a stray core voxel outside the whole tumour does not become tumour.

    >>> labels_from_regions(np.array([[.9, .1, .8], [.9, .9, .1], [.1, .9, .9], [.9, .9, .9]]))
    array([2, 1, 0, 3], dtype=uint8)
    """
    wt, tc, et = np.moveaxis(probabilities >= threshold, -1, 0)
    labels = np.zeros(wt.shape, np.uint8)
    labels[wt] = Label.ED
    labels[wt & tc] = Label.NCR
    labels[wt & tc & et] = Label.ET
    return labels
