"""Fingerprints of changed copies, and pairs from fingerprints with known correlations."""

import base64
from dataclasses import replace

import numpy as np

from glioseg.data.quality.near_duplicates import (
    Image,
    describe_pairs,
    find_pairs,
    fingerprint,
    read_fingerprint,
)

SHAPE = (60, 66, 54)


def brain_like(seed: int, blobs: int = 60) -> np.ndarray:
    """An ellipsoid with smooth blobs in it, different ones for each seed."""
    rng = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1.1, 1.1, n) for n in SHAPE))
    image = np.zeros(SHAPE)
    for centre in rng.uniform(-0.8, 0.8, (blobs, 3)):
        distance = sum(((axis - at) / 0.12) ** 2 for axis, at in zip(axes, centre, strict=True))
        image += rng.uniform(20, 200) * np.exp(-distance)
    return np.where(sum(axis**2 for axis in axes) < 1, 100 + image, 0)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    first, second = fingerprint(one[::3, ::3, ::3]), fingerprint(other[::3, ::3, ::3])
    return float(read_fingerprint(str(first)) @ read_fingerprint(str(second)))


def test_a_changed_copy_is_similar_and_another_scan_is_not() -> None:
    image = brain_like(1)
    brain = image != 0
    noisy = np.where(brain, image + np.random.default_rng(0).normal(0, 2, SHAPE), 0)
    for copy in (image * 7, (image * 20).astype(np.int16), noisy, np.sqrt(image)):
        assert correlation(image, copy) > 0.95
    assert max(correlation(image, brain_like(seed)) for seed in (2, 3, 4)) < 0.7


def test_a_constant_image_has_no_fingerprint() -> None:
    assert fingerprint(np.full((3, 3, 3), 7.0)) is None


def image(case: str, *steps: int, role: str = "t1", patient: str = "", is_copy: bool = False) -> Image:
    text = base64.b64encode(np.array(steps, np.int8).tobytes()).decode()
    return Image(case, patient or case, role, text, is_copy)


def describe(*images: Image) -> dict[int, str]:
    return describe_pairs(images, find_pairs(images, correlation=0.7, same_patient=0.98))


def test_a_similar_image_names_the_earlier_case() -> None:
    # Their dot product is 3·3 + 4·4 + 0·2 = 25, their lengths 5 and √29.
    one, other = image("a", 3, 4, 0), image("b", 3, 4, 2)
    assert describe(one, other) == {1: f"a, with a correlation of {5 / 29**0.5:.3f}"}
    assert describe(one, replace(other, role="t2")) == {}
    assert describe(one, image("b", 4, 0, 3)) == {}
    assert describe(one, replace(other, fingerprint=None)) == {}


def test_two_visits_of_a_patient_may_be_similar_but_not_equal() -> None:
    one = image("a", 30, 40, 0, patient="p")
    assert describe(one, image("b", 30, 40, 20, patient="p")) == {}
    # 2500 / (50 · √2501) = 0.9998
    assert describe(one, image("b", 30, 40, 1, patient="p")) == {1: "a, with a correlation of 1.000"}


def test_images_with_the_same_bytes_are_not_described() -> None:
    assert describe(image("a", 3, 4, 0), image("b", 3, 4, 0, is_copy=True)) == {}


def test_two_cases_with_several_similar_modalities_have_one_description() -> None:
    one = [image("a", 3, 4, 0, role=role) for role in ("t1", "t2")]
    other = [image("b", 3, 4, 2, role="t1"), image("b", 3, 4, 1, role="t2")]
    # 25 / (5 · √29) and 25 / (5 · √26)
    text = f"a in t1, t2, with a correlation of at least {5 / 29**0.5:.3f}"
    assert describe(*one, *other) == {2: text}


def test_pairs_include_images_with_the_same_bytes() -> None:
    images = [
        image("a", 3, 4, 0),
        image("b", 3, 4, 0, is_copy=True),
        image("c", 3, 4, 1),
        image("d", 4, 0, 3),
    ]
    pairs = find_pairs(images, correlation=0.7, same_patient=0.98)
    assert [(pair.earlier, pair.later) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
