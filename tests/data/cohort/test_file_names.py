"""Each name that public data sets and programs give has its role, whatever the case of its letters.

The names of the cases of BraTS tell the challenge.
"""

from pathlib import Path

import pytest

from glioseg.core.labels import LabelScheme
from glioseg.data.cohort.file_names import OTHER_SEGMENTATION, challenge_of, folder_role, recognise
from glioseg.data.cohort.layouts import find_cases

ENDINGS = {
    "t1": "t1 T1 t1n t1w T1w t1pre T1_pre",
    "t1ce": "t1ce T1CE t1c T1c t1gd T1GD T1Gd t1post T1_post t1-ce T1w_gd T1km T1+C CT1 T1_postcontrast",
    "t2": "t2 T2 t2w T2w",
    "flair": "flair FLAIR Flair t2f T2_FLAIR T2FLAIR",
    "seg": "seg Seg Segm segmentation tumor_segmentation label truth GlistrBoost_ManuallyCorrected",
}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize(
    ("role", "ending"), [(r, end) for r, ends in ENDINGS.items() for end in ends.split()]
)
def test_endings(role, ending, suffix):
    for separator in "_-.":
        known = recognise(f"CASE_1{separator}{ending}{suffix}")
        assert (known.case, known.role) == ("CASE_1", role)
    assert recognise(f"{ending}{suffix}").role == role
    assert folder_role(ending) == role


@pytest.mark.parametrize(
    "name",
    [
        "_t1.nii.gz",
        "x_t1.txt",
        "x_adc.nii.gz",
        ".x_t1.nii.gz",
        "x_T1_bias.nii.gz",
        "x_T1_unstripped.nii.gz",
        "x_0004.nii.gz",
        "x_Prediction.nii.gz",
        "mask.nii.gz",
        "x_T2Synth.nii.gz",
        "sub-01_ce-GD_FLAIR.nii.gz",
        "sub-01_dseg.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
        "x_GlistrBoost.nii.gz",
        "x_subtraction.nii.gz",
        "xt1.nii.gz",
    ],
)
def test_names_without_a_role(name):
    assert recognise(name) is None


@pytest.mark.parametrize(
    "name", ["x_brain_segmentation", "brain_mask_seg", "x_automated_approx_segm", "T1_fast_seg"]
)
def test_segmentations_of_something_else(name):
    assert recognise(f"{name}.nii.gz").role == OTHER_SEGMENTATION


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("x-t1c", "brats2023"), ("x-t2w", "brats2023"), ("x_t1n", "brats2023"), ("x_T1c", "brats2021")],
)
def test_the_usual_label_scheme(name, scheme):
    assert recognise(f"{name}.nii.gz").scheme is LabelScheme(scheme)


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
