"""Losses of each output and their weights, by hand; gradients of all losses are finite and useful."""

import typing
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from glioseg.models.training.losses import (
    at_scale,
    compile_losses,
    grade_loss,
    segmentation_loss,
    survival_loss,
)
from glioseg.models.training.region_losses import dice_loss
from glioseg.params.sections import LossName

LOSSES = typing.get_args(LossName)
NAN = float("nan")


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
