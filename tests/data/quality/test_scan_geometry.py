"""Findings about where voxels lie, each said once for a case."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, decode_volume
from glioseg.data.cohort.cases import Case, Scan, open_scans
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.quality.raw_expectations import check_case
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import check_scans

SHAPE = (12, 10, 8)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
RULES = ("placed", "qform sform", "known orientation", "registration", "affine", "same shape")


def image(seed, dtype=np.int16):
    data = np.zeros(SHAPE, dtype)
    data[3:9, 2:8, 2:6] = np.random.default_rng(seed).integers(50, 900, (6, 6, 4))
    return data


def read(data, qform, sform):
    header = nib.Nifti1Header()
    header.set_data_shape(data.shape)
    for set_form, (affine, code) in ((header.set_qform, qform), (header.set_sform, sform)):
        set_form(affine, code)
    return decode_volume(nib.Nifti1Image(data, None, header).to_bytes(), name="x")


def check(volumes):
    """The findings about geometry for a case."""
    scans = {name: Scan(f"{name}.nii", volume) for name, volume in volumes.items()}
    case = Case("one", {role: Path(role) for role in scans}, LabelScheme.BRATS2021)
    return [finding for finding in check_case(case, scans, Contract()) if finding.expectation in RULES]


def case_of(qform, sform):
    return {name: read(image(seed), qform, sform) for seed, name in enumerate(MODALITIES)}


def test_a_qform_and_an_sform_that_differ_are_one_warning_that_says_which_is_used():
    moved = LPS.copy()
    moved[0, 3] = 36.5
    (finding,) = check(case_of((LPS, 1), (moved, 4)))
    assert (finding.expectation, finding.severity) == ("qform sform", "warning")
    assert finding.observed == "36.5 mm between them; the sform is used"
    assert case_of((LPS, 1), (moved, 4))["t1"].grid.affine[0, 3] == 36.5
    assert check(case_of((LPS, 1), (LPS, 1))) == check(case_of((LPS, 1), (None, 0))) == []


@pytest.mark.parametrize(("unit", "name", "mm"), [("micron", "µm", "0.001"), ("meter", "m", "1000")])
def test_a_unit_that_makes_no_voxels_of_a_brain_is_refused_and_named(unit, name, mm):
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_sform(LPS, 1)
    header.set_xyzt_units(unit)
    scan = decode_volume(nib.Nifti1Image(image(0), None, header).to_bytes(), name="x")
    (finding,) = check({"t1": scan})
    assert (finding.role, finding.expectation, finding.severity) == ("t1", "placed", "critical")
    assert finding.observed == f"{mm} x {mm} x {mm} mm; the header's unit of length is {name}"


@pytest.mark.parametrize("axes", ["PSR", "IRA"])
def test_the_expected_shape_and_spacing_are_along_the_axes_of_lps(axes):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(axes)
    )
    turned = affine @ nib.orientations.inv_ornt_aff(change, SHAPE)
    data = nib.orientations.apply_orientation(image(0), change)
    scans = {"t1": Scan("t1.nii", read(np.ascontiguousarray(data), (turned, 1), (turned, 1)))}
    rules = Contract()
    shape = rules.shape.model_copy(update={"voxels": SHAPE})
    spacing = rules.spacing.model_copy(update={"mm": (1.0, 1.0, 2.0)})
    contract = rules.model_copy(update={"shape": shape, "spacing": spacing})
    case = Case("one", {"t1": Path("t1.nii")}, LabelScheme.BRATS2021)
    found = {finding.expectation for finding in check_case(case, scans, contract)}
    assert data.shape != SHAPE
    assert not found & {"shape", "same shape", "spacing"}


def test_codes_of_0_are_one_warning_that_says_how_the_scan_is_read():
    (finding,) = check(case_of((None, 0), (None, 0)))
    assert (finding.role, finding.expectation, finding.severity) == ("t1", "known orientation", "warning")
    # nibabel assumes LAS; 6 voxels of brain show no orientation.
    assert finding.observed.startswith(
        "qform and sform codes of 0, read as LAS; the outline of the brain does not"
    )


def test_an_identity_matrix_is_no_orientation():
    (finding,) = check(case_of((None, 0), (np.eye(4), 1)))
    assert finding.observed.startswith("an identity matrix, read as RAS; ")


@pytest.mark.parametrize("axes", ["RAS", "SPL"])
def test_an_image_in_another_orientation_is_aligned_exactly(axes):
    volumes = case_of((LPS, 1), (LPS, 1))
    expected = {name: volume.data for name, volume in volumes.items()}
    other = nib.orientations.axcodes2ornt(axes)
    change = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), other)
    data = nib.orientations.apply_orientation(volumes["flair"].data, change)
    affine = LPS @ nib.orientations.inv_ornt_aff(change, SHAPE)
    volumes["flair"] = read(np.ascontiguousarray(data), (affine, 1), (affine, 1))
    assert check(volumes) == []
    scans = {name: Scan(f"{name}.nii", volume) for name, volume in volumes.items()}
    case = Case("one", {role: Path(role) for role in scans}, LabelScheme.BRATS2021)
    checked = check_scans(case, scans, Contract())
    assert checked.critical == []
    for name, volume in checked.images.items():
        np.testing.assert_array_equal(volume.data, expected[name])
        np.testing.assert_allclose(volume.grid.affine, LPS)


def test_an_image_elsewhere_in_another_orientation_is_refused():
    volumes = case_of((LPS, 1), (LPS, 1))
    ras = np.diag([1.0, 1.0, 1.0, 1.0])  # its box is on the other side of the origin
    ras[2, 3] = 0.5
    volumes["flair"] = read(volumes["flair"].data, (ras, 1), (ras, 1))
    (finding,) = check(volumes)
    assert (finding.role, finding.expectation, finding.severity) == ("flair", "affine", "critical")


def test_real_scans_are_registered_and_one_that_is_moved_by_5_voxels_is_named(real_scans):
    for case in find_cases(real_scans):
        scans = open_scans(case, MODALITIES)
        findings = check_case(case, scans, Contract())
        assert [finding for finding in findings if finding.expectation in RULES] == []
    flair = scans["flair"].volume
    moved = Volume(np.roll(flair.data, 5, axis=1), Grid(flair.grid.shape, flair.grid.affine))
    scans["flair"] = Scan("flair.nii", moved)
    (finding,) = [f for f in check_case(case, scans, Contract()) if f.expectation in RULES]
    assert (finding.role, finding.expectation) == ("flair", "registration")
    assert float(finding.observed.split()[0]) == pytest.approx(5, abs=1)
