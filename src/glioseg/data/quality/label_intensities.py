"""Whether the tissues of a label scheme look like those tissues: a check of the scheme against the images.

Enhancing tumour is what brightens from T1 to T1ce, by definition (Menze et al. 2015). Oedema is bright on
FLAIR and does not brighten. A cohort in which another label brightens more than the one that the scheme
calls enhancing tumour follows another scheme. Single cases vary, so medians over the cohort are compared.

Necrotic core and oedema vary too much in intensity, but not in place: in an enhancing tumour, oedema lies
outside, at the healthy brain, and the core within.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray

from glioseg.core.labels import Label, LabelScheme

SAMPLED_VOX = 100_000
"""Number of healthy voxels from which the median and the interquartile range are estimated."""
MIN_VOX = 100
"""Minimum number of a label's voxels in a case; the median of fewer is too uncertain."""
MIN_CASES = 3
"""Minimum number of cases for limits of one tissue; a single tumour may enhance faintly."""
MARGIN = 1.0
"""A label that brightens more than ET by this contradicts the scheme. In right cases ET brightens by 1.5 to 6
more than each other label, in 11 real ones, and by 0.5 to 15 more in 53 phantoms."""
MIN_BRIGHTENING = 0.2
"""Smallest brightening of ET; in real cases 1.1 to 5.5."""
MIN_FLAIR = 0.5
"""Smallest brightness of oedema on FLAIR; in real cases 1.5 to 5.5."""
MAX_EXPOSURE = 0.3
"""A core whose exposure exceeds that of oedema by this is oedema. In 11 real cases with enhancing tumour it
is 0.60 to 0.90 smaller than that of oedema, in 43 phantoms 0.48 to 0.91, in 15 domain-randomised ones 0.29 to
0.91."""
IQR_PER_DEVIATION = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""
CONTRASTS = ("t1", "t1ce", "flair")

LabelIntensity = tuple[int, int, float, float, float]
"""A label value, its voxels, its brightening from T1 to T1ce, its brightness on FLAIR, and its exposure.

Exposure is the share of the label's surface that adjoins tissue without a label.

Brightness is the distance of its median from that of the healthy brain, in robust standard deviations of the
healthy brain, so that it depends on neither unit nor offset of the intensities."""


def measure_label_intensities(
    images: Mapping[str, Num[NDArray, "d h w"]], labels: Num[NDArray, "d h w"], brain: Bool[NDArray, "d h w"]
) -> tuple[LabelIntensity, ...] | None:
    """The intensity of each label of a case with at least `MIN_VOX` voxels.

    Args:
        images: the modalities, with finite voxels, on the grid of the labels.
        labels: the label map.
        brain: the brain mask.

    Returns:
        By ascending value; None if T1, T1ce or FLAIR is missing or constant in the healthy brain.
    """
    tumour = labels > 0
    healthy = brain & ~tumour
    if not all(name in images for name in CONTRASTS) or not healthy.any():
        return None
    values = labels[tumour]
    brightness = {name: _brightness(images[name][tumour], images[name][healthy]) for name in CONTRASTS}
    t1, t1ce, flair = (brightness[name] for name in CONTRASTS)
    if t1 is None or t1ce is None or flair is None:
        return None
    exposure = _exposure(labels)
    measured = []
    for value in np.unique(values).tolist():
        own = values == value
        if (count := int(own.sum())) >= MIN_VOX and value == int(value):
            medians = [float(np.median(each[own])) for each in (t1, t1ce, flair)]
            measured.append((int(value), count, medians[1] - medians[0], medians[2], exposure[value]))
    return tuple(measured)


def _exposure(labels: Num[NDArray, "d h w"]) -> dict[float, float]:
    """By label value: of its voxels' faces to other values, the share to background."""
    faces, bare = Counter[float](), Counter[float]()
    for axis in range(labels.ndim):
        ends = np.moveaxis(labels, axis, 0)
        one, other = ends[:-1], ends[1:]
        differ = one != other
        for here, there in ((one[differ], other[differ]), (other[differ], one[differ])):
            faces.update(_counts(here))
            bare.update(_counts(here[there <= 0]))
    return {value: bare[value] / count for value, count in faces.items()}


def _counts(values: Num[NDArray, " n"]) -> dict[float, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.astype(float).tolist(), counts.tolist(), strict=True))


