"""Masks lie on their scans in SimpleITK, which reads headers by its own rules."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from glioseg.core.nifti import Volume, decode_volume, encode_fractions, encode_volume, read_volume

SHAPE = (4, 5, 6)
OBLIQUE = nib.affines.from_matvec(
    np.array([[-0.98, 0.1, 0.17], [-0.1, -0.99, 0.02], [0.17, 0.0, 0.98]]), [80, 120, -60]
)


def header(qform=None, sform=None, units="mm"):
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), None)
    image.header["pixdim"][1:4] = (1, 1, 1)
    image.header.set_qform(*qform if qform else (None, 0))
    image.header.set_sform(*sform if sform else (None, 0))
    image.header.set_xyzt_units(units)
    return image.to_bytes()


LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MOVED = LPS + np.array([[0, 0, 0, 36.5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
THOUSANDTHS = np.diag([-1000.0, -1000.0, 1000.0, 1.0])
FILES = {
    "qform and sform differ": header((LPS, 1), (MOVED, 4)),
    "both codes are 0": header(),
    "only a qform": header((LPS, 1)),
    "only an sform": header(None, (MOVED, 2)),
    "oblique": header((OBLIQUE, 1), (OBLIQUE, 1)),
    "micrometres": header((THOUSANDTHS, 1), (THOUSANDTHS, 1), "micron"),
    "metres": header((np.diag([-0.001, -0.001, 0.001, 1]), 1), None, "meter"),
    "no unit": header((LPS, 1), (LPS, 1), "unknown"),
    "sheared": header((LPS, 1), (LPS + 0.1 * np.eye(4, k=1) * [[1], [0], [0], [0]], 2)),
}


@pytest.mark.parametrize("name", FILES)
def test_simpleitk_places_an_output_where_it_places_the_scan(tmp_path, name):
    (tmp_path / "scan.nii").write_bytes(FILES[name])
    grid = read_volume(tmp_path / "scan.nii").grid
    mask = Volume(np.ones(SHAPE, np.uint8), grid)
    (tmp_path / "mask.nii").write_bytes(encode_volume(mask, compress=False))
    (tmp_path / "map.nii.gz").write_bytes(encode_fractions(np.ones(SHAPE, np.float32), grid))
    scan = SimpleITK.ReadImage(tmp_path / "scan.nii")
    for file in ("mask.nii", "map.nii.gz"):
        output = SimpleITK.ReadImage(tmp_path / file)
        for corner in ((0, 0, 0), (3, 4, 5)):
            expected = scan.TransformIndexToPhysicalPoint(corner)
            assert output.TransformIndexToPhysicalPoint(corner) == pytest.approx(expected, abs=1e-4)
        theirs = nib.load(tmp_path / file)
        stated = nib.load(tmp_path / "scan.nii").header
        assert [theirs.header[code].item() for code in ("qform_code", "sform_code", "xyzt_units")] == [
            stated[code].item() for code in ("qform_code", "sform_code", "xyzt_units")
        ]


@pytest.mark.parametrize(("name", "mm"), [("micrometres", 1), ("metres", 1), ("no unit", 1), ("oblique", 1)])
def test_a_spacing_is_in_mm_whatever_the_unit(name, mm):
    spacing = decode_volume(FILES[name], name="x").grid.spacing_mm
    assert spacing == pytest.approx((mm, mm, mm), rel=0.02)


def test_the_distance_between_qform_and_sform_is_that_of_the_farthest_corner():
    def distance(name):
        grid = decode_volume(FILES[name], name="x").grid
        return grid.header.form_distance_mm(grid.shape)

    assert distance("qform and sform differ") == pytest.approx(36.5)
    # x = -i + 0.1 j, and j is at most 4.
    assert distance("sheared") == pytest.approx(0.4, abs=1e-6)
    assert distance("oblique") == pytest.approx(0, abs=0.2)
    assert distance("only a qform") is None


def test_a_quaternion_longer_than_1_is_no_qform():
    content = bytearray(FILES["qform and sform differ"])
    content[256:260] = np.float32(1.5).tobytes()  # quatern_b
    grid = decode_volume(bytes(content), name="x").grid
    assert grid.header.qform_mm is None
    np.testing.assert_allclose(grid.affine, MOVED)
    assert encode_volume(Volume(np.ones(SHAPE, np.int16), grid), compress=False)[256:260] == content[256:260]
