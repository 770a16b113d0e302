import gzip
import os
import struct
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from glioseg.core import nifti
from glioseg.core.nifti import (
    Grid,
    Volume,
    VolumeError,
    decode_volume,
    encode_volume,
    fair_voxels,
    read_volume,
    write_volume,
)

LPS = np.array([[-1, 0, 0, 10], [0, -2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]], float)


@pytest.fixture
def volume():
    data = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    return Volume(data, Grid((2, 3, 4), LPS))


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_round_trip_and_nibabel_agrees(tmp_path, volume, name):
    write_volume(tmp_path / name, volume)
    ours = read_volume(tmp_path / name)
    theirs = nib.load(tmp_path / name)
    np.testing.assert_array_equal(ours.data, volume.data)
    np.testing.assert_array_equal(theirs.get_fdata(), volume.data)
    np.testing.assert_array_equal(theirs.affine, LPS)
    assert ours.data.dtype == np.int16
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_every_dtype_and_byte_order_is_read_as_nibabel_reads_it(tmp_path, volume, dtype, order):
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(order + dtype)
    nib.Nifti1Image(volume.data, LPS, header).to_filename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii.gz").data, volume.data)


def test_a_scaled_file_is_read_scaled(tmp_path, volume):
    image = nib.Nifti1Image(volume.data, LPS)
    image.header.set_slope_inter(0.5, 3)
    image.to_filename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(
        read_volume(tmp_path / "x.nii.gz").data, nib.load(tmp_path / "x.nii.gz").get_fdata()
    )


def test_a_header_that_promises_more_than_there_is_is_named_with_both(volume):
    content = bytearray(encode_volume(volume, compress=False))
    content[42:44] = (30000).to_bytes(2, "little")  # dim[1] of NIfTI-1
    # 352 bytes of header, then 30000 · 3 · 4 voxels of two bytes; there are 2 · 3 · 4.
    with pytest.raises(VolumeError, match=r"^x: not a whole NIfTI file: expected 720352 bytes .*, got 400$"):
        decode_volume(bytes(content), name="x")


def test_same_volume_same_bytes(volume):
    assert encode_volume(volume) == encode_volume(volume)


def test_grid_tells_spacing_and_orientation(volume):
    assert volume.grid.spacing_mm == (1, 2, 3)
    assert volume.grid.orientation == "LPS"


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("signs", product([-1, 1], repeat=3))
def test_every_orientation_comes_to_lps_as_nibabel_does_it(order, signs):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (row, sign) in enumerate(zip(order, signs, strict=True)):
        affine[row, axis] = sign * (axis + 1)
    grid = Grid((2, 3, 4), affine)
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nib.Nifti1Image(data, affine)
    steps = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt("LPS"))
    expected = image.as_reoriented(steps)
    np.testing.assert_array_equal(grid.to_lps.apply(data), np.asanyarray(expected.dataobj))


def test_bad_files_are_named(tmp_path, volume):
    good = encode_volume(volume)
    bad = {
        "truncated.nii.gz": good[: len(good) // 2],
        "garbage.nii.gz": b"no volume at all",
        "gzip_of_garbage.nii.gz": gzip.compress(b"no volume at all" * 100),
        "short.nii": encode_volume(volume, compress=False)[:-8],
        "empty.nii.gz": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VolumeError, match=name):
            read_volume(tmp_path / name)
    with pytest.raises(VolumeError, match=r"missing\.nii: No such file"):
        read_volume(tmp_path / "missing.nii")


def test_four_axes_are_refused():
    content = nib.Nifti1Image(np.zeros((2, 2, 2, 2), np.int16), np.eye(4)).to_bytes()
    with pytest.raises(VolumeError, match=r"x: expected 3 axes, got shape \(2, 2, 2, 2\)"):
        decode_volume(content, name="x")


def test_axes_of_one_voxel_beyond_the_third_are_dropped():
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1, 1)
    volume = decode_volume(nib.Nifti1Image(data, LPS).to_bytes(), name="x")
    np.testing.assert_array_equal(volume.data, data[..., 0, 0])


@pytest.mark.parametrize("order", "<>")
def test_nifti_2_in_both_orders_of_bytes(order):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header = nib.Nifti2Header(endianness=order)
    header.set_data_dtype(f"{order}i2")
    volume = decode_volume(nib.Nifti2Image(data, LPS, header).to_bytes(), name="x")
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_array_equal(volume.grid.affine, LPS)


