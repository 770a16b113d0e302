"""The BraTS challenges for other tumours than an adult's untreated glioma, by the names of their cases."""

import re
from dataclasses import dataclass

from glioseg.core.labels import LabelScheme


@dataclass(frozen=True)
class Challenge:
    """A challenge of BraTS: what its cases show, and its label scheme unless the file names tell it."""

    name: str
    cases: str
    scheme: LabelScheme | None = None


CHALLENGES = {
    challenge.name: challenge
    for challenge in (
        Challenge("BraTS-PED", "gliomas of children", LabelScheme.BRATS_PED),
        Challenge("BraTS-SSA", "gliomas in Sub-Saharan Africa, on scans of lower resolution and contrast"),
        Challenge("BraTS-MEN", "meningiomas"),
        Challenge("BraTS-MET", "brain metastases"),
    )
}


CHALLENGE_NAME = "BraTS-[A-Z]+(?=-)"


def challenge_of(case: str) -> Challenge | None:
    """The challenge that a case's name tells; None for an adult's glioma (BraTS-GLI) or another name.

    >>> challenge_of("BraTS-PED-00030-000").cases
    'gliomas of children'
    >>> challenge_of("BraTS-GLI-00005-100") is None
    True
    """
    found = re.search(CHALLENGE_NAME, case)
    return CHALLENGES.get(found[0]) if found else None


def usual_scheme(case: str, scheme: LabelScheme) -> LabelScheme:
    """The usual label scheme of a case: that of its challenge, else that of its file names.

    >>> usual_scheme("BraTS-PED-00030-000", LabelScheme.BRATS2023).value
    'brats_ped'
    >>> usual_scheme("BraTS-MET-00086-000", LabelScheme.BRATS2023).value
    'brats2023'
    """
    challenge = challenge_of(case)
    return (challenge.scheme if challenge else None) or scheme
