"""Resampling compared with arithmetic on world coordinates, and with nibabel."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to

from glioseg.core.geometry import downsample, upsample
from glioseg.core.memory import IDLE_GB, SCAN_VOXEL_BYTES, VOXEL_BYTES
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.cropping import crop_and_normalise, place_crop
from glioseg.data.store.resampling import NetworkGrid, ResamplingError, resample

SLOPE = np.array([0.7, -1.3, 0.4])
"""Gradient, per mm, of an intensity that is linear in the world coordinates."""
ONE_MM = (1.0, 1.0, 1.0)
SPACINGS = [(2, 2, 2), (0.5, 0.5, 0.5), (0.7, 0.7, 0.7), (1, 1, 3), (0.47, 0.47, 3), (5, 1.2, 0.9)]
ROTATION = np.linalg.qr(np.array([[9.0, 2, -1], [-2, 8, 3], [1, -3, 9]]))[0]
AXES = {
    "LPS": np.diag([-1.0, -1, 1]),
    "RAS": np.eye(3),
    "permuted axes": np.array([[0.0, 0, -1], [1, 0, 0], [0, 1, 0]]),
    "oblique": ROTATION * np.sign(np.diag(ROTATION)),
}


def grid_of(shape, spacing_mm, axes=AXES["LPS"]):
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing_mm)
    affine[:3, 3] = [11.0, -7, 3]
    return Grid(shape, affine)


def world_of(grid):
    """World coordinates in mm of each voxel of a grid, in the orientation LPS."""
    indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return grid.to_lps(indices @ grid.affine[:3, :3].T + grid.affine[:3, 3])


def network_world(network):
    """World coordinates of each voxel of a network's grid, which starts at the first corner of the crop."""
    world, start = world_of(network.placement.grid), network.placement.box.start
    steps = [np.diff(world, axis=axis)[start] for axis in range(3)]  # one voxel of the scan along each axis
    position = world[start].copy()
    for axis, (size, crop_mm, mm) in enumerate(
        zip(network.shape, network.crop_mm, network.network_mm, strict=True)
    ):
        voxels = (np.arange(size) + 0.5) * mm / crop_mm - 0.5
        position = position[..., None, :] + voxels[:, None] * steps[axis]
    return position


