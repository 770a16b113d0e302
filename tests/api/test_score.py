import nibabel as nib
import numpy as np
import pytest

import glioseg

AFFINE = np.diag([-1.0, -1, 2, 1])
TRUTH = np.zeros((6, 5, 4), np.uint8)
TRUTH[1:5, 1:4, 1:3] = 2  # 24 voxels of oedema
TRUTH[2:4, 1:4, 1:3] = 4  # of which 12 are enhancing tumour
PREDICTED = np.where(TRUTH == 4, 3, TRUTH)
PREDICTED[2, 1:4, 1:3] = 0  # 6 of these are missed


def test_metrics_of_arrays_images_and_files_agree(tmp_path):
    for name, labels in (("truth", TRUTH), ("prediction", PREDICTED)):
        nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / f"{name}.nii.gz")
    of_files = glioseg.evaluate(tmp_path / "prediction.nii.gz", str(tmp_path / "truth.nii.gz"))
    of_arrays = glioseg.evaluate((PREDICTED, AFFINE), (TRUTH, AFFINE))
    of_images = glioseg.evaluate(nib.Nifti1Image(PREDICTED, AFFINE), nib.Nifti1Image(TRUTH, AFFINE))
    assert of_files == of_arrays == of_images
    assert of_files["dice_wt"] == pytest.approx(2 * 18 / (18 + 24))
    assert of_files["dice_et"] == pytest.approx(2 * 6 / (6 + 12))
    assert of_files["truth_wt_ml"] == pytest.approx(24 * 2 / 1000)


def test_a_prediction_with_other_axes_is_turned(tmp_path):
    turned = PREDICTED[::-1].transpose(1, 0, 2)
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 0], affine[2, 2], affine[3, 3] = 1, -1, 2, 1
    affine[0, 3] = -5
    expected = glioseg.evaluate((PREDICTED, AFFINE), (TRUTH, AFFINE))
    assert glioseg.evaluate((turned, affine), (TRUTH, AFFINE)) == expected


def test_a_declared_scheme_counts_for_both():
    """In the Decathlon 1 is oedema and 2 the core, so the core of the prediction is empty."""
    truth, predicted = np.full((2, 2, 2), 2), np.full((2, 2, 2), 1)
    assert glioseg.evaluate((predicted, AFFINE), (truth, AFFINE), scheme="msd")["dice_tc"] == 0
    assert glioseg.evaluate((predicted, AFFINE), (truth, AFFINE))["truth_tc_ml"] == 0


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        ((PREDICTED[1:], AFFINE), r"expected a prediction of shape \(6, 5, 4\), got \(5, 5, 4\)"),
        (
            (PREDICTED, np.diag([-1.0, -1, 2.5, 1])),
            "expected both on one grid, got .* differ by 0.5",
        ),
        ((PREDICTED * 5, AFFINE), r"^prediction: expected \[0, 1, 2, 3\] \(brats2023\), got \[10, 15\]"),
        ((PREDICTED * np.nan, AFFINE), "^prediction: expected labels, got values up to nan"),
        ((PREDICTED, np.zeros((4, 4))), "expected affines that can be inverted"),
    ],
)
def test_what_cannot_be_compared_is_named(prediction, message):
    with pytest.raises(glioseg.GliosegError, match=message):
        glioseg.evaluate(prediction, (TRUTH, AFFINE))
