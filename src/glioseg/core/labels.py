"""Label values, the label schemes of BraTS and MSD, and the tumour regions WT, TC and ET.

In memory, label maps hold the consecutive values of `Label` (0, 1, 2, 3). On disk, a label map follows one of
the schemes that BraTS and the Medical Segmentation Decathlon (MSD) have used.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum

import numpy as np
from jaxtyping import Bool, Float, Integer, Num, UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError


class Label(IntEnum):
    """Tissue of a voxel, with the value that it has in memory."""

    BACKGROUND = 0
    NCR = 1  # necrotic and non-enhancing core
    ED = 2  # peritumoural oedema
    ET = 3  # enhancing tumour


LABEL_NAMES = tuple(label.name for label in Label if label is not Label.BACKGROUND)
MAX_LABEL = 255
"""Largest value of a label; label maps are written as 8-bit integers."""


class LabelError(GliosegError, ValueError):
    """A label map with values outside its scheme, or an invalid scheme."""


class LabelScheme(StrEnum):
    """The values of tissues in a label map on disk.

    Besides its members, the text of a mapping of values to tissues is a scheme.

    >>> LabelScheme("1=ET 2=NCR 3=NCR 4=ED").tissues[4].name
    'ED'
    """

    BRATS2021 = "brats2021"  # BraTS 2012 to 2021: ET is 4
    BRATS2023 = "brats2023"  # BraTS 2023: ET is 3
    BRATS2024 = "brats2024"  # BraTS 2024, after treatment: ET is 3, and 4 is a resection cavity
    BRATS_PED = "brats_ped"  # BraTS-PED since 2024, children: ET is 1, non-enhancing core 2, cyst 3, oedema 4
    MSD = "msd"  # Medical Segmentation Decathlon, Task01: oedema is 1, non-enhancing core 2, ET 3

    @classmethod
    def _missing_(cls, value: object) -> "LabelScheme | None":
        """The scheme of a mapping, which is no member: any number of schemes is possible."""
        if not isinstance(value, str) or "=" not in value:
            return None
        scheme = str.__new__(cls, _mapping_text(_parse_mapping(value)))
        scheme._name_ = scheme._value_ = str.__str__(scheme)
        return scheme

    @property
    def is_detectable(self) -> bool:
        """Whether `detect_scheme` can find this scheme; else a file's name or the user must tell it."""
        return self in (self.BRATS2021, self.BRATS2023, self.BRATS2024)

    @property
    def tissues(self) -> dict[int, Label]:
        """The tissue of each value of this scheme."""
        return TISSUES.get(self) or {0: Label.BACKGROUND} | _parse_mapping(self.value)

    @property
    def values(self) -> frozenset[int]:
        """All values of this scheme."""
        return frozenset(self.tissues)


def scheme_of_mapping(mapping: Mapping[object, object]) -> LabelScheme:
    """The label scheme of a mapping of label values to names of `Label`.

    Args:
        mapping: values from 1 to `MAX_LABEL`. NCR, ED and ET have at least one each; BACKGROUND may too.

    Raises:
        LabelError: another value or name, or a tissue without a value.

    >>> scheme_of_mapping({4: "ED", 1: "ET", 2: "NCR", 3: "NCR"}).value
    '1=ET 2=NCR 3=NCR 4=ED'
    """
    text = " ".join(f"{value}={name}" for value, name in mapping.items())
    return LabelScheme(_mapping_text(_parse_mapping(text)))


def _parse_mapping(text: str) -> dict[int, Label]:
    """The tissue of each value in a text such as "1=ET 2=NCR 4=ED", in ascending order of the values."""
    found: dict[int, Label] = {}
    for entry in text.split(" "):
        value, _, name = entry.partition("=")
        if (
            not value.isascii()
            or not value.isdigit()
            or not 0 < int(value) <= MAX_LABEL
            or int(value) in found
        ):
            raise LabelError(f"expected label values from 1 to {MAX_LABEL}, each once, got {value!r}")
        if name not in Label.__members__:
            raise LabelError(f"expected one of {', '.join(Label.__members__)} for value {value}, got {name}")
        found[int(value)] = Label[name]
    if missing := [name for name in LABEL_NAMES if Label[name] not in found.values()]:
        raise LabelError(
            f"expected a value for each of {', '.join(LABEL_NAMES)}, missing {', '.join(missing)}"
        )
    return dict(sorted(found.items()))


def _mapping_text(tissues: Mapping[int, Label]) -> str:
    return " ".join(f"{value}={label.name}" for value, label in tissues.items())


_COMMON = {0: Label.BACKGROUND, 1: Label.NCR, 2: Label.ED}
TISSUES = {
    LabelScheme.BRATS2021: _COMMON | {4: Label.ET},
    LabelScheme.BRATS2023: _COMMON | {3: Label.ET},
    # A resection cavity is not tumour: it belongs to none of WT, TC and ET.
    LabelScheme.BRATS2024: _COMMON | {3: Label.ET, 4: Label.BACKGROUND},
    # A cyst belongs to the tumour core (Kazerooni et al. 2024); a predicted core is written as 2.
    LabelScheme.BRATS_PED: {0: Label.BACKGROUND, 1: Label.ET, 2: Label.NCR, 3: Label.NCR, 4: Label.ED},
    LabelScheme.MSD: {0: Label.BACKGROUND, 1: Label.ED, 2: Label.NCR, 3: Label.ET},
}


