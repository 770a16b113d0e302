"""The classifier of a case's modalities: its arithmetic, phantoms, and real cases in all 24 orders."""

from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import read_images
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.quality.modality_order import (
    CaseFeatures,
    ModalityClassifier,
    likeliest_modalities,
    load_classifier,
    measure_features,
    orders,
)
from glioseg.params.contract import Contract

LIMIT = Contract().swapped.log_odds
Images = dict[str, np.ndarray]


def brain_of(images: Images) -> np.ndarray:
    return np.any([image != 0 for image in images.values()], axis=0)


def named(images: Images, order: tuple[str, ...]) -> Images:
    """The images under the names of other modalities: the first name holds the image of `order[0]`."""
    return {name: images[other] for name, other in zip(MODALITIES, order, strict=True)}


def classify(images: Images, spacing_mm: float = 2.0) -> tuple[dict[str, str], float]:
    found = likeliest_modalities(images, brain_of(images), (spacing_mm,) * 3)
    assert found
    return found


def test_the_score_of_an_order_is_the_sum_over_its_images_and_pairs() -> None:
    # One feature of an image and one of a pair. Only T1 (1) and the pair of T1 and T1ce (10) have weights.
    weights = np.zeros(4 + 12)
    weights[0], weights[4] = 1, 10
    zero, one = np.zeros(1), np.ones(1)
    classifier = ModalityClassifier(zero, one, zero, one, weights)
    features = CaseFeatures(np.array([[2.0], [3.0]]), np.array([[[0.0], [0.5]], [[0.25], [0.0]]]))
    logs = dict(zip(orders(2), classifier.log_probabilities(features), strict=True))
    assert len(logs) == 12
    assert logs[0, 1] - logs[2, 3] == pytest.approx(2 + 10 * 0.5)  # T1, T1ce
    assert logs[1, 0] - logs[2, 3] == pytest.approx(3 + 10 * 0.25)  # T1ce, T1
    assert sum(np.exp(list(logs.values()))) == pytest.approx(1)


def test_features_depend_on_neither_scale_nor_offset(phantom: Images) -> None:
    brain = brain_of(phantom)
    changed = [(image.astype(np.float64) - 500) / 70 for image in phantom.values()]
    one = measure_features(list(phantom.values()), brain, (2.0, 2.0, 2.0))
    other = measure_features(changed, brain, (2.0, 2.0, 2.0))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.single, other.single, atol=1e-6)
    np.testing.assert_allclose(one.pair, other.pair, atol=1e-6)


@pytest.mark.parametrize("order", list(permutations(MODALITIES)), ids="-".join)
def test_the_order_of_a_phantom_is_found(phantom: Images, order: tuple[str, ...]) -> None:
    found, log_odds = classify(named(phantom, order))
    assert tuple(found.values()) == order
    assert (log_odds > LIMIT) == (order != MODALITIES)


@pytest.mark.parametrize("missing", MODALITIES)
def test_a_missing_modality_is_no_swap_but_a_wrong_name_is(phantom: Images, missing: str) -> None:
    present = {name: image for name, image in phantom.items() if name != missing}
    assert classify(present)[1] == 0
    one, other, *_ = present
    found, log_odds = classify(present | {one: present[other], other: present[one]})
    assert (found[one], found[other]) == (other, one)
    assert log_odds > LIMIT


def test_a_small_brain_or_a_constant_image_is_not_classified(phantom: Images) -> None:
    brain = brain_of(phantom)
    images = list(phantom.values())
    assert measure_features(images, brain, (0.5, 0.5, 0.5)) is None
    assert measure_features([*images[:3], np.ones_like(images[0])], brain, (2.0, 2.0, 2.0)) is None


def real_features(folder: Path) -> dict[str, CaseFeatures]:
    found = {}
    for case in find_cases(folder):
        images = {name: volume.data for name, volume in read_images(case).items()}
        features = measure_features(list(images.values()), brain_of(images), (1.0, 1.0, 1.0))
        assert features is not None
        found[case.case] = features
    return found


def test_real_cases_in_all_orders(real_scans: Path) -> None:
    """No false alarm with all images or all but one, and nearly every wrong order of four is found."""
    folders = [real_scans, real_scans.with_name("brats_dev")]
    cases = {k: v for folder in folders if folder.is_dir() for k, v in real_features(folder).items()}
    classifier, wrong, missed = load_classifier(), 0, []
    for name, features in cases.items():
        for size in (4, 3):
            for subset in combinations(range(4), size):
                logs = classifier.log_probabilities(features.of_images(subset))
                assert logs.max() - logs[orders(size).index(subset)] <= LIMIT, (name, subset)
        logs = classifier.log_probabilities(features)
        for order, log in zip(orders(4)[1:], logs[1:], strict=True):
            wrong += 1
            missed += [(name, order)] * bool(logs.max() - log <= LIMIT)
    assert wrong == 23 * len(cases)
    assert len(missed) <= 0.02 * wrong, missed
