"""Which volumes of a cohort are far from the others, and which are too near to one another."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glioseg.core.modalities import MODALITIES
from glioseg.data.quality.image_quality import read_fingerprint
from glioseg.data.quality.volume_statistics import VolumeRow
from glioseg.params.contract import Alike, Contract, Far

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
    for numbers in _by_modality(rows):
        images = [rows[number] for number in numbers]
        said = (
            far_away([row.range for row in images], terms.range),
            far_away([row.peak for row in images], terms.peak),
            far_away([row.detail for row in images], terms.detail, only_less=True),
        )
        for column, words_of in zip(ODD_COLUMNS, said, strict=False):
            for index, words in words_of.items():
                found[numbers[index]][column] = words
    for number, words in _said_of_twins(rows, _twins(rows, patients, terms.near_duplicate)).items():
        found[number]["alike"] = words
    return found


def alike_cases(
    rows: Sequence[VolumeRow], patients: Mapping[str, str], terms: Contract
) -> list[tuple[str, str]]:
    """Pairs of cases that share nearly the same image, or the same bytes; the earlier case first.

    Args:
        rows: the measured volumes of a cohort.
        patients: the patient of each case.
        terms: how near is near; where near duplicates are not asked for, there are none.
    """
    if terms.near_duplicate.severity == "off":
        return []
    twins = _twins(rows, patients, terms.near_duplicate)
    return sorted({(rows[twin.earlier].case, rows[twin.later].case) for twin in twins})


def _by_modality(rows: Sequence[VolumeRow]) -> Iterator[list[int]]:
    """The numbers of the rows of each modality."""
    for modality in MODALITIES:
        yield [number for number, row in enumerate(rows) if row.role == modality]


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


@dataclass(frozen=True)
class _Twin:
    """Two rows that hold nearly the same image."""

    later: int
    earlier: int
    correlation: float


def _twins(rows: Sequence[VolumeRow], patients: Mapping[str, str], terms: Alike) -> list[_Twin]:
    found = []
    for numbers in _by_modality(rows):
        marked = [number for number in numbers if rows[number].fingerprint]
        if len(marked) < 2:
            continue
        prints = np.stack([read_fingerprint(str(rows[number].fingerprint)) for number in marked])
        likeness = np.tril(prints @ prints.T, -1)
        for later, earlier in np.argwhere(likeness > terms.correlation).tolist():
            twin = _Twin(marked[later], marked[earlier], float(likeness[later, earlier]))
            one, other = rows[twin.later].case, rows[twin.earlier].case
            near = terms.correlation if patients[one] != patients[other] else terms.same_patient
            if one != other and twin.correlation > near:
                found.append(twin)
    return found


def _said_of_twins(rows: Sequence[VolumeRow], twins: Iterable[_Twin]) -> dict[int, str]:
    """What is said of a case, at its first image that an earlier case has: once for all its modalities.

    Of several earlier cases the last one counts. Images of the same bytes have a rule of their own.
    """
    last = {
        twin.later: twin
        for twin in twins
        if not (rows[twin.later].same_bytes_as or rows[twin.earlier].same_bytes_as)
    }
    shared: dict[tuple[str, str], list[_Twin]] = defaultdict(list)
    for twin in last.values():
        shared[rows[twin.later].case, rows[twin.earlier].case].append(twin)
    return {same[0].later: _words(rows, earlier, same) for (_, earlier), same in shared.items()}


def _words(rows: Sequence[VolumeRow], earlier: str, same: Sequence[_Twin]) -> str:
    least = min(twin.correlation for twin in same)
    if len(same) == 1:
        return f"{earlier}, with a correlation of {least:.3f}"
    roles = ", ".join(rows[twin.later].role for twin in same)
    return f"{earlier} in {roles}, with a correlation of at least {least:.3f}"
