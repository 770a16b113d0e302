import nibabel as nib
import numpy as np
import pytest

from glioseg.core.memory_images import to_volume
from glioseg.core.nifti import VolumeError, read_volume, to_nibabel

DATA = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
AFFINE = np.array([[-1.0, 0, 0, 5], [0, -2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])


def test_a_file_and_its_image_in_memory_give_the_same_volume(tmp_path):
    """The qform of this header differs from its sform, and its unit is metres."""
    image = nib.Nifti1Image(DATA, AFFINE / [[1e3]] * [[1, 1, 1, 1]])
    image.header.set_xyzt_units("meter", "sec")
    image.header["srow_x"][3] += 0.25
    nib.save(image, tmp_path / "scan.nii.gz")
    loaded = nib.load(tmp_path / "scan.nii.gz")
    of_file, of_memory = read_volume(tmp_path / "scan.nii.gz"), to_volume(loaded, name="t1")
    np.testing.assert_array_equal(of_memory.data, of_file.data)
    np.testing.assert_array_equal(of_memory.grid.affine, of_file.grid.affine)
    assert of_memory.grid.header.fields.keys() == of_file.grid.header.fields.keys()
    for name, value in of_file.grid.header.fields.items():
        np.testing.assert_array_equal(of_memory.grid.header.fields[name], value)


def test_scaled_values_are_those_that_nibabel_returns(tmp_path):
    image = nib.Nifti1Image(DATA, AFFINE)
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "scan.nii")
    loaded = nib.load(tmp_path / "scan.nii")
    np.testing.assert_array_equal(to_volume(loaded, name="t1").data, loaded.get_fdata())


def test_an_array_lies_where_its_affine_says():
    volume = to_volume((DATA[..., None], AFFINE), name="t1")
    np.testing.assert_array_equal(volume.data, DATA)
    assert (volume.grid.spacing_mm, volume.grid.orientation) == ((1.0, 2.0, 3.0), "LPS")


def test_an_image_that_is_no_nifti_keeps_its_affine():
    volume = to_volume(nib.MGHImage(DATA.astype(np.int32), AFFINE), name="t1")
    np.testing.assert_allclose(volume.grid.affine, AFFINE)


def test_a_volume_as_image_and_back_is_the_same():
    volume = to_volume((DATA, AFFINE), name="t1")
    again = to_volume(to_nibabel(volume), name="t1")
    np.testing.assert_array_equal(again.data, DATA)
    np.testing.assert_allclose(again.grid.affine, AFFINE)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((DATA[0], AFFINE), r"^flair: expected 3 axes, got shape \(3, 4\)$"),
        ((DATA, AFFINE[:3]), r"^flair: expected an affine of shape \(4, 4\), got \(3, 4\)$"),
        (DATA, r"^flair: expected a file, an image of nibabel, or \(array, affine\), got ndarray$"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(image, message):
    with pytest.raises(VolumeError, match=message):
        to_volume(image, name="flair")
