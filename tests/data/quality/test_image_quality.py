"""Measures of one image, against theory and hand arithmetic."""

import numpy as np
import pytest

from glioseg.core.geometry import Reorientation
from glioseg.core.nifti import Grid
from glioseg.data.quality.image_quality import detail, fingerprint, measure_oddities, read_fingerprint

SHAPE = (60, 66, 54)
LPS = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
RAS = Grid(SHAPE, np.diag([1.0, 1, 1, 1]))


def brain_like(seed: int, blobs: int = 60) -> np.ndarray:
    """An ellipsoid with smooth blobs in it, other ones for each seed."""
    rng = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1.1, 1.1, n) for n in SHAPE))
    image = np.zeros(SHAPE)
    for centre in rng.uniform(-0.8, 0.8, (blobs, 3)):
        away = sum(((axis - at) / 0.12) ** 2 for axis, at in zip(axes, centre, strict=True))
        image += rng.uniform(20, 200) * np.exp(-away)
    return np.where(sum(axis**2 for axis in axes) < 1, 100 + image, 0)


def measure(image: np.ndarray, turn: Reorientation = LPS.to_lps) -> dict:
    return measure_oddities(image, image[image != 0], turn)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(
        read_fingerprint(measure(one)["fingerprint"]) @ read_fingerprint(measure(other)["fingerprint"])
    )


def test_range_and_peak_of_evenly_spread_brightness() -> None:
    image = np.linspace(1, 1001, 30**3).reshape(30, 30, 30)
    found = measure(image)
    # Percentiles 0.5 and 99.5 of 1 to 1001 are 6 and 996.
    assert found["range"] == pytest.approx(990)
    assert found["peak"] == pytest.approx(1001 / 996)
    assert found["tail"] == pytest.approx(996 / 501)
    assert measure(image - 500)["tail"] is None  # brightness below 0 is a scale of its own


def test_detail_of_waves_is_the_sine_s_own() -> None:
    # Second differences of a wave of w radians a voxel are 2 - 2 cos w times the wave.
    wave = 10 + np.sin(np.arange(1200) * 0.5)[:, None, None] + np.zeros((1, 7, 7))
    assert detail(wave) == pytest.approx((2 - 2 * np.cos(0.5)) ** 2 / 6, rel=0.01)


def test_detail_is_that_of_the_finest_axis_and_free_of_scale() -> None:
    noise = np.random.default_rng(1).normal(50, 5, (60, 60, 20))
    thick = np.repeat(noise, 5, axis=2)  # thick slices
    assert detail(thick) == pytest.approx(1, abs=0.1)
    assert detail(1000 * thick) == pytest.approx(detail(thick), rel=1e-3)


def test_voxels_of_background_are_no_detail() -> None:
    ramp = np.arange(1.0, 61)[:, None, None] + np.arange(60)[:, None] + np.arange(60)
    ramp[:20], ramp[50:] = 0, 0
    assert detail(ramp) == pytest.approx(0, abs=1e-9)


def test_a_copy_is_alike_however_it_was_changed_and_another_scan_is_not() -> None:
    image = brain_like(1)
    brain = image != 0
    noisy = np.where(brain, image + np.random.default_rng(0).normal(0, 2, SHAPE), 0)
    for copy in (image * 7, (image * 20).astype(np.int16), noisy, np.sqrt(image)):
        assert likeness(image, copy) > 0.95
    assert max(likeness(image, brain_like(seed)) for seed in (2, 3, 4)) < 0.7


def test_an_image_that_lies_otherwise_in_memory_has_the_same_fingerprint() -> None:
    image = brain_like(1)
    turned = np.ascontiguousarray(image[::-1, ::-1])
    assert measure(turned, RAS.to_lps) == measure(image)


@pytest.mark.parametrize("image", [np.zeros(SHAPE), np.zeros((0, 4, 4))])
def test_nothing_is_measured_where_there_is_nothing(image: np.ndarray) -> None:
    assert measure(image) == {}


def test_one_value_has_no_range_and_no_detail() -> None:
    found = measure(np.full((30, 30, 30), 5, np.int16))
    assert found == {"range": None, "peak": 1, "tail": None, "detail": None, "fingerprint": None}
    assert fingerprint(np.full((3, 3, 3), 7.0)) is None
