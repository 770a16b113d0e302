"""Region losses against MONAI's published reference values and arithmetic by hand."""

import numpy as np
import pytest
from keras import ops

from glioseg.models.training.region_losses import (
    dice_ce_loss,
    dice_loss,
    focal_tversky_loss,
    soft_dice,
    tversky,
)

LOGITS = np.array([[1.0, -1.0], [-1.0, 1.0]])


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
