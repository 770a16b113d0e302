"""The losses against MONAI's published reference values and hand arithmetic."""

import typing
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from glioseg.models.training.losses import at_scale, compile_losses, segmentation_loss
from glioseg.models.training.outcome_losses import grade_loss, survival_loss
from glioseg.models.training.region_losses import (
    dice_ce_loss,
    dice_loss,
    focal_tversky_loss,
    soft_dice,
    tversky,
)
from glioseg.params.sections import LossName

LOSSES = typing.get_args(LossName)
LOGITS = np.array([[1.0, -1.0], [-1.0, 1.0]])
NAN = float("nan")


def volumes(*slices: object) -> np.ndarray:
    """2D slices as a batch of one-channel volumes, (batch, 1, H, W, 1)."""
    return np.array(slices, np.float32)[:, np.newaxis, ..., np.newaxis]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def random_pair(cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities of three regions; the first case has none."""
    rng = np.random.default_rng(0)
    truth = (rng.random((cases, 4, 4, 4, 3)) > 0.7).astype(np.float32)
    truth[0] = 0
    return truth, rng.random(truth.shape).astype(np.float32)


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
        answer = sigmoid(self.CLASS_LOGITS.transpose(0, 2, 1))
        dice = soft_dice(truth, answer, batch=batch, smooth_vox=smooth_vox)
        assert 1 - float(ops.mean(dice)) == pytest.approx(expected, abs=1e-6)

    def test_tversky(self) -> None:
        index = tversky(volumes([[1, 0], [1, 1]]), sigmoid(volumes(LOGITS)), batch=False, smooth_vox=1e-6)
        assert 1 - float(index[0, 0]) == pytest.approx(0.3589, abs=5e-5)


class TestDice:
    def test_the_whole_batch_at_once(self) -> None:
        truth, answer = volumes([[1, 1]], [[0, 0]]), volumes([[0.5, 0.5]], [[0.5, 0.0]])
        # (2·1 + 1) / (1.5 + 2 + 1)
        np.testing.assert_allclose(soft_dice(truth, answer, batch=True), [3 / 4.5], rtol=1e-6)
        assert float(dice_loss(truth, answer, batch=True)) == pytest.approx(1 / 3)

    def test_case_by_case(self) -> None:
        truth, answer = volumes([[1, 1]], [[0, 0]]), volumes([[0.5, 0.5]], [[0.5, 0.0]])
        # (2·1 + 1) / (1 + 2 + 1), and 1 / (0.5 + 1)
        np.testing.assert_allclose(soft_dice(truth, answer, batch=False), [[3 / 4], [2 / 3]], rtol=1e-6)
        assert float(dice_loss(truth, answer, batch=False)) == pytest.approx((1 / 4 + 1 / 3) / 2)

    def test_each_region_has_its_own(self) -> None:
        truth = np.zeros((1, 1, 1, 2, 3), np.float32)
        truth[..., 0, 0] = 1
        dice = soft_dice(truth, np.ones_like(truth), batch=True)
        np.testing.assert_allclose(dice, [3 / 4, 1 / 3, 1 / 3], rtol=1e-6)

    @pytest.mark.parametrize(("truth", "answer", "expected"), [(0, 0, 1.0), (1, 0, 1 / 5), (0, 1, 1 / 5)])
    @pytest.mark.parametrize("batch", [False, True])
    def test_empty_masks_of_four_voxels(
        self, truth: float, answer: float, expected: float, batch: bool
    ) -> None:
        masks = (np.full((1, 1, 2, 2, 1), x, np.float32) for x in (truth, answer))
        np.testing.assert_allclose(np.ravel(soft_dice(*masks, batch=batch)), [expected], rtol=1e-6)

    def test_bool_truth_and_bfloat16_answer_are_summed_in_float32(self) -> None:
        truth, answer = np.ones((1, 16, 16, 16, 1), bool), ops.ones((1, 16, 16, 16, 1), "bfloat16")
        np.testing.assert_allclose(soft_dice(truth, answer, batch=True), [1.0], atol=1e-6)


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

    def test_focal_tversky_minds_a_missed_voxel_more_than_a_false_one(self) -> None:
        one, none = volumes([[1, 0]]), volumes([[0, 0]])
        # 1 / 1.7 and 1 / 1.3
        missed = float(focal_tversky_loss(one, none, batch=False))
        assert missed == pytest.approx((0.7 / 1.7) ** (3 / 4), abs=1e-6)
        false = float(focal_tversky_loss(none, one, batch=False))
        assert false == pytest.approx((0.3 / 1.3) ** (3 / 4), abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_dice", [False, True])
class TestEveryRegionLoss:
    def test_a_perfect_answer_costs_nothing(self, tiny_train: Callable, name: str, batch_dice: bool) -> None:
        truth, _ = random_pair(2)
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        assert float(loss(truth, truth)) == pytest.approx(0, abs=1e-5)

    def test_an_empty_region_pushes_every_voxel_down(
        self, tiny_train: Callable, name: str, batch_dice: bool
    ) -> None:
        truth = np.zeros((1, 4, 4, 4, 3), np.float32)
        truth[..., :2] = 1.0  # no ET
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        before, after = step(np.full(truth.shape, -1.0, np.float32), truth, loss, "sigmoid")
        assert np.all(after[..., 2] < before[..., 2])

    def test_a_certain_and_perfect_answer_has_a_finite_gradient(
        self, tiny_train: Callable, name: str, batch_dice: bool
    ) -> None:
        truth, _ = random_pair(2)
        loss = segmentation_loss(tiny_train(loss=name, batch_dice=batch_dice))
        _, after = step(1000 * (2 * truth - 1), truth, loss, "sigmoid")
        assert np.isfinite(after).all()


@pytest.mark.parametrize("name", LOSSES)
def test_case_by_case_a_batch_costs_the_mean_of_its_halves(tiny_train: Callable, name: str) -> None:
    truth, answer = random_pair(4)
    loss = segmentation_loss(tiny_train(loss=name, batch_dice=False))
    halves = [float(loss(truth[half], answer[half])) for half in (slice(2), slice(2, 4))]
    assert float(loss(truth, answer)) == pytest.approx(np.mean(halves), abs=1e-6)


@pytest.mark.parametrize("loss", [grade_loss, survival_loss])
def test_of_outcomes_a_batch_costs_the_mean_of_its_halves(loss: Callable) -> None:
    truth = np.array([[NAN], [NAN], [1], [0]], np.float32)
    answer = np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)
    halves = [float(loss(truth[half], answer[half])) for half in (slice(2), slice(2, 4))]
    assert halves[0] == 0
    assert float(loss(truth, answer)) == pytest.approx(np.mean(halves), abs=1e-6)


class TestOutcomes:
    def test_grade_is_cross_entropy_of_the_known(self) -> None:
        truth, answer = np.array([[1], [0], [NAN]]), np.array([[0.5], [0.75], [0.9]], np.float32)
        # -ln 0.5 - ln 0.25 = 3 ln 2, over three cases
        assert float(grade_loss(truth, answer)) == pytest.approx(np.log(2), abs=1e-6)

    def test_survival_is_squared_error_of_the_known(self) -> None:
        truth, answer = np.array([[1.5], [NAN]]), np.array([[3.5], [7.0]], np.float32)
        assert float(survival_loss(truth, answer)) == pytest.approx(2.0 * 2.0 / 2)

    def test_shapes_may_differ_by_the_last_axis(self) -> None:
        truth, answer = np.array([1.0, 2.0]), np.array([[1.0], [2.0]], np.float32)
        assert float(survival_loss(truth, answer)) == 0

    @pytest.mark.parametrize("loss", [grade_loss, survival_loss])
    def test_an_unknown_case_leaves_its_answer_alone(self, loss: Callable) -> None:
        start = np.array([[0.5], [0.5]], np.float32)
        before, after = step(start, np.array([[NAN], [0.0]], np.float32), loss, "linear")
        assert after[0] == before[0]
        assert after[1] < before[1]

    @pytest.mark.parametrize("loss", [grade_loss, survival_loss])
    def test_a_batch_of_unknown_cases_costs_nothing_and_changes_nothing(self, loss: Callable) -> None:
        unknown, start = np.array([[NAN], [NAN]], np.float32), np.array([[0.2], [0.8]], np.float32)
        assert float(loss(unknown, start)) == 0
        np.testing.assert_array_equal(*step(start, unknown, loss, "linear"))


class TestCompiling:
    def test_scales_weigh_half_as_much_each_and_one_together(self, tiny_train: Callable) -> None:
        outputs = ["segmentation", "segmentation_2", "segmentation_4", "grade", "survival"]
        losses, weights = compile_losses(outputs, tiny_train())
        assert list(losses) == list(weights) == outputs
        assert weights == pytest.approx(dict(zip(outputs, [4 / 7, 2 / 7, 1 / 7, 0.2, 0.2], strict=True)))

    def test_one_output_weighs_one(self, tiny_train: Callable) -> None:
        losses, weights = compile_losses(["segmentation"], tiny_train(loss="dice"))
        assert weights == {"segmentation": 1.0}
        truth, answer = random_pair(2)
        assert float(losses["segmentation"](truth, answer)) == float(dice_loss(truth, answer, batch=False))

    def test_batch_dice_is_passed_on(self, tiny_train: Callable) -> None:
        truth, answer = random_pair(2)
        for batch in (False, True):
            loss = segmentation_loss(tiny_train(loss="dice", batch_dice=batch))
            assert float(loss(truth, answer)) == float(dice_loss(truth, answer, batch=batch))

    def test_the_coarse_truth_is_the_mean_of_its_block(self, tiny_train: Callable) -> None:
        truth = np.zeros((1, 2, 2, 2, 1), bool)
        truth[0, 0, 0, 0] = True
        answer = np.full((1, 1, 1, 1, 1), 0.5, np.float32)
        # (2 · 1/8 · 1/2 + 1) / (1/8 + 1/2 + 1) = 9/13
        coarse = at_scale(segmentation_loss(tiny_train(loss="dice")), 2)
        assert float(coarse(truth, answer)) == pytest.approx(4 / 13)
        losses, _ = compile_losses(["segmentation", "segmentation_2"], tiny_train(loss="dice"))
        assert float(losses["segmentation_2"](truth, answer)) == pytest.approx(4 / 13)

    @pytest.mark.parametrize("name", ["volume", "segmentation_half"])
    def test_an_output_that_no_network_has_is_refused(self, tiny_train: Callable, name: str) -> None:
        with pytest.raises(ValueError, match=f"expected segmentation, .*got {name}"):
            compile_losses(["segmentation", name], tiny_train())


def step(start: np.ndarray, truth: np.ndarray, loss: Callable, activation: str) -> tuple:
    """Answers before and after one step of gradient descent on what the activation takes."""
    variable = keras.Variable(start)
    model = Answers(variable, keras.layers.Activation(activation))
    model.compile(keras.optimizers.SGD(1.0), loss=loss, jit_compile=False)
    empty = np.zeros((len(start), 1), np.float32)
    before = np.asarray(model(empty))
    model.train_on_batch(empty, truth)
    return before, np.asarray(model(empty))


class Answers(keras.Model):
    """Answers with the activation of a variable, so that a step shows the loss's gradient."""

    def __init__(self, variable: keras.Variable, activation: keras.Layer) -> None:
        super().__init__()
        self.variable, self.activation = variable, activation

    def call(self, inputs: object) -> object:
        return self.activation(self.variable + 0 * ops.sum(inputs))