def inner(values, mm, border_mm):
    """The voxels at least this far from the borders of a grid."""
    cut = [int(np.ceil(border_mm / each)) for each in mm]
    return values[tuple(slice(c, n - c) for c, n in zip(cut, values.shape, strict=False))]


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_a_linear_ramp_stays_in_place_there_and_back(spacing_mm, axes, block):
    grid = grid_of(tuple(int(30 // mm) for mm in spacing_mm), spacing_mm, AXES[axes])
    ramp = (world_of(grid) @ SLOPE + 200).astype(np.float32)
    images = {"t2": Volume(np.ascontiguousarray(grid.from_lps(ramp)), grid)}
    network = NetworkGrid(place_crop(images, margin_vox=0), ONE_MM, block)
    expected = (network_world(network) @ SLOPE + 200 - ramp.mean(dtype=float)) / ramp.std(dtype=float)
    seen = network.image(images)
    assert seen.shape == (*network.shape, 4)
    assert not seen[..., [0, 1, 3]].any()
    border_mm = max(*spacing_mm, block)
    image = inner(seen[..., MODALITIES.index("t2")], network.network_mm, border_mm)
    assert min(image.shape) > 0
    np.testing.assert_allclose(image, inner(expected, network.network_mm, border_mm), atol=2e-4)
    back = network.to_crop(np.repeat(expected[..., None], 3, axis=-1).astype(np.float32))
    assert back.shape == (*ramp.shape, 3)
    normal = (ramp - ramp.mean(dtype=float)) / ramp.std(dtype=float)
    for region in np.moveaxis(back, -1, 0):
        np.testing.assert_allclose(
            inner(region, network.crop_mm, border_mm), inner(normal, network.crop_mm, border_mm), atol=2e-4
        )


@pytest.mark.parametrize(
    ("from_mm", "to_mm"),
    [
        ((2.0, 2.0, 2.0), (1.0, 1.0, 1.0)),
        ((1.6, 1.0, 3.0), (2.0, 1.4, 2.0)),
        ((0.9, 1.1, 5.0), (1.0, 1.0, 1.0)),
        ((1.0, 1.0, 1.0), (0.7, 0.5, 0.3)),
    ],
)
def test_interpolation_agrees_with_nibabel(from_mm, to_mm):
    """No old voxels are averaged here; nibabel maps voxel centres by the affines."""
    data = np.random.default_rng(0).normal(size=(14, 13, 12)).astype(np.float32)
    shape = tuple(int(n * old / new) for n, old, new in zip(data.shape, from_mm, to_mm, strict=True))
    scan, target = np.diag([*from_mm, 1.0]), np.diag([*to_mm, 1.0])
    target[:3, 3] = (np.array(to_mm) - np.array(from_mm)) / 2  # same corner, so centres differ
    expected = resample_from_to(nib.Nifti1Image(data, scan), (shape, target), order=1, mode="nearest")
    resampled = resample(data, from_mm=from_mm, to_mm=to_mm, step_mm=to_mm, shape=shape)
    np.testing.assert_allclose(resampled, np.asarray(expected.dataobj), atol=1e-5)


def test_whole_blocks_of_voxels_are_averaged():
    data = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    for factor in (2, 3, 4):
        expected = downsample(data[..., None], factor)[..., 0]  # it averages with zeros beyond the ends
        to_mm = (0.5 * factor,) * 3
        finer = resample(data, from_mm=(0.5,) * 3, to_mm=to_mm, step_mm=ONE_MM, shape=expected.shape)
        np.testing.assert_allclose(finer, expected, atol=1e-6)


def test_detail_finer_than_the_new_voxels_does_not_alias():
    """Stripes of one voxel with mean 0.5: among 3.5 voxels, bright and dark ones differ by at most one."""
    stripes = np.broadcast_to((np.arange(140) % 2)[:, None, None], (140, 1, 1)).astype(np.float32)
    seen = resample(stripes, from_mm=(0.4, 1.0, 1.0), to_mm=(1.4, 1.0, 1.0), step_mm=ONE_MM, shape=(40, 1, 1))
    assert np.abs(seen - 0.5).max() <= 0.5 / 3.5
    centres = stripes[np.rint((np.arange(40) + 0.5) * 3.5 - 0.5).astype(int)]
    assert np.abs(centres - 0.5).max() == 0.5  # nearest-neighbour resampling aliases


def head(shape=(14, 12, 10)):
    """A brain with two voxels of background around it."""
    rng, brain = np.random.default_rng(0), np.zeros(shape, bool)
    brain[2:-2, 2:-2, 2:-2] = True
    return {name: np.where(brain, rng.integers(50, 900, shape), 0).astype(np.int16) for name in MODALITIES}


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize(("spacing_mm", "copies"), [((0.5, 0.5, 0.5), (2, 2, 2)), ((1, 1, 0.25), (1, 1, 4))])
def test_splitting_voxels_into_equal_parts_does_not_change_the_network_input(spacing_mm, copies, block):
    """This includes the edge: background does not become brain, nor brain background."""
    whole = {name: Volume(data, grid_of(data.shape, (1, 1, 1))) for name, data in head().items()}
    cut = {
        name: Volume(parts := np.kron(data, np.ones(copies, np.int16)), grid_of(parts.shape, spacing_mm))
        for name, data in head().items()
    }
    networks = [NetworkGrid(place_crop(images, margin_vox=0), ONE_MM, block) for images in (whole, cut)]
    assert [network.needs_resampling for network in networks] == [False, True]
    expected, seen = (network.image(images) for network, images in zip(networks, (whole, cut), strict=True))
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_coarse_voxels_are_interpolated_to_those_of_training_before_averaging():
    """The scans of BraTS were resampled to 1 mm in the same way."""
    data = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    fine[:3, 3] = -0.5
    scan = nib.Nifti1Image(data, np.diag([2.0, 2.0, 2.0, 1.0]))
    interpolated = resample_from_to(scan, ((14, 12, 10), fine), order=1, mode="nearest")
    expected = downsample(np.asarray(interpolated.dataobj, np.float32)[..., None], 2)[..., 0]
    two_mm = (2.0, 2.0, 2.0)
    seen = resample(data, from_mm=two_mm, to_mm=two_mm, step_mm=ONE_MM, shape=data.shape)
    np.testing.assert_allclose(seen, expected, atol=1e-5)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_background_does_not_bleed_into_the_brain(spacing_mm, block):
    """At the brain's edge, where all voxels have one value, the input is n / block³ of that value.

    So it is in training: a voxel of a scan is brain or background, and blocks are averaged.
    """
    data = np.zeros(tuple(int(40 // mm) for mm in spacing_mm), np.int16)
    data[1:-1, 1:-1, 1:-1] = 900
    data[tuple(slice(int(n * 0.4), int(n * 0.6)) for n in data.shape)] = 300
    images = {"t1": Volume(data, grid_of(data.shape, spacing_mm))}
    seen = NetworkGrid(place_crop(images, margin_vox=1), ONE_MM, block).image(images)[..., 0]
    brain = data[data > 0]
    seen[tuple(slice(int(n * 0.2), int(n * 0.8)) for n in seen.shape)] = 0  # not the edge
    parts = seen / ((900 - brain.mean()) / brain.std()) * block**3
    np.testing.assert_allclose(parts, np.rint(parts), atol=1e-3)
    assert (parts.min().round(), parts.max().round()) == (0, block**3)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(
    ("mm", "resampled"), [(1.0, False), (1.0004, False), (0.9996, False), (1.0006, True)]
)
def test_a_scan_with_the_spacing_of_training_is_not_resampled(mm, resampled, axes):
    images = {
        name: Volume(data, grid_of(data.shape, (mm, 1, 1), AXES[axes])) for name, data in head().items()
    }
    placement = place_crop(images, margin_vox=1)
    regions = np.random.default_rng(0).random((12, 12, 12, 3), np.float32)
    for block in (1, 2):
        network = NetworkGrid(placement, ONE_MM, block)
        assert network.needs_resampling == resampled
        if resampled:
            continue
        crop, same = crop_and_normalise(images, margin_vox=1)
        assert (same.box, same.grid) == (placement.box, placement.grid)
        assert network.image(images).tobytes() == (downsample(crop, 2) if block > 1 else crop).tobytes()
        seen = regions[tuple(slice(-(-n // block)) for n in placement.box.shape)]
        expected = upsample(seen, 2, placement.box.shape) if block > 1 else seen
        assert network.to_crop(seen).tobytes() == expected.tobytes()


def test_the_spacing_of_the_scan_is_compared_with_that_of_training():
    images = {name: Volume(data, grid_of(data.shape, (1, 1, 3))) for name, data in head().items()}
    placement = place_crop(images, margin_vox=0)
    assert not NetworkGrid(placement, (1.0, 1.0, 3.0), 2).needs_resampling
    other = NetworkGrid(placement, (1.0, 1.0, 1.5), 2)
    # A brain of 10 x 8 x 6 voxels, 10 x 8 x 18 mm, in voxels of 2 x 2 x 3 mm.
    assert (other.needs_resampling, other.shape) == (True, (5, 4, 6))


def test_a_scan_too_large_for_the_memory_is_rejected_before_memory_is_allocated():
    """A header in micrometres gives a brain of 10 m."""
    images = {name: Volume(data, grid_of(data.shape, (1000, 1000, 1000))) for name, data in head().items()}
    network = NetworkGrid(place_crop(images, margin_vox=0), ONE_MM, 2)
    voxel_bytes = 10 * 8 * 6 * SCAN_VOXEL_BYTES + 5000 * 4000 * 3000 * VOXEL_BYTES
    need = IDLE_GB + (1000 + voxel_bytes) / 1e9  # 4801.35
    assert need == pytest.approx(4801.35, abs=0.01)
    message = (
        r"inference.memory_gb: expected at least 4801.36 GB to resample a brain of 1e\+04 x 8000 x 6000 mm"
        r" from voxels of 1000 x 1000 x 1000 mm, got 5"
    )
    with pytest.raises(ResamplingError, match=message):
        network.check_memory(5.0, window_gb=2.0, scan_bytes=1000)
    network.check_memory(4802.0, window_gb=2.0, scan_bytes=1000)
    # The caller reports a budget that is too small for any scan.
    network.check_memory(5.0, window_gb=4802.0, scan_bytes=1000)
    same = NetworkGrid(network.placement, (1000.0, 1000.0, 1000.0), 2)
    same.check_memory(0.1, window_gb=0.1, scan_bytes=1000)  # nothing is resampled


@pytest.mark.parametrize("mm", [1e-6, 0.01, 400.0])
def test_an_extreme_spacing_gives_finite_values(mm):
    """A brain smaller than one voxel of the network, and voxels larger than many of them."""
    images = {"t1": Volume(head((7, 6, 6))["t1"], grid_of((7, 6, 6), (mm, mm, 1)))}
    network = NetworkGrid(place_crop(images, margin_vox=1), ONE_MM, 2)
    seen = network.image(images)
    assert np.isfinite(seen).all()
    assert network.to_crop(seen[..., :3]).shape == (*network.placement.box.shape, 3)
