"""Which volumes of a cohort are far from the others, and which are too near to one another."""

from collections.abc import Mapping, Sequence

import numpy as np

from glioseg.data.layouts import MODALITIES
from glioseg.data.measures import VolumeRow
from glioseg.data.oddities import read_fingerprint
from glioseg.data.terms import Alike, Contract, Far

ENOUGH = 8
"""Fewer volumes of a modality have no median to be far from."""

NORMAL = 1.4826
"""Standard deviations in a median absolute deviation, for a normal distribution."""

ODD_COLUMNS = ("range_away", "peak_away", "detail_away", "alike")

Oddity = dict[str, str]
"""What is odd about a volume, in words, by the name of its column."""


def find_outliers(rows: Sequence[VolumeRow], patients: Mapping[str, str], terms: Contract) -> list[Oddity]:
    """Compare the images of a cohort, modality by modality.

    Args:
        rows: its measured volumes.
        patients: the patient of each case.
        terms: how far is far, and how near is near.

    Returns:
        One entry a row, with those of `ODD_COLUMNS` of which there is something to say.
    """
    found: list[Oddity] = [{} for _ in rows]
    for modality in MODALITIES:
        numbers = [number for number, row in enumerate(rows) if row.role == modality]
        images = [rows[number] for number in numbers]
        said = (
            far_away([row.range for row in images], terms.range),
            far_away([row.peak for row in images], terms.peak),
            far_away([row.detail for row in images], terms.detail, only_less=True),
            _twins(images, patients, terms.near_duplicate),
        )
        for column, words_of in zip(ODD_COLUMNS, said, strict=True):
            for index, words in words_of.items():
                found[numbers[index]][column] = words
    return found


def far_away(values: Sequence[float | None], far: Far, *, only_less: bool = False) -> dict[int, str]:
    """Find the values that are far from their median on a log scale, and say how far.

    Args:
        values: above 0; None is left out.
        far: how many times more or less is far; where values spread, more than so many robust deviations.
        only_less: too large a value is none to speak of.

    >>> far_away([100.0, 110.0, 90.0, 105.0, 95.0, 100.0, 100.0, 2.0], Contract().range)
    {7: '50 times less; up to 8 times is usual'}
    """
    known = {index: value for index, value in enumerate(values) if value}
    if len(known) < ENOUGH:
        return {}
    logs = np.log(list(known.values()))
    away = logs - np.median(logs)
    spread = NORMAL * float(np.median(np.abs(away)))
    limit = max(float(np.log(far.times)), far.deviations * spread)
    return {
        index: f"{_times(abs(step))} {'more' if step > 0 else 'less'}; up to {_times(limit)} is usual"
        for index, step in zip(known, away.tolist(), strict=True)
        if abs(step) > limit and not (only_less and step > 0)
    }


def _times(log: float) -> str:
    return f"{float(f'{np.exp(log):.3g}'):g} times"


def _twins(images: Sequence[VolumeRow], patients: Mapping[str, str], terms: Alike) -> dict[int, str]:
    """The last earlier case that an image is nearly the same as; the same bytes have a rule of their own."""
    marked = [index for index, row in enumerate(images) if row.fingerprint and not row.same_bytes_as]
    if len(marked) < 2:
        return {}
    prints = np.stack([read_fingerprint(str(images[index].fingerprint)) for index in marked])
    likeness = np.tril(prints @ prints.T, -1)
    said = {}
    for later, earlier in np.argwhere(likeness > terms.correlation).tolist():
        one, other = images[marked[later]].case, images[marked[earlier]].case
        near = terms.correlation if patients[one] != patients[other] else terms.same_patient
        if one != other and likeness[later, earlier] > near:
            said[marked[later]] = f"{other}, with a correlation of {likeness[later, earlier]:.3f}"
    return said
