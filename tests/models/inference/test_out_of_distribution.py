import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.models.inference.out_of_distribution import (
    FEATURE_NAMES,
    LIMIT_MARGIN,
    MIN_CASES,
    compute_features,
    fit_out_of_distribution,
)

T2 = MODALITIES.index("t2")


def brain(seed=0, **changes):
    """A brain of 16³ voxels of noise in a box of 20³; a modality may be changed by a function."""
    rng = np.random.default_rng(seed)
    image = np.zeros((20, 20, 20, 4), np.float32)
    image[2:18, 2:18, 2:18] = rng.standard_normal((16, 16, 16, 4))
    for name, change in changes.items():
        channel = image[2:18, 2:18, 2:18, MODALITIES.index(name)]
        channel[...] = change(channel)
    return image


def value(image, feature):
    return compute_features(image, spacing_mm=2)[FEATURE_NAMES.index(feature)]


def test_features_by_hand():
    image = np.zeros((20, 20, 20, 4), np.float32)
    # t1 is -1 and 1 in turn, t2 too; t1ce grows along the first axis; flair is constant: 0, as when missing.
    place = np.indices((16, 16, 16)).sum(axis=0)
    image[2:18, 2:18, 2:18, 0] = image[2:18, 2:18, 2:18, T2] = np.where(place % 2, 1, -1)
    image[2:18, 2:18, 2:18, 1] = np.arange(16)[:, None, None] - 7.5
    # Inside the outermost voxels 14³ are left, half of them -1. Neighbours differ by 2, in 1 deviation:
    # half the mean square is 2.
    assert value(image, "t1 (middle)") == pytest.approx(0, abs=1)
    assert value(image, "t1 (skewness)") == pytest.approx(0, abs=1e-6)
    assert value(image, "t1 (tails)") == pytest.approx(0, abs=1e-5)  # ln of a fourth moment of 1
    assert value(image, "t1 (extremes)") == pytest.approx(np.log(1e-3))
    assert value(image, "t1 (sharpness)") == pytest.approx(np.log(2.001), abs=1e-5)
    assert value(image, "t1 with t2 (correlation)") == pytest.approx(np.arctanh(0.999), rel=1e-4)
    assert value(image, "t1 with t1ce (correlation)") == pytest.approx(0, abs=1e-4)
    # The 14 steps of t1ce are 1 long, its variance (14² - 1) / 12; steps in the other two axes are 0.
    assert value(image, "t1ce (sharpness)") == pytest.approx(np.log(1 / 3 / 2 / (195 / 12) + 1e-3), abs=1e-3)
    assert value(image, "brain (volume)") == pytest.approx(np.log(16**3 * 8 / 1000))
    assert np.isnan(value(image, "flair (tails)"))
    assert np.isnan(value(image, "t1 with flair (correlation)"))


def test_features_do_not_depend_on_the_intensity_scale_or_a_finer_grid():
    image = brain(t1=lambda values: 3 * values - 5)
    np.testing.assert_allclose(
        compute_features(image, spacing_mm=2), compute_features(brain(), spacing_mm=2), atol=1e-4
    )
    fine = image.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(
        compute_features(fine, spacing_mm=1), compute_features(image, spacing_mm=2), atol=1e-4
    )


@pytest.fixture(scope="module")
def features():
    return np.array([compute_features(brain(seed), spacing_mm=2) for seed in range(12)])


def test_unusual_features_are_named(features):
    detector = fit_out_of_distribution(features, features[:0], modality_dropout=0.0)
    assert detector.unusual_features(compute_features(brain(99), spacing_mm=2)) == []
    smooth = brain(99, t2=lambda values: values.cumsum(axis=0))
    assert detector.unusual_features(compute_features(smooth, spacing_mm=2)) == ["t2 (sharpness)"]
    missing = brain(99, t1ce=lambda values: 0 * values)
    assert detector.unusual_features(compute_features(missing, spacing_mm=2)) == ["t1ce (missing)"]
    small = brain(99)
    small[10:] = 0
    assert detector.unusual_features(compute_features(small, spacing_mm=2)) == ["brain (volume)"]


def test_with_modality_dropout_only_t1ce_is_needed(features):
    without = {
        name: compute_features(brain(99, **{name: lambda v: 0 * v}), spacing_mm=2) for name in ("t1ce", "t2")
    }
    detector = fit_out_of_distribution(features, features, modality_dropout=0.1)
    assert detector.unusual_features(without["t2"]) == []
    assert detector.unusual_features(without["t1ce"]) == ["t1ce (missing)"]
    missing = without["t1ce"]
    lacking = np.vstack([features, missing])
    assert fit_out_of_distribution(lacking, features, modality_dropout=0.0).required_modalities == (
        "t1",
        "t2",
        "flair",
    )


def test_the_limit_exceeds_the_deviations_of_nearly_all_training_cases():
    """One feature varies. Each training case is compared with the rest, another case with all."""
    values = np.random.default_rng(0).standard_normal(20)
    rows, other = np.zeros((20, len(FEATURE_NAMES))), np.zeros((1, len(FEATURE_NAMES)))
    rows[:, 0], other[0, 0] = values, 90
    off = [abs(values[i] - np.delete(values, i).mean()) / np.delete(values, i).std() for i in range(20)]
    off.append((90 - values.mean()) / values.std())
    # Of 21 the 20th is the 95th percentile: the largest but one.
    detector = fit_out_of_distribution(rows, other, modality_dropout=0.0)
    assert detector.limit == pytest.approx(LIMIT_MARGIN * sorted(off)[-2], rel=1e-4)


def test_too_few_cases_give_no_detector(features):
    assert fit_out_of_distribution(features[: MIN_CASES - 1], features, modality_dropout=0.0) is None
