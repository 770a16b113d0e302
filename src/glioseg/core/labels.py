"""Label values, the label schemes of BraTS and MSD, and the tumour regions WT, TC and ET.

Inside glioseg every label map is dense (`Label`: 0, 1, 2, 3). On disk a label map follows one of the
schemes that BraTS and the Medical Segmentation Decathlon have used.
"""

from collections.abc import Iterable
from enum import IntEnum, StrEnum

import numpy as np
from jaxtyping import Bool, Float, Integer, Num, UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError


class Label(IntEnum):
    """Tumour tissue of one voxel, as glioseg stores it."""

    BACKGROUND = 0
    NCR = 1  # necrotic and non-enhancing core
    ED = 2  # peritumoural oedema
    ET = 3  # enhancing tumour


class LabelError(GliosegError):
    """A label map with values that its scheme does not have."""


class Scheme(StrEnum):
    """Which values a label map on disk uses for which tissue."""

    BRATS2021 = "brats2021"  # BraTS 2012 to 2021: ET is 4
    BRATS2023 = "brats2023"  # BraTS 2023: ET is 3
    BRATS2024 = "brats2024"  # BraTS 2024, after treatment: ET is 3, and 4 is a resection cavity
    MSD = "msd"  # Medical Segmentation Decathlon, Task01: oedema is 1, non-enhancing core 2, ET 3

    @property
    def tissues(self) -> dict[int, Label]:
        """The tissue of every value that a label map of this scheme may hold."""
        return TISSUES[self]

    @property
    def values(self) -> frozenset[int]:
        """Every value that a label map of this scheme may hold."""
        return frozenset(self.tissues)


_COMMON = {0: Label.BACKGROUND, 1: Label.NCR, 2: Label.ED}
TISSUES = {
    Scheme.BRATS2021: _COMMON | {4: Label.ET},
    Scheme.BRATS2023: _COMMON | {3: Label.ET},
    # A cavity is no tumour: it belongs to none of WT, TC and ET.
    Scheme.BRATS2024: _COMMON | {3: Label.ET, 4: Label.BACKGROUND},
    Scheme.MSD: {0: Label.BACKGROUND, 1: Label.ED, 2: Label.NCR, 3: Label.ET},
}


REGIONS: dict[str, tuple[Label, ...]] = {
    "WT": (Label.NCR, Label.ED, Label.ET),
    "TC": (Label.NCR, Label.ET),
    "ET": (Label.ET,),
}
"""The nested BraTS regions (Menze et al. 2015): whole tumour, tumour core, enhancing tumour."""

LABEL_NAMES = tuple(label.name for label in Label if label is not Label.BACKGROUND)


def shown_scheme(values: Iterable[int]) -> Scheme | None:
    """Which of BraTS' schemes the values of one label map show; None where none of them tells.

    A label map after treatment that lacks the cavity looks like one of 2023, and one that lacks
    enhancing tumour like one of 2021: the cohort as a whole decides (`schemes.settle_schemes`).

    >>> shown_scheme({0, 1, 2, 4})
    <Scheme.BRATS2021: 'brats2021'>
    >>> shown_scheme({0, 1, 2}) is None
    True
    """
    telling = frozenset({3, 4} & set(values))
    return {
        frozenset({4}): Scheme.BRATS2021,
        frozenset({3}): Scheme.BRATS2023,
        frozenset({3, 4}): Scheme.BRATS2024,
    }.get(telling)


def from_scheme(labels: Integer[NDArray, "*grid"], scheme: Scheme) -> UInt8[NDArray, "*grid"]:
    """Translate a file's label values to glioseg's dense ones.

    Args:
        labels: values of `scheme`, any grid.
        scheme: the scheme that the values are in.

    Raises:
        LabelError: a value that the scheme does not have.

    >>> from_scheme(np.array([0, 1, 2, 4]), Scheme.BRATS2021)
    array([0, 1, 2, 3], dtype=uint8)
    """
    strange = sorted(set(np.unique(labels[labels != 0]).tolist()) - scheme.values)
    if strange:
        raise LabelError(f"labels: expected {sorted(scheme.values)} ({scheme}), got {strange}")
    table = np.zeros(max(scheme.values) + 1, np.uint8)
    for value, tissue in scheme.tissues.items():
        table[value] = tissue
    dense: NDArray[np.uint8] = table[labels]
    return dense


def as_labels(values: Num[NDArray, "*grid"]) -> Integer[NDArray, "*grid"]:
    """The whole numbers of a label map, which some years stored as floats.

    >>> as_labels(np.array([0.0, 3.9999]))
    array([0, 4], dtype=int16)
    """
    if values.dtype.kind in "iu":
        return values
    whole: NDArray[np.int16] = np.rint(values).astype(np.int16)
    return whole


def to_scheme(labels: UInt8[NDArray, "*grid"], scheme: Scheme) -> UInt8[NDArray, "*grid"]:
    """Translate glioseg's dense labels to a file's scheme: the inverse of `from_scheme`.

    >>> to_scheme(np.array([0, 3], dtype=np.uint8), Scheme.BRATS2021)
    array([0, 4], dtype=uint8)
    """
    table = np.zeros(len(Label), np.uint8)
    for value, tissue in reversed(scheme.tissues.items()):  # 0 is background, and not the cavity's value
        table[tissue] = value
    values: NDArray[np.uint8] = table[labels]
    return values


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
