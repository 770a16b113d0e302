"""Losses of each output and their weights, against MONAI's published reference values and arithmetic by hand.

The gradients of all losses are finite and useful.
"""

import typing
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from glioseg.models.training.losses import (
    at_scale,
    compile_losses,
    dice_ce_loss,
    dice_loss,
    focal_tversky_loss,
    grade_loss,
    segmentation_loss,
    soft_dice,
    survival_loss,
    tversky,
)
from glioseg.params.sections import LossName

LOSSES = typing.get_args(LossName)
NAN = float("nan")

LOGITS = np.array([[1.0, -1.0], [-1.0, 1.0]])


def random_pair(cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities of three regions, which are empty in the first case."""
    rng = np.random.default_rng(0)
    truth = (rng.random((cases, 4, 4, 4, 3)) > 0.7).astype(np.float32)
    truth[0] = 0
    return truth, rng.random(truth.shape).astype(np.float32)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_dice", [False, True])
class TestEveryRegionLoss:
    def test_a_perfect_prediction_has_loss_0(self, tiny_train: Callable, name: str, batch_dice: bool) -> None:
        truth, _ = random_pair(2)
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        assert float(loss(truth, truth)) == pytest.approx(0, abs=1e-5)

    def test_an_empty_region_lowers_every_voxel(
        self, tiny_train: Callable, name: str, batch_dice: bool
    ) -> None:
        truth = np.zeros((1, 4, 4, 4, 3), np.float32)
        truth[..., :2] = 1.0  # no ET
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        before, after = step(np.full(truth.shape, -1.0, np.float32), truth, loss, "sigmoid")
        assert np.all(after[..., 2] < before[..., 2])

    def test_a_perfect_prediction_has_a_finite_gradient(
        self, tiny_train: Callable, name: str, batch_dice: bool
    ) -> None:
        truth, _ = random_pair(2)
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        _, after = step(1000 * (2 * truth - 1), truth, loss, "sigmoid")
        assert np.isfinite(after).all()


@pytest.mark.parametrize("name", LOSSES)
def test_without_batch_dice_the_loss_is_the_mean_of_the_halves_of_a_batch(
    tiny_train: Callable, name: str
) -> None:
    truth, prediction = random_pair(4)
    loss = segmentation_loss(tiny_train(loss=name, batch_dice=False))
    halves = [float(loss(truth[half], prediction[half])) for half in (slice(2), slice(2, 4))]
    assert float(loss(truth, prediction)) == pytest.approx(np.mean(halves), abs=1e-6)


@pytest.mark.parametrize("loss", [grade_loss, survival_loss])
def test_an_outcome_loss_is_the_mean_of_the_halves_of_a_batch(loss: Callable) -> None:
    truth = np.array([[NAN], [NAN], [1], [0]], np.float32)
    prediction = np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)
    halves = [float(loss(truth[half], prediction[half])) for half in (slice(2), slice(2, 4))]
    assert halves[0] == 0
    assert float(loss(truth, prediction)) == pytest.approx(np.mean(halves), abs=1e-6)


class TestOutcomes:
    def test_grade_loss_is_cross_entropy_of_known_cases(self) -> None:
        truth, prediction = np.array([[1], [0], [NAN]]), np.array([[0.5], [0.75], [0.9]], np.float32)
        # -ln 0.5 - ln 0.25 = 3 ln 2, over three cases
        assert float(grade_loss(truth, prediction)) == pytest.approx(np.log(2), abs=1e-6)

    def test_survival_loss_is_squared_error_of_known_cases(self) -> None:
        truth, prediction = np.array([[1.5], [NAN]]), np.array([[3.5], [7.0]], np.float32)
        assert float(survival_loss(truth, prediction)) == pytest.approx(2.0 * 2.0 / 2)

    def test_shapes_may_differ_by_the_last_axis(self) -> None:
        truth, prediction = np.array([1.0, 2.0]), np.array([[1.0], [2.0]], np.float32)
        assert float(survival_loss(truth, prediction)) == 0

    @pytest.mark.parametrize("loss", [grade_loss, survival_loss])
    def test_an_unknown_case_has_no_gradient(self, loss: Callable) -> None:
        start = np.array([[0.5], [0.5]], np.float32)
        before, after = step(start, np.array([[NAN], [0.0]], np.float32), loss, "linear")
        assert after[0] == before[0]
        assert after[1] < before[1]

    @pytest.mark.parametrize("loss", [grade_loss, survival_loss])
    def test_a_batch_of_unknown_cases_has_loss_0_and_no_gradient(self, loss: Callable) -> None:
        unknown, start = np.array([[NAN], [NAN]], np.float32), np.array([[0.2], [0.8]], np.float32)
        assert float(loss(unknown, start)) == 0
        np.testing.assert_array_equal(*step(start, unknown, loss, "linear"))


class TestCompiling:
    def test_each_scale_has_half_the_weight_of_the_finer_one(self, tiny_train: Callable) -> None:
        outputs = ["segmentation", "segmentation_2", "segmentation_4", "grade", "survival"]
        losses, weights = compile_losses(outputs, tiny_train())
        assert list(losses) == list(weights) == outputs
        assert weights == pytest.approx(dict(zip(outputs, [4 / 7, 2 / 7, 1 / 7, 0.2, 0.2], strict=True)))

    def test_a_single_output_has_weight_1(self, tiny_train: Callable) -> None:
        losses, weights = compile_losses(["segmentation"], tiny_train(loss="dice"))
        assert weights == {"segmentation": 1.0}
        truth, prediction = random_pair(2)
        assert float(losses["segmentation"](truth, prediction)) == float(
            dice_loss(truth, prediction, batch=False)
        )

    def test_batch_dice_is_used(self, tiny_train: Callable) -> None:
        truth, prediction = random_pair(2)
        for batch in (False, True):
            loss = segmentation_loss(tiny_train(loss="dice", batch_dice=batch))
            assert float(loss(truth, prediction)) == float(dice_loss(truth, prediction, batch=batch))

    def test_a_coarse_target_is_the_mean_of_its_block(self, tiny_train: Callable) -> None:
        truth = np.zeros((1, 2, 2, 2, 1), bool)
        truth[0, 0, 0, 0] = True
        prediction = np.full((1, 1, 1, 1, 1), 0.5, np.float32)
        # (2 · 1/8 · 1/2 + 1) / (1/8 + 1/2 + 1) = 9/13
        coarse = at_scale(segmentation_loss(tiny_train(loss="dice")), 2)
        assert float(coarse(truth, prediction)) == pytest.approx(4 / 13)
        losses, _ = compile_losses(["segmentation", "segmentation_2"], tiny_train(loss="dice"))
        assert float(losses["segmentation_2"](truth, prediction)) == pytest.approx(4 / 13)

    @pytest.mark.parametrize("name", ["volume", "segmentation_half"])
    def test_an_unknown_output_is_rejected(self, tiny_train: Callable, name: str) -> None:
        with pytest.raises(ValueError, match=f"expected segmentation, .*got {name}"):
            compile_losses(["segmentation", name], tiny_train())


def step(start: np.ndarray, truth: np.ndarray, loss: Callable, activation: str) -> tuple:
    """Predictions before and after one step of gradient descent on the logits."""
    variable = keras.Variable(start)
    model = VariablePrediction(variable, keras.layers.Activation(activation))
    model.compile(keras.optimizers.SGD(1.0), loss=loss, jit_compile=False)
    empty = np.zeros((len(start), 1), np.float32)
    before = np.asarray(model(empty))
    model.train_on_batch(empty, truth)
    return before, np.asarray(model(empty))


class VariablePrediction(keras.Model):
    """Predicts the activation of a variable, so that a step shows the gradient of the loss."""

    def __init__(self, variable: keras.Variable, activation: keras.Layer) -> None:
        super().__init__()
        self.variable, self.activation = variable, activation

    def call(self, inputs: object) -> object:
        return self.activation(self.variable + 0 * ops.sum(inputs))


def volumes(*slices: object) -> np.ndarray:
    """2D slices as a batch of one-channel volumes, (batch, 1, H, W, 1)."""
    return np.array(slices, np.float32)[:, np.newaxis, ..., np.newaxis]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


class TestMonaiReferences:
    """Inputs and values of MONAI's tests/test_dice_loss.py and tests/test_tversky_loss.py."""

    TWO_CASES = volumes([[1, 1], [1, 1]], [[1, 0], [1, 0]])
    CLASSES = np.array([[1, 0, 0], [1, 1, 0]])
    CLASS_LOGITS = np.array([[[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])

    def test_one_case(self) -> None:
        dice = soft_dice(volumes([[1, 0], [1, 1]]), sigmoid(volumes(LOGITS)), batch=False, smooth_vox=1e-6)
        assert 1 - float(dice[0, 0]) == pytest.approx(0.307576, abs=1e-6)

    def test_two_cases_that_are_averaged(self) -> None:
        dice = soft_dice(self.TWO_CASES, sigmoid(volumes(LOGITS, LOGITS)), batch=False, smooth_vox=1e-4)
        assert 1 - float(ops.mean(dice)) == pytest.approx(0.416657, abs=1e-6)

    @pytest.mark.parametrize(
        ("batch", "smooth_vox", "expected"), [(False, 1e-4, 0.435050), (True, 1e-5, 0.422979)]
    )
    def test_two_classes(self, batch: bool, smooth_vox: float, expected: float) -> None:
        truth = np.stack([1 - self.CLASSES, self.CLASSES], axis=-1)
        prediction = sigmoid(self.CLASS_LOGITS.transpose(0, 2, 1))
        dice = soft_dice(truth, prediction, batch=batch, smooth_vox=smooth_vox)
        assert 1 - float(ops.mean(dice)) == pytest.approx(expected, abs=1e-6)

    def test_tversky(self) -> None:
        index = tversky(volumes([[1, 0], [1, 1]]), sigmoid(volumes(LOGITS)), batch=False, smooth_vox=1e-6)
        assert 1 - float(index[0, 0]) == pytest.approx(0.3589, abs=5e-5)


class TestDice:
    def test_the_whole_batch_at_once(self) -> None:
        truth, prediction = volumes([[1, 1]], [[0, 0]]), volumes([[0.5, 0.5]], [[0.5, 0.0]])
        # (2·1 + 1) / (1.5 + 2 + 1)
        np.testing.assert_allclose(soft_dice(truth, prediction, batch=True), [3 / 4.5], rtol=1e-6)
        assert float(dice_loss(truth, prediction, batch=True)) == pytest.approx(1 / 3)

    def test_case_by_case(self) -> None:
        truth, prediction = volumes([[1, 1]], [[0, 0]]), volumes([[0.5, 0.5]], [[0.5, 0.0]])
        # (2·1 + 1) / (1 + 2 + 1), and 1 / (0.5 + 1)
        np.testing.assert_allclose(soft_dice(truth, prediction, batch=False), [[3 / 4], [2 / 3]], rtol=1e-6)
        assert float(dice_loss(truth, prediction, batch=False)) == pytest.approx((1 / 4 + 1 / 3) / 2)

    def test_each_region_has_its_own_dice(self) -> None:
        truth = np.zeros((1, 1, 1, 2, 3), np.float32)
        truth[..., 0, 0] = 1
        dice = soft_dice(truth, np.ones_like(truth), batch=True)
        np.testing.assert_allclose(dice, [3 / 4, 1 / 3, 1 / 3], rtol=1e-6)

    @pytest.mark.parametrize(("truth", "prediction", "expected"), [(0, 0, 1.0), (1, 0, 1 / 5), (0, 1, 1 / 5)])
    @pytest.mark.parametrize("batch", [False, True])
    def test_empty_masks_of_four_voxels(
        self, truth: float, prediction: float, expected: float, batch: bool
    ) -> None:
        masks = (np.full((1, 1, 2, 2, 1), x, np.float32) for x in (truth, prediction))
        np.testing.assert_allclose(np.ravel(soft_dice(*masks, batch=batch)), [expected], rtol=1e-6)

    def test_bool_targets_and_bfloat16_predictions_are_summed_in_float32(self) -> None:
        truth, prediction = np.ones((1, 16, 16, 16, 1), bool), ops.ones((1, 16, 16, 16, 1), "bfloat16")
        np.testing.assert_allclose(soft_dice(truth, prediction, batch=True), [1.0], atol=1e-6)


class TestOtherRegionLosses:
    HALF = volumes([[1, 0]]), volumes([[0.5, 0.5]])

    @pytest.mark.parametrize("weight", [0.0, 2.0])
    def test_weighted_cross_entropy_is_added(self, weight: float) -> None:
        # Dice (2·0.5 + 1) / (1 + 1 + 1) = 2/3; cross-entropy ln 2.
        loss = dice_ce_loss(*self.HALF, batch=False, cross_entropy_weight=weight)
        assert float(loss) == pytest.approx(1 / 3 + weight * np.log(2), abs=1e-6)

    def test_focal_tversky(self) -> None:
        # TP, FN and FP are 0.5: (0.5 + 1) / (0.5 + 0.7·0.5 + 0.3·0.5 + 1) = 3/4; γ = 4/3.
        loss = focal_tversky_loss(*self.HALF, batch=False)
        assert float(loss) == pytest.approx(0.25 ** (3 / 4), abs=1e-6)

    def test_focal_tversky_weighs_missed_voxels_more_than_false_positives(self) -> None:
        one, none = volumes([[1, 0]]), volumes([[0, 0]])
        # 1 / 1.7 and 1 / 1.3
        missed = float(focal_tversky_loss(one, none, batch=False))
        assert missed == pytest.approx((0.7 / 1.7) ** (3 / 4), abs=1e-6)
        false = float(focal_tversky_loss(none, one, batch=False))
        assert false == pytest.approx((0.3 / 1.3) ** (3 / 4), abs=1e-6)
