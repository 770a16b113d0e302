import numpy as np
import pytest

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
    if kind != "augmented":
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
    missing = corrupted(case, "missing")[0]
    assert 1 <= sum(not channel.any() for channel in np.moveaxis(missing, -1, 0)) <= 3
    present = missing.any(axis=(0, 1, 2))
    np.testing.assert_allclose(missing[..., present], image[..., present], atol=1e-5)
    blurred = corrupted(case, "blurred")[0]
    hit = next(c for c in range(4) if not np.allclose(blurred[..., c], image[..., c], atol=1e-5))
    steps = [
        np.abs(np.diff(volume[..., hit], axis=0))[brain[1:] & brain[:-1]].mean()
        for volume in (image, blurred)
    ]
    assert steps[1] < steps[0]
