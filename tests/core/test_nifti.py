import gzip
import os
import struct
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from glioseg.core import nifti, nifti_header
from glioseg.core.gzip_bytes import plausible_voxels
from glioseg.core.nifti import (
    Grid,
    Volume,
    VolumeError,
    decode_volume,
    encode_volume,
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
def test_each_dtype_and_byte_order_is_read_as_by_nibabel(tmp_path, volume, dtype, order):
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


def test_a_file_shorter_than_its_header_declares_is_named_with_both_sizes(volume):
    content = bytearray(encode_volume(volume, compress=False))
    content[42:44] = (30000).to_bytes(2, "little")  # dim[1] of NIfTI-1
    # 352 bytes of header, then 30000 · 3 · 4 voxels of two bytes; there are 2 · 3 · 4.
    with pytest.raises(VolumeError, match=r"^x: not a complete NIfTI file: expected 720352 .*, got 400$"):
        decode_volume(bytes(content), name="x")


def test_same_volume_same_bytes(volume):
    assert encode_volume(volume) == encode_volume(volume)


def test_spacing_and_orientation_of_a_grid(volume):
    assert volume.grid.spacing_mm == (1, 2, 3)
    assert volume.grid.orientation == "LPS"


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("signs", product([-1, 1], repeat=3))
def test_each_orientation_is_brought_to_lps_and_back(order, signs):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (row, sign) in enumerate(zip(order, signs, strict=True)):
        affine[row, axis] = sign * (axis + 1)
    grid = Grid((2, 3, 4), affine)
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nib.Nifti1Image(data, affine)
    steps = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt("LPS"))
    expected = image.as_reoriented(steps)
    turned = grid.to_lps(data)
    np.testing.assert_array_equal(turned, np.asanyarray(expected.dataobj))
    assert (grid.lps_shape, grid.lps_spacing_mm) == (turned.shape, expected.header.get_zooms())
    np.testing.assert_array_equal(grid.from_lps(turned), data)
    np.testing.assert_array_equal(grid.to_lps(data[..., np.newaxis])[..., 0], turned)


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


def test_four_axes_are_rejected():
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


def test_a_missing_spacing_is_not_read_as_1_mm(volume):
    content = bytearray(encode_volume(volume, compress=False))
    struct.pack_into("<3f", content, 80, 1, 0, 1)
    assert decode_volume(bytes(content), name="x").grid.spacing_mm == (1, 2, 3)  # from the affine
    struct.pack_into("<h", content, 254, 0)  # no affine
    with pytest.raises(VolumeError, match=r"x: .*expected a spacing above 0 mm, got \[1\.0, 0\.0, 1\.0\]"):
        decode_volume(bytes(content), name="x")


def test_a_dicom_file_is_named_as_one():
    with pytest.raises(VolumeError, match=r"^x: a DICOM file: convert the series to NIfTI, .* dcm2niix$"):
        decode_volume(b"\0" * 128 + b"DICM" + b"\2\0" * 300, name="x")


def test_nibabel_logs_nothing(caplog):
    with pytest.raises(VolumeError, match="x: not a NIfTI file"):
        decode_volume(b"no volume at all" * 100, name="x")
    assert caplog.records == []


def test_a_pipe_is_rejected_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "x.nii")
    with pytest.raises(VolumeError, match=r"x\.nii: expected a file, got a folder, a pipe or a device"):
        read_volume(tmp_path / "x.nii")


def test_a_failed_write_leaves_nothing(tmp_path, volume):
    (tmp_path / "x.nii").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_volume(tmp_path / "x.nii", volume)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.nii"]


@pytest.fixture
def decompressed(monkeypatch):
    """The number of bytes that each call decompressed."""
    counts = []

    def decompress(content, max_bytes):
        counts.append(len(result := original(content, max_bytes)))
        return result

    original = nifti.decompress
    for module in (nifti, nifti_header):
        monkeypatch.setattr(module, "decompress", decompress)
    return counts


def declare(volume, shape, body):
    """A NIfTI-1 file whose header declares a shape, with a given body."""
    header = bytearray(encode_volume(volume, compress=False)[:352])
    header[42:48] = b"".join(n.to_bytes(2, "little") for n in shape)
    return gzip.compress(bytes(header) + body, 9)


BOMB = bytes(100_000_000)


def test_decompression_stops_at_the_declared_size(volume, decompressed):
    content = declare(volume, (2, 3, 4), BOMB)
    assert len(content) < 110_000
    with pytest.raises(VolumeError, match=r"^x: not a complete NIfTI file: expected 400 bytes .*, got more$"):
        decode_volume(content, name="x")
    # The header; then header and voxels, 352 + 2 · 3 · 4 · 2 bytes, and one more to detect the end.
    assert decompressed == [540, 401]


def test_a_size_that_gzip_cannot_compress_is_rejected_by_the_header(volume, decompressed):
    # 30000³ voxels of two bytes; 100 KB of gzip expand to 103 MB at most.
    with pytest.raises(VolumeError, match=r"expected 54000000000352 bytes .*, it cannot hold as many"):
        decode_volume(declare(volume, (30000, 30000, 30000), BOMB), name="x")
    assert decompressed == [540]


def test_an_untrusted_file_is_limited_by_its_compressed_size(volume, decompressed):
    content = declare(volume, (500, 500, 200), BOMB)  # 50 million voxels of two bytes: the bomb itself
    with pytest.raises(
        VolumeError, match=r"expected at most 10000000 voxels .*, got shape \(500, 500, 200\)"
    ):
        decode_volume(content, name="x", max_voxels=plausible_voxels(content))
    assert decompressed == [540]
    assert decode_volume(content, name="x").data.shape == (500, 500, 200)


def test_a_bomb_before_the_voxels_is_rejected(volume, decompressed):
    header = bytearray(encode_volume(volume, compress=False)[:352])
    header[108:112] = np.float32(90_000_000).tobytes()  # vox_offset
    content = gzip.compress(bytes(header) + BOMB)
    with pytest.raises(VolumeError, match="up to byte 90000048"):
        decode_volume(content, name="x", max_voxels=plausible_voxels(content))
    assert decompressed == [540]


def test_gzip_of_several_members_is_read_as_one(volume):
    content = encode_volume(volume, compress=False)
    members = b"".join(gzip.compress(content[at : at + 100]) for at in range(0, len(content), 100))
    np.testing.assert_array_equal(decode_volume(members, name="x").data, volume.data)
    with pytest.raises(VolumeError, match="x: not a complete NIfTI file"):
        decode_volume(members[:-9], name="x")


def test_a_wrong_checksum_is_an_error(volume):
    content = bytearray(gzip.compress(encode_volume(volume, compress=False)))
    content[-8] ^= 1  # in the four bytes of the CRC, before the four of the length
    with pytest.raises(VolumeError, match="checksum"):
        decode_volume(bytes(content), name="x")
