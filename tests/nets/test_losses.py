"""The losses against MONAI's published reference values and hand arithmetic."""

import keras
import numpy as np
import pytest
from keras import ops

from glioseg.nets.losses import region_loss, soft_dice

LOGITS = np.array([[1.0, -1.0], [-1.0, 1.0]])


def volumes(*slices: object) -> np.ndarray:
    """2D slices as a batch of one-channel volumes, (batch, 1, H, W, 1)."""
    return np.array(slices, np.float32)[:, np.newaxis, ..., np.newaxis]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def test_monai_reference_of_one_case() -> None:
    dice = soft_dice(volumes([[1, 0], [1, 1]]), sigmoid(volumes(LOGITS)), smooth_vox=1e-6)
    assert 1 - float(dice[0]) == pytest.approx(0.307576, abs=1e-6)


def test_monai_reference_of_two_cases_that_are_averaged() -> None:
    prediction = sigmoid(volumes(LOGITS))
    truths = volumes([[1, 1], [1, 1]]), volumes([[1, 0], [1, 0]])
    losses = [1 - float(soft_dice(truth, prediction, smooth_vox=1e-4)[0]) for truth in truths]
    assert np.mean(losses) == pytest.approx(0.416657, abs=1e-6)


def test_monai_reference_of_two_classes() -> None:
    logits = np.array([[[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    classes = np.array([[1, 0, 0], [1, 1, 0]])
    losses = []
    for case in range(2):
        truth = np.stack([1 - classes[case], classes[case]], axis=-1)[np.newaxis]
        prediction = sigmoid(logits[case].T)[np.newaxis]
        losses.append(1 - np.asarray(soft_dice(truth, prediction, smooth_vox=1e-4)))
    assert np.mean(losses) == pytest.approx(0.435050, abs=1e-6)


def test_dice_counts_the_whole_batch_at_once() -> None:
    truth = volumes([[1, 1]], [[0, 0]])
    prediction = volumes([[0.5, 0.5]], [[0.5, 0.0]])
    # (2·1 + 1) / (1.5 + 2 + 1)
    assert float(soft_dice(truth, prediction, smooth_vox=1.0)[0]) == pytest.approx(3 / 4.5)


def test_each_region_has_its_own_dice() -> None:
    truth = np.zeros((1, 1, 1, 2, 3), np.float32)
    truth[..., 0, 0] = 1
    dice = soft_dice(truth, np.ones_like(truth), smooth_vox=1.0)
    np.testing.assert_allclose(dice, [3 / 4, 1 / 3, 1 / 3], rtol=1e-6)


def test_both_empty_score_one() -> None:
    empty = np.zeros((1, 2, 2, 2, 3), np.float32)
    np.testing.assert_allclose(soft_dice(empty, empty), 1.0)


def test_the_loss_adds_weighted_cross_entropy() -> None:
    truth, prediction = volumes([[1, 0]]), volumes([[0.5, 0.5]])
    # Dice (2·0.5 + 1) / (1 + 1 + 1) = 2/3; cross-entropy ln 2.
    for weight in (0.0, 2.0):
        loss = region_loss(cross_entropy_weight=weight)(truth, prediction)
        assert float(loss) == pytest.approx(1 / 3 + weight * np.log(2), abs=1e-6)


def test_a_perfect_answer_costs_nothing() -> None:
    truth = (np.random.default_rng(0).random((2, 4, 4, 4, 3)) > 0.5).astype(np.float32)
    assert float(region_loss(cross_entropy_weight=1.0)(truth, truth)) == pytest.approx(0, abs=1e-5)


def test_bool_truth_and_bfloat16_answer_are_summed_in_float32() -> None:
    truth = np.ones((1, 16, 16, 16, 1), bool)
    prediction = ops.ones((1, 16, 16, 16, 1), "bfloat16")
    assert float(soft_dice(truth, prediction)[0]) == pytest.approx(1.0, abs=1e-6)


def test_an_empty_region_pushes_every_voxel_down() -> None:
    logits = keras.Variable(np.full((1, 4, 4, 4, 3), -1.0, np.float32))
    truth = np.zeros((1, 4, 4, 4, 3), np.float32)
    truth[..., :2] = 1.0  # no ET
    before = float(np.mean(sigmoid(np.asarray(logits.value[..., 2]))))
    layer = keras.layers.Activation("sigmoid")
    model = Logits(logits, layer)
    model.compile(keras.optimizers.SGD(1.0), loss=region_loss(cross_entropy_weight=0.0), jit_compile=False)
    model.train_on_batch(np.zeros((1, 1), np.float32), truth)
    after = sigmoid(np.asarray(logits.value[..., 2]))
    assert np.isfinite(after).all()
    assert (after < before).all()


class Logits(keras.Model):
    """Answers with the sigmoid of a variable, so that a step shows the loss's gradient."""

    def __init__(self, logits: keras.Variable, activation: keras.Layer) -> None:
        super().__init__()
        self.logits, self.activation = logits, activation

    def call(self, inputs: object) -> object:
        return self.activation(self.logits + 0 * ops.sum(inputs))
