"""The weights of the classifier of modalities can be learned again, here on made-up features."""

import json
from pathlib import Path

import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.data.quality import modality_training
from glioseg.data.quality.modality_order import (
    CaseFeatures,
    ModalityClassifier,
    load_classifier,
    measure_features,
    orders,
)
from glioseg.data.quality.modality_training import learn, main


def case(seed: int) -> CaseFeatures:
    """Modality m has the feature 5 m, its pair with modality k has 5 (m - k), both with noise of 1/3."""
    rng = np.random.default_rng(seed)
    level = 5.0 * np.arange(4)
    single = np.stack([level + rng.normal(size=4) / 3, np.ones(4)], axis=1)
    return CaseFeatures(single, (level[:, None] - level + rng.normal(size=(4, 4)) / 3)[..., None])


def test_learned_weights_find_the_order_of_other_cases_also_with_missing_images() -> None:
    classifier = learn([case(seed) for seed in range(30)])
    for seed in range(100, 110):
        for subset in ((0, 1, 2, 3), (3, 1), (2,)):
            logs = classifier.log_probabilities(case(seed).of_images(subset))
            assert orders(len(subset))[int(logs.argmax())] == subset


def test_the_gradient_is_that_of_the_loss() -> None:
    classifier = learn([case(0)])
    examples = list(modality_training._examples(classifier, [case(1), case(2)]))
    weights = np.random.default_rng(3).normal(size=classifier.weights.size)
    _, gradient = modality_training._loss_and_gradient(weights, examples)
    for axis in range(0, weights.size, 5):
        step = np.zeros(weights.size)
        step[axis] = 1e-5
        high = modality_training._loss_and_gradient(weights + step, examples)[0]
        low = modality_training._loss_and_gradient(weights - step, examples)[0]
        assert gradient[axis] == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-6)


def test_the_same_features_write_the_same_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(modality_training, "phantom_features", lambda preset, index: case(index))
    monkeypatch.setattr(modality_training, "LOCAL", Cluster("threads", workers=1))
    monkeypatch.setattr(modality_training, "PHANTOMS", {"typical": 2, "domain_randomised": 1})
    written = []
    for path in (tmp_path / "one.json", tmp_path / "other.json"):
        monkeypatch.setattr(modality_training, "WEIGHTS", path)
        main()
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0]).keys() == ModalityClassifier.__annotations__.keys()


def test_the_package_s_weights_fit_its_features(phantom: dict[str, np.ndarray]) -> None:
    images = list(phantom.values())
    brain = np.any([image != 0 for image in images], axis=0)
    features, classifier = measure_features(images, brain, (2.0, 2.0, 2.0)), load_classifier()
    assert features is not None
    assert classifier.order_vectors(features).shape == (24, classifier.weights.size)
