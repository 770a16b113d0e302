"""What the case names of the BraTS challenges tell."""

from pathlib import Path

import pytest

from glioseg.core.labels import LabelScheme
from glioseg.data.cohort.challenges import challenge_of
from glioseg.data.cohort.layouts import find_cases


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("BraTS-PED-00030-000", "BraTS-PED"),
        ("BraTS-SSA-00002-000", "BraTS-SSA"),
        ("BraTS-MEN-00004-000", "BraTS-MEN"),
        ("BraTS-MEN-RT-0002-1", "BraTS-MEN"),
        ("BraTS-MET-00086-000", "BraTS-MET"),
        ("fold1_BraTS-PED-00030-000", "BraTS-PED"),
        ("BraTS-GLI-00005-000", None),
        ("BraTS2021_00005", None),
        ("PEDRO-1", None),
    ],
)
def test_a_name_tells_the_challenge(case: str, name: str | None) -> None:
    challenge = challenge_of(case)
    assert (challenge and challenge.name) == name


@pytest.mark.parametrize(
    ("case", "scheme"),
    [("BraTS-PED-00030-000", LabelScheme.BRATS_PED), ("BraTS-SSA-00030-000", LabelScheme.BRATS2023)],
)
def test_cases_of_children_have_their_own_labels(tmp_path: Path, case: str, scheme: LabelScheme) -> None:
    for ending in ("t1n", "t1c", "t2w", "t2f"):
        (tmp_path / f"{case}-{ending}.nii.gz").touch()
    (found,) = find_cases(tmp_path)
    assert (found.case, found.scheme) == (case, scheme)