def test_no_spacing_is_not_taken_for_a_millimetre(volume):
    content = bytearray(encode_volume(volume, compress=False))
    struct.pack_into("<3f", content, 80, 1, 0, 1)
    assert decode_volume(bytes(content), name="x").grid.spacing_mm == (1, 2, 3)  # the affine tells
    struct.pack_into("<h", content, 254, 0)  # no affine
    with pytest.raises(VolumeError, match=r"x: .*expected a spacing above 0 mm, got \[1\.0, 0\.0, 1\.0\]"):
        decode_volume(bytes(content), name="x")


def test_nibabel_says_nothing_of_its_own(caplog):
    with pytest.raises(VolumeError, match="x: not a NIfTI file"):
        decode_volume(b"no volume at all" * 100, name="x")
    assert caplog.records == []


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.nii")
    with pytest.raises(VolumeError, match=r"x\.nii: expected a file, got a folder, a pipe or a device"):
        read_volume(tmp_path / "x.nii")


def test_a_failed_write_leaves_nothing(tmp_path, volume):
    (tmp_path / "x.nii").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_volume(tmp_path / "x.nii", volume)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.nii"]


@pytest.fixture
def inflated(monkeypatch):
    """How many bytes each call inflated."""
    counts = []

    def inflate(content, most):
        counts.append(len(whole := original(content, most)))
        return whole

    original = nifti._inflate
    monkeypatch.setattr(nifti, "_inflate", inflate)
    return counts


def promise(volume, shape, body):
    """A NIfTI-1 file whose header promises a shape, and what follows it."""
    header = bytearray(encode_volume(volume, compress=False)[:352])
    header[42:48] = b"".join(n.to_bytes(2, "little") for n in shape)
    return gzip.compress(bytes(header) + body, 9)


BOMB = bytes(100_000_000)


def test_inflation_stops_at_what_the_header_promises(volume, inflated):
    content = promise(volume, (2, 3, 4), BOMB)
    assert len(content) < 110_000
    with pytest.raises(VolumeError, match=r"^x: not a whole NIfTI file: expected 400 bytes .*, got more$"):
        decode_volume(content, name="x")
    # The header, then header and voxels, 352 + 2 · 3 · 4 · 2 bytes, and one more to see where it ends.
    assert inflated == [540, 401]


def test_a_promise_that_gzip_cannot_keep_is_not_looked_at(volume, inflated):
    # 30000³ voxels of two bytes; 100 KB of gzip stand for 103 MB at most.
    with pytest.raises(VolumeError, match=r"expected 54000000000352 bytes .*, it cannot hold as many"):
        decode_volume(promise(volume, (30000, 30000, 30000), BOMB), name="x")
    assert inflated == [540]


def test_a_stranger_s_file_is_believed_what_its_size_allows(volume, inflated):
    content = promise(volume, (500, 500, 200), BOMB)  # 50 million voxels of two bytes: the bomb itself
    with pytest.raises(
        VolumeError, match=r"expected at most 10000000 voxels .*, got shape \(500, 500, 200\)"
    ):
        decode_volume(content, name="x", most_voxels=fair_voxels(content))
    assert inflated == [540]
    assert decode_volume(content, name="x").data.shape == (500, 500, 200)


def test_a_bomb_before_the_voxels_is_one_too(volume, inflated):
    header = bytearray(encode_volume(volume, compress=False)[:352])
    header[108:112] = np.float32(90_000_000).tobytes()  # vox_offset
    content = gzip.compress(bytes(header) + BOMB)
    with pytest.raises(VolumeError, match="up to byte 90000048"):
        decode_volume(content, name="x", most_voxels=fair_voxels(content))
    assert inflated == [540]


def test_gzip_of_several_members_is_read_as_one(volume):
    content = encode_volume(volume, compress=False)
    members = b"".join(gzip.compress(content[at : at + 100]) for at in range(0, len(content), 100))
    np.testing.assert_array_equal(decode_volume(members, name="x").data, volume.data)
    with pytest.raises(VolumeError, match="x: not a whole NIfTI file"):
        decode_volume(members[:-9], name="x")


def test_a_checksum_that_does_not_hold_is_an_error(volume):
    content = bytearray(gzip.compress(encode_volume(volume, compress=False)))
    content[-8] ^= 1  # of the four bytes of the CRC, before four of the length
    with pytest.raises(VolumeError, match="checksum"):
        decode_volume(bytes(content), name="x")