def _brightness(
    tumour: Num[NDArray, " tumour"], healthy: Num[NDArray, " healthy"]
) -> Num[NDArray, " tumour"] | None:
    sample = healthy[:: -(-healthy.size // SAMPLED_VOX)]
    low, middle, high = np.percentile(sample, (25, 50, 75)).tolist()
    return (tumour.astype(np.float64) - middle) * IQR_PER_DEVIATION / (high - low) if high > low else None


def describe_contradiction(scheme: LabelScheme, cases: Sequence[Sequence[LabelIntensity]]) -> str | None:
    """How the intensities of a cohort contradict its label scheme, with a table; None if they do not.

    Args:
        scheme: the label scheme of the cases.
        cases: the intensities of each labelled case, as from `measure_label_intensities`.

    >>> enhancing, cyst = (1, 9000, 4.0, 2.5, 0.1), (3, 400, 0.0, 1.0, 0.2)
    >>> child = (enhancing, (2, 7000, 0.1, 2.0, 0.5), cyst, (4, 20000, 0.2, 3.0, 0.7))
    >>> describe_contradiction(LabelScheme.BRATS2024, [child])[:35]
    '1 (NCR) brightens more than ET does'
    >>> describe_contradiction(LabelScheme.BRATS_PED, [child]) is None
    True
    """
    reason = _contradiction(scheme, cases)
    if reason is None:
        return None
    table = _medians(cases)
    rows = "; ".join(
        f"{value} ({_tissue_name(scheme, value)}): {brightening:+.1f}, {flair:+.1f}, {voxels} voxels"
        for value, (_, voxels, brightening, flair) in table.items()
    )
    others = [
        other for other in LabelScheme if table.keys() <= other.values and not _contradiction(other, cases)
    ]
    advice = f"; data.scheme may be {' or '.join(others)}" if others else ""
    return (
        f"{reason}; label: T1ce - T1, FLAIR (standard deviations of healthy brain), size, medians of the"
        f" cohort: {rows}{advice}"
    )


Medians = dict[int, tuple[int, int, float, float]]
"""By label value: the number of cases, and the medians over them of voxels, brightening and FLAIR."""


def _medians(cases: Iterable[Sequence[LabelIntensity]]) -> Medians:
    by_value: dict[int, list[tuple[int, float, float]]] = {}
    for case in cases:
        for value, voxels, brightening, flair, _ in case:
            by_value.setdefault(value, []).append((voxels, brightening, flair))
    medians = {value: np.median(rows, axis=0).tolist() for value, rows in sorted(by_value.items())}
    return {value: (len(by_value[value]), int(row[0]), row[1], row[2]) for value, row in medians.items()}


def _contradiction(scheme: LabelScheme, cases: Sequence[Sequence[LabelIntensity]]) -> str | None:
    return _wrong_intensity(scheme, _medians(cases)) or _wrong_place(scheme, cases)


def _wrong_place(scheme: LabelScheme, cases: Iterable[Sequence[LabelIntensity]]) -> str | None:
    """How the core lies outside oedema in the median of the enhancing tumours; None if it does not.

    Schemes with several values for the core, as of children's tumours, whose core need not lie within, are
    not judged.
    """
    value_of = {tissue: value for value, tissue in scheme.tissues.items()}
    if list(scheme.tissues.values()).count(Label.NCR) > 1:
        return None
    core, oedema, enhancing = (value_of[tissue] for tissue in (Label.NCR, Label.ED, Label.ET))
    exposures = []
    for case in cases:
        own = {value: exposure for value, *_, exposure in case}
        if {core, oedema, enhancing} <= own.keys():
            exposures.append((own[core], own[oedema]))
    if not exposures:
        return None
    inner, outer = np.median(exposures, axis=0).tolist()
    if inner <= outer + MAX_EXPOSURE:
        return None
    shares = f"{inner:.0%} and {outer:.0%} of their surfaces adjoin healthy tissue"
    return f"{core} (NCR) lies outside {oedema} (ED): {shares}"


def _wrong_intensity(scheme: LabelScheme, table: Medians) -> str | None:
    tissues = {value: scheme.tissues.get(value) for value in table}
    enhancing = [value for value, tissue in tissues.items() if tissue is Label.ET]
    if enhancing:
        most = max(table[value][2] for value in enhancing)
        for value, (_, _, brightening, _) in table.items():
            if value not in enhancing and brightening >= most + MARGIN:
                return f"{value} ({_tissue_name(scheme, value)}) brightens more than ET does"
    for value, (count, _, brightening, flair) in table.items():
        if count >= MIN_CASES and tissues[value] is Label.ET and brightening < MIN_BRIGHTENING:
            return f"{value} (ET) does not brighten"
        if count >= MIN_CASES and tissues[value] is Label.ED and flair < MIN_FLAIR:
            return f"{value} (ED) is not bright on FLAIR"
    return None


def _tissue_name(scheme: LabelScheme, value: int) -> str:
    tissue = scheme.tissues.get(value)
    return "unknown" if tissue is None else "no tumour" if tissue is Label.BACKGROUND else tissue.name