REGIONS: dict[str, tuple[Label, ...]] = {
    "WT": (Label.NCR, Label.ED, Label.ET),
    "TC": (Label.NCR, Label.ET),
    "ET": (Label.ET,),
}
"""The nested BraTS regions (Menze et al. 2015): whole tumour, tumour core, enhancing tumour."""


def detect_scheme(values: Iterable[int]) -> LabelScheme | None:
    """The BraTS scheme that the values of one label map suggest; None if they occur in all schemes.

    A label map of 2024 has the values of 2023 if it has no resection cavity, and those of 2021 if it has no
    enhancing tumour. `glioseg.data.cohort.ingest` therefore detects the scheme from the whole cohort.

    >>> detect_scheme({0, 1, 2, 4})
    <LabelScheme.BRATS2021: 'brats2021'>
    >>> detect_scheme({0, 1, 2}) is None
    True
    """
    distinctive = frozenset({3, 4} & set(values))
    return {
        frozenset({4}): LabelScheme.BRATS2021,
        frozenset({3}): LabelScheme.BRATS2023,
        frozenset({3, 4}): LabelScheme.BRATS2024,
    }.get(distinctive)


def from_scheme(labels: Integer[NDArray, "*grid"], scheme: LabelScheme) -> UInt8[NDArray, "*grid"]:
    """The label map of a file, with its values replaced by those of `Label`.

    Args:
        labels: values of `scheme`.
        scheme: the label scheme of the file.

    Raises:
        LabelError: a value outside the scheme.

    >>> from_scheme(np.array([0, 1, 2, 4]), LabelScheme.BRATS2021)
    array([0, 1, 2, 3], dtype=uint8)
    """
    unknown = sorted(set(np.unique(labels[labels != 0]).tolist()) - scheme.values)
    if unknown:
        raise LabelError(f"labels: expected {sorted(scheme.values)} ({scheme}), got {unknown}")
    table = np.zeros(max(scheme.values) + 1, np.uint8)
    for value, tissue in scheme.tissues.items():
        table[value] = tissue
    dense: NDArray[np.uint8] = table[labels]
    return dense


def from_detected_scheme(values: Num[NDArray, "*grid"], usual: LabelScheme) -> UInt8[NDArray, "*grid"]:
    """The label map of a file, whose own values tell its scheme where they differ between the years of BraTS.

    Args:
        values: as stored.
        usual: the scheme if the values do not tell it; it counts in any case if it is not detectable.

    Raises:
        LabelError: a value outside the scheme.

    >>> from_detected_scheme(np.array([0.0, 1.0, 3.0]), LabelScheme.BRATS2021)
    array([0, 1, 3], dtype=uint8)
    """
    if not (np.abs(values) <= MAX_LABEL).all():
        raise LabelError(f"expected labels, got values up to {np.abs(values).max():g}")
    labels = round_labels(values)
    detected = detect_scheme(np.unique(labels).tolist()) if usual.is_detectable else None
    return from_scheme(labels, detected or usual)


def round_labels(values: Num[NDArray, "*grid"]) -> Integer[NDArray, "*grid"]:
    """A label map as integers: some years of BraTS stored floats.

    >>> round_labels(np.array([0.0, 3.9999]))
    array([0, 4], dtype=int16)
    """
    if values.dtype.kind in "iu":
        return values
    rounded: NDArray[np.int16] = np.rint(values).astype(np.int16)
    return rounded


def to_scheme(labels: UInt8[NDArray, "*grid"], scheme: LabelScheme) -> UInt8[NDArray, "*grid"]:
    """A label map with the values of `Label` replaced by those of a scheme: the inverse of `from_scheme`.

    >>> to_scheme(np.array([0, 3], dtype=np.uint8), LabelScheme.BRATS2021)
    array([0, 4], dtype=uint8)
    """
    table = np.zeros(len(Label), np.uint8)
    for value, tissue in reversed(scheme.tissues.items()):  # background is 0, not the value of the cavity
        table[tissue] = value
    values: NDArray[np.uint8] = table[labels]
    return values


def regions_from_labels(labels: UInt8[NDArray, "*grid"]) -> Bool[NDArray, "*grid 3"]:
    """Masks of WT, TC and ET, in this order, along a new last axis.

    >>> regions_from_labels(np.array([0, 1, 2, 3], dtype=np.uint8)).astype(int).tolist()
    [[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]
    """
    return np.stack([np.isin(labels, members) for members in REGIONS.values()], axis=-1)


def labels_from_regions(
    probabilities: Float[NDArray, "*grid 3"], threshold: float = 0.5
) -> UInt8[NDArray, "*grid"]:
    """Labels from the probabilities of WT, TC and ET, with ET within TC within WT.

    A voxel belongs to a region if its probability reaches the threshold and the voxel belongs to the
    enclosing region, so that a core voxel outside the whole tumour is background.

    >>> labels_from_regions(np.array([[.9, .1, .8], [.9, .9, .1], [.1, .9, .9], [.9, .9, .9]]))
    array([2, 1, 0, 3], dtype=uint8)
    """
    wt, tc, et = np.moveaxis(probabilities >= threshold, -1, 0)
    labels = np.zeros(wt.shape, np.uint8)
    labels[wt] = Label.ED
    labels[wt & tc] = Label.NCR
    labels[wt & tc & et] = Label.ET
    return labels
