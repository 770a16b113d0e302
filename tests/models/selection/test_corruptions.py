import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.models.selection.corruptions import KINDS, corrupt

SHAPE = (12, 14, 10)


@pytest.fixture
def case():
    """A brain in a box, each modality with another histogram, and some labels."""
    rng = np.random.default_rng(0)
    image = np.zeros((*SHAPE, 4), np.float32)
    values = rng.standard_normal((8, 10, 6, 4)) ** np.array([1, 2, 3, 1]) + np.arange(4)
    image[2:10, 2:12, 2:8] = (values - values.mean(axis=(0, 1, 2))) / values.std(axis=(0, 1, 2))
    label = np.zeros(SHAPE, np.uint8)
    label[4:7, 4:8, 3:6] = 2
    return image, label


def corrupted(case, kind, seed=3):
    return corrupt(*case, kind=kind, spacing_mm=2, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrupted_image_is_normalised_and_reproducible_and_the_input_is_unchanged(case, kind):
    before = case[0].copy()
    image, label = corrupted(case, kind)
    np.testing.assert_array_equal(case[0], before)
    np.testing.assert_array_equal(image, corrupted(case, kind)[0])
    assert image.dtype == np.float32
    assert not np.array_equal(image, before)
    brain = image.any(axis=-1)
    for channel in np.moveaxis(image, -1, 0):
        if channel.any():
            assert channel[brain].mean() == pytest.approx(0, abs=1e-3)
            assert channel[brain].std() == pytest.approx(1, abs=1e-3)
    assert label.dtype == np.uint8
    if kind != "augmented":  # which moves the labels with the image
        np.testing.assert_array_equal(brain, before.any(axis=-1))
        np.testing.assert_array_equal(label, case[1])


@pytest.mark.parametrize(("kind", "changed"), [("noisy", 1), ("blurred", 1), ("inverted", 1), ("swapped", 2)])
def test_only_some_modalities_are_corrupted(case, kind, changed):
    image, _ = corrupted(case, kind)
    same = [np.allclose(a, b, atol=1e-5) for a, b in zip(image.T, case[0].T, strict=True)]
    assert same.count(False) == changed


def test_the_effect_of_each_kind(case):
    image, brain = case[0], case[0].any(axis=-1)
    (one, other) = [
        c for c in range(4) if not np.allclose(corrupted(case, "swapped")[0][..., c], image[..., c])
    ]
    np.testing.assert_allclose(corrupted(case, "swapped")[0][..., one], image[..., other], atol=1e-5)
    changed = [
        c
        for c in range(4)
        if not np.allclose(corrupted(case, "inverted")[0][..., c], image[..., c], atol=1e-5)
    ]
    np.testing.assert_allclose(
        corrupted(case, "inverted")[0][..., changed[0]], -image[..., changed[0]], atol=1e-5
    )
    missing = corrupted(case, "several missing")[0]
    assert 2 <= sum(not channel.any() for channel in np.moveaxis(missing, -1, 0)) <= 3
    present = missing.any(axis=(0, 1, 2))
    np.testing.assert_allclose(missing[..., present], image[..., present], atol=1e-5)
    blurred = corrupted(case, "blurred")[0]
    hit = next(c for c in range(4) if not np.allclose(blurred[..., c], image[..., c], atol=1e-5))
    steps = [
        np.abs(np.diff(volume[..., hit], axis=0))[brain[1:] & brain[:-1]].mean()
        for volume in (image, blurred)
    ]
    assert steps[1] < steps[0]


@pytest.mark.parametrize("modality", MODALITIES)
def test_each_modality_is_removed_alone(case, modality):
    image, _ = corrupted(case, f"no {modality}")
    present = image.any(axis=(0, 1, 2)).tolist()
    assert present == [name != modality for name in MODALITIES]


@pytest.mark.parametrize(("one", "other"), [("t1", "t1ce"), ("t2", "flair")])
def test_modalities_that_look_alike_are_swapped(case, one, other):
    image, _ = corrupted(case, f"{one} and {other} swapped")
    for channel, name in enumerate(MODALITIES):
        source = {one: other, other: one}.get(name, name)
        np.testing.assert_allclose(image[..., channel], case[0][..., MODALITIES.index(source)], atol=1e-5)


def test_a_misregistered_modality_is_displaced_by_3_to_8_mm():
    """A bright voxel in the middle of a large brain moves by 1.5 to 4 voxels of 2 mm, in one modality."""
    image = np.random.default_rng(0).normal(0, 1e-3, (21, 21, 21, 4)).astype(np.float32)
    image[10, 10, 10] = 100
    moved, _ = corrupt(
        image,
        np.zeros((21, 21, 21), np.uint8),
        kind="misregistered",
        spacing_mm=2,
        rng=np.random.default_rng(1),
    )
    weights = np.moveaxis(np.maximum(moved - 1, 0), -1, 0)
    grid = np.stack(np.meshgrid(*[np.arange(21)] * 3, indexing="ij"), axis=-1)
    middles = [(w[..., np.newaxis] * grid).sum(axis=(0, 1, 2)) / w.sum() for w in weights]
    distances = sorted(2 * float(np.linalg.norm(middle - 10)) for middle in middles)
    assert distances[:3] == pytest.approx([0, 0, 0], abs=1e-6)
    assert 3 <= distances[3] <= 8


def test_faint_contrast_brings_t1ce_nearer_to_t1(case):
    image, _ = corrupted(case, "faint contrast")
    brain = image.any(axis=-1)

    def difference(of):
        return np.abs(of[brain][:, 1] - of[brain][:, 0]).mean()

    assert difference(image) < 0.6 * difference(case[0])
    for channel in (0, 2, 3):
        np.testing.assert_allclose(image[..., channel], case[0][..., channel], atol=1e-5)
