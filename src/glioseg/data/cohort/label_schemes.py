"""The label scheme of a cohort: declared, or told by all its label maps together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from glioseg.core.labels import Scheme, shown_scheme
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import VolumeError, read_volume
from glioseg.data.cohort.cases import Case, CohortError
from glioseg.data.cohort.clinical import first_few


def settle_schemes(
    cases: Sequence[Case], shown: Sequence[Scheme | None], *, declared: Scheme | None = None
) -> list[Case]:
    """Set each case's label scheme to the one that all cases of its layout show together.

    One case seldom tells (it may have no enhancing tumour), so nothing is guessed case by case; where
    no case tells, the layout's own scheme stands. The Decathlon declares its scheme itself.

    Args:
        cases: as `find_cases` found them, each with its layout's own scheme.
        shown: the scheme that each case's label map shows, as from `shown_in`.
        declared: the scheme of all cases, if the user says so.

    Raises:
        CohortError: cases of one layout show different schemes.
    """
    if declared:
        return [replace(case, scheme=declared) for case in cases]
    settled = {Scheme.MSD: Scheme.MSD}
    for own in {case.scheme for case in cases} - settled.keys():
        told: dict[Scheme, list[str]] = {}
        for case, scheme in zip(cases, shown, strict=True):
            if scheme and case.scheme is own:
                told.setdefault(scheme, []).append(case.case)
        settled[own] = _together(own, told)
    return [replace(case, scheme=settled[case.scheme]) for case in cases]


def shown_in(case: Case) -> Scheme | None:
    """The scheme that a case's label map shows; None where it does not tell, or cannot be read."""
    if not case.labelled or case.scheme is Scheme.MSD:
        return None
    try:
        volume = read_volume(case.files[SEGMENTATION])
    except VolumeError:
        return None  # the contract names the file; here it just tells nothing
    values = np.unique(volume.data) if volume.real else ()
    return shown_scheme(int(value) for value in values if value in (0, 1, 2, 3, 4))


def _together(own: Scheme, told: Mapping[Scheme, Sequence[str]]) -> Scheme:
    """The scheme of a layout, from the cases that show each.

    After treatment some cases have a cavity or enhancing tumour alone, so that they look like another
    scheme's; a case with both tells. Before 2023 there was no cavity: 3 beside 4 breaks the contract.
    """
    if own is Scheme.BRATS2023 and Scheme.BRATS2024 in told:
        return Scheme.BRATS2024
    possible = {scheme: names for scheme, names in told.items() if scheme is not Scheme.BRATS2024}
    if len(possible) > 1:
        got = ", ".join(f"{scheme} in {first_few(names)}" for scheme, names in sorted(possible.items()))
        raise CohortError(
            f"labels: expected one scheme in the cohort, got {got}; if it is one, declare data.scheme"
        )
    return next(iter(possible), own)
