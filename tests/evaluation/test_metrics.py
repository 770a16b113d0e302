import numpy as np
import pytest

from glioseg.core.labels import REGIONS, Label
from glioseg.evaluation.columns import CASE_METRICS, METRICS, REGION_METRICS, STRUCTURES, column
from glioseg.evaluation.metrics import case_metrics

MM = (1.0, 1.0, 2.0)
EVERY = {
    *(column(metric, structure) for metric in METRICS for structure in STRUCTURES),
    *(column(metric, region) for metric in REGION_METRICS for region in REGIONS),
    *CASE_METRICS,
}


def nested(shift=0):
    """ED 8×8×8 around ET 6×6×6 around NCR 4×4×4, in a grid of 20³."""
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4 + shift : 12 + shift, 4:12, 4:12] = Label.ED
    labels[5 + shift : 11 + shift, 5:11, 5:11] = Label.ET
    labels[6 + shift : 10 + shift, 6:10, 6:10] = Label.NCR
    return labels


def test_a_perfect_prediction():
    row = case_metrics(nested(), nested(), spacing_mm=MM)
    assert set(row) == EVERY
    zero = ("hd95", "lesion_hd95", "missed", "false")
    scores = {name: value for name, value in row.items() if not name.endswith("_ml")}
    assert {name for name, value in scores.items() if value != (0 if name.startswith(zero) else 1)} == set()


def test_volumes_are_in_ml():
    row = case_metrics(nested(), nested() * np.uint8(0), spacing_mm=MM)
    # 8³, 6³ and 6³ − 4³ voxels of 2 mm³.
    assert [row[column("truth_ml", region)] for region in REGIONS] == pytest.approx([1.024, 0.432, 0.304])
    assert [row[column("predicted_ml", region)] for region in REGIONS] == [0, 0, 0]


def test_lesions_and_surfaces_of_regions():
    stray = nested()
    stray[18, 18, 18] = Label.ED
    row = case_metrics(nested(), stray, spacing_mm=MM)
    assert (row["lesion_dice_wt"], row["lesion_hd95_area_wt_mm"], row["lesion_dice_tc"]) == (0.5, 187, 1)
    assert (row["lesions_wt"], row["missed_lesions_wt"], row["false_lesions_wt"]) == (1, 0, 1)
    assert (row["false_lesions_tc"], row["surface_dice_tc"]) == (0, 1)
    assert 0.9 < row["surface_dice_wt"] < 1


def test_a_prediction_one_voxel_off():
    row = case_metrics(nested(), nested(shift=1), spacing_mm=MM)
    assert row["dice_wt"] == pytest.approx(7 / 8)
    assert row["dice_tc"] == pytest.approx(5 / 6)
    assert row["dice_label_ncr"] == pytest.approx(3 / 4)
    # ET is a shell, 6³ − 4³ = 152 voxels. Both shells: both 6-cubes share 5·6·6 = 180 voxels; of those, 64
    # lie in one NCR and 64 in the other, 4·4·3 = 48 in both.
    shared = 180 - (64 + 64 - 48)
    assert row["dice_et"] == row["dice_label_et"] == pytest.approx(shared / 152)
    assert row["sensitivity_wt"] == pytest.approx(7 / 8)
    assert row["specificity_wt"] == pytest.approx(1 - 64 / (8000 - 512))
    assert row["hd95_area_wt_mm"] == 1
    assert row["mean_dice"] == pytest.approx((7 / 8 + 5 / 6 + shared / 152) / 3)


def test_distances_are_in_mm():
    row = case_metrics(nested(), np.roll(nested(), 1, axis=2), spacing_mm=MM)
    assert row["hd95_area_wt_mm"] == 2


@pytest.mark.parametrize(
    ("truth", "prediction", "dice", "hd95_mm", "sensitivity"),
    [
        (nested() * 0, nested() * 0, 1, 0, 1),
        (nested() * 0, nested(), 0, np.sqrt(20**2 + 20**2 + 40**2), 0),
        (nested(), nested() * 0, 0, np.sqrt(20**2 + 20**2 + 40**2), 0),
    ],
    ids=["both empty", "empty truth", "empty prediction"],
)
def test_empty_masks_have_their_rule_and_no_nan(truth, prediction, dice, hd95_mm, sensitivity):
    row = case_metrics(truth, prediction, spacing_mm=MM)
    assert np.isfinite(list(row.values())).all()
    for structure in STRUCTURES:
        assert row[column("dice", structure)] == dice
        assert row[column("hd95_area_mm", structure)] == pytest.approx(hd95_mm)
        assert row[column("sensitivity", structure)] == sensitivity
    for region in REGIONS:
        assert row[column("lesion_dice", region)] == row[column("surface_dice", region)] == dice
        assert row[column("lesion_hd95_area_mm", region)] == 374 * (1 - dice)


def test_moving_a_case_within_its_grid_changes_nothing():
    truth, prediction = nested(), nested(shift=1)
    moved = [np.roll(labels, (2, -3, 4), axis=(0, 1, 2)) for labels in (truth, prediction)]
    assert case_metrics(*moved, spacing_mm=MM) == pytest.approx(
        case_metrics(truth, prediction, spacing_mm=MM)
    )
