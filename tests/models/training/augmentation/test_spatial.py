"""Image and label get the same transform, in one resampling; voxels from outside are 0."""

import numpy as np
import pytest

from glioseg.models.training.augmentation.spatial import CONTROL_CELLS, SpatialTransform, elastic_displacement

CHANNELS = 4
QUARTER = np.pi / 2


def make_patch(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A random patch with empty voxels around it; its label marks the bright voxels."""
    rng = np.random.default_rng(0)
    image = np.zeros((*shape, CHANNELS), np.float32)
    image[1:-1, 1:, :-1] = rng.normal(size=(shape[0] - 2, shape[1] - 1, shape[2] - 1, CHANNELS))
    return image, (image[..., 0] > 0.5).astype(np.uint8)


def block(shape: tuple[int, int, int], start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube of 2 in every modality, labelled as enhancing tumour, in empty space."""
    image, label = np.zeros((*shape, CHANNELS), np.float32), np.zeros(shape, np.uint8)
    image[start:stop, start:stop, start:stop] = 2
    label[start:stop, start:stop, start:stop] = 3
    return image, label


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_image_and_label_are_flipped_together(axis: int) -> None:
    image, label = make_patch((6, 5, 4))
    flipped_image, flipped_label = SpatialTransform(flip=(axis == 0, axis == 1, axis == 2)).apply(
        image, label
    )
    np.testing.assert_array_equal(flipped_image, np.flip(image, axis))
    np.testing.assert_array_equal(flipped_label, np.flip(label, axis))


@pytest.mark.parametrize(
    ("rotation_rad", "plane"),
    [((QUARTER, 0.0, 0.0), (1, 2)), ((0.0, QUARTER, 0.0), (2, 0)), ((0.0, 0.0, QUARTER), (0, 1))],
)
def test_a_quarter_turn_is_rot90(rotation_rad: tuple[float, float, float], plane: tuple[int, int]) -> None:
    image, label = make_patch((7, 7, 7))
    turned_image, turned_label = SpatialTransform(rotation_rad=rotation_rad).apply(image, label)
    np.testing.assert_allclose(turned_image, np.rot90(image, axes=plane), atol=1e-5)
    np.testing.assert_array_equal(turned_label, np.rot90(label, axes=plane))


def test_scale_two_doubles_a_block() -> None:
    image, label = SpatialTransform(scale=2.0).apply(*block((16, 16, 16), 6, 10))
    expected_image, expected_label = block((16, 16, 16), 4, 12)
    np.testing.assert_array_equal(label, expected_label)
    np.testing.assert_array_equal(image != 0, expected_image != 0)
    # A voxel at the surface comes from 5.75: a quarter of the empty voxel 5 and three quarters of 6.
    assert image[8, 8, 8, 0] == pytest.approx(2)
    assert image[4, 8, 8, 0] == pytest.approx(1.5)


def test_scale_one_half_pads_with_zeros() -> None:
    image, label = np.ones((8, 8, 8, CHANNELS), np.float32), np.full((8, 8, 8), 2, np.uint8)
    small, labelled = SpatialTransform(scale=0.5).apply(image, label)
    expected = np.zeros((8, 8, 8), bool)
    expected[2:6, 2:6, 2:6] = True
    np.testing.assert_array_equal(small[..., 0], expected)
    np.testing.assert_array_equal(labelled, 2 * expected)


def test_labels_are_not_interpolated() -> None:
    # Interpolation would give labels 1 and 2 between 0 and 3.
    image, label = block((12, 12, 12), 4, 8)
    _, moved = SpatialTransform(rotation_rad=(0.2, 0.1, 0.3), scale=1.2).apply(image, label)
    assert set(np.unique(moved)) == {0, 3}


def test_a_thin_shell_keeps_its_volume() -> None:
    label = np.zeros((40, 40, 40), np.uint8)
    distance = np.linalg.norm(np.indices(label.shape) - 19.5, axis=0)
    label[(distance > 11) & (distance < 12)] = 3
    image = np.ones((*label.shape, CHANNELS), np.float32)
    _, moved = SpatialTransform(rotation_rad=(0.2, -0.1, 0.15)).apply(image, label)
    # A rotation about the centre of the shell moves none of it out.
    assert np.count_nonzero(moved) == pytest.approx(np.count_nonzero(label), rel=0.02)


def test_scale_and_deformation_take_one_resampling() -> None:
    rng = np.random.default_rng(1)
    ramp = np.broadcast_to(np.arange(1, 21, dtype=np.float32)[:, None, None, None], (20, 20, 20, CHANNELS))
    transform = SpatialTransform(scale=1.25, elastic_cells=0.2, elastic_seed=4)
    moved, _ = transform.apply(ramp, rng.integers(0, 4, (20, 20, 20), dtype=np.uint8))
    # On a ramp linear interpolation is exact: a voxel is 1 + the position that it comes from.
    offset = np.arange(20)[:, None, None] - 9.5 + elastic_displacement(4, 0.2, (20, 20, 20))[0]
    inner = (slice(5, 15),) * 3
    np.testing.assert_allclose(moved[(*inner, 0)], (1 + 9.5 + offset / 1.25)[inner], atol=1e-4)


def test_displacements_stay_within_the_limit() -> None:
    assert all(not field.any() for field in elastic_displacement(3, 0.0, (6, 7, 8)))
    shape = (30, 20, 25)
    fields = elastic_displacement(3, 0.4, shape)
    for field, size in zip(fields, shape, strict=True):
        assert field.shape == shape
        assert 0 < np.abs(field).max() <= 0.4 * size / CONTROL_CELLS
    assert (fields[0] != elastic_displacement(4, 0.4, shape)[0]).any()


def test_the_largest_deformation_never_folds() -> None:
    for seed in range(10):
        d, h, w = elastic_displacement(seed, 0.4, (40, 40, 40))
        jacobian = np.eye(3) + np.stack([np.stack(np.gradient(f), -1) for f in (d, h, w)], axis=-2)
        assert np.linalg.det(jacobian).min() > 0


def test_a_patch_without_brain_stays_empty() -> None:
    image, label = np.zeros((5, 5, 5, CHANNELS), np.float32), np.zeros((5, 5, 5), np.uint8)
    moved_image, moved_label = SpatialTransform(scale=1.2, elastic_cells=0.3).apply(image, label)
    assert not moved_image.any()
    assert not moved_label.any()


def test_each_transform_has_its_own_probability() -> None:
    rng = np.random.default_rng(0)
    sampled = [SpatialTransform.sample(rng, strength=0.5) for _ in range(2000)]
    # Left and right one in two; half of 0.25, and of 0.4; three deviations of 2000 draws are 0.034 at most.
    shares = np.mean([m.flip for m in sampled], axis=0)
    np.testing.assert_allclose(shares, [0.5, 0.125, 0.125], atol=0.034)
    assert np.mean([any(m.rotation_rad) for m in sampled]) == pytest.approx(0.2, abs=0.029)
    assert np.mean([m.scale != 1 for m in sampled]) == pytest.approx(0.2, abs=0.029)
    assert np.mean([m.elastic_cells > 0 for m in sampled]) == pytest.approx(0.2, abs=0.029)
    assert all(0.85 <= m.scale <= 1.25 for m in sampled)
    assert np.abs([m.rotation_rad for m in sampled]).max() <= np.deg2rad(15)
